//! Which of the machine's identities is used. The first one that is configured is asked, and its
//! failure is the answer: falling through would act with another identity than the operator meant.

use futures_util::future::BoxFuture;
use lw_core::{Secret, UnixMicros};
use serde::Deserialize;

use crate::aws::{AwsCredentials, container, instance, sts};
use crate::error::{Cloud, CloudError};
use crate::exchange::Reply;
use crate::outside::{Ambient, Env, Outside};
use crate::token::{CachedToken, Fresh, TokenSource};

/// The machine's own AWS credentials, for rows without any. One for the process.
///
/// # Errors
/// [`CloudError::AmbientRefused`] unless the operator allows it.
pub fn ambient(permission: Ambient) -> Result<CachedToken<AwsCredentials>, CloudError> {
    permission.check(Cloud::Aws)?;
    Ok(CachedToken::new(Machine))
}

/// The chain.
struct Machine;

impl TokenSource<AwsCredentials> for Machine {
    fn cloud(&self) -> Cloud {
        Cloud::Aws
    }

    fn fetch<'a>(
        &'a self,
        outside: &'a Outside,
    ) -> BoxFuture<'a, Result<Fresh<AwsCredentials>, CloudError>> {
        Box::pin(async move {
            let env = outside.env.as_ref();
            if let Some(credentials) = environment(env)? {
                return Ok(Fresh {
                    value: credentials,
                    expires_at: None,
                });
            }
            if let Some(web) = sts::WebIdentity::configured(env)? {
                return web.fetch(outside).await;
            }
            if let Some(container) = container::Container::configured(env)? {
                return container.fetch(outside).await;
            }
            instance::fetch(outside).await
        })
    }
}

/// `AWS_ACCESS_KEY_ID` and its companions.
fn environment(env: &dyn Env) -> Result<Option<AwsCredentials>, CloudError> {
    let Some(id) = env.set("AWS_ACCESS_KEY_ID") else {
        return Ok(None);
    };
    let secret = env
        .set("AWS_SECRET_ACCESS_KEY")
        .map(Secret::new)
        .ok_or(Cloud::Aws.invalid("AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not"))?;
    let token = env.set("AWS_SESSION_TOKEN").map(Secret::new);
    AwsCredentials::new(&id, &secret, token.as_ref()).map(Some)
}

/// What the container's endpoint and the instance metadata answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Issued {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: String,
}

impl Issued {
    /// Reads a JSON answer.
    pub(crate) fn read(reply: &Reply) -> Result<Fresh<AwsCredentials>, CloudError> {
        let Self {
            access_key_id,
            secret_access_key,
            token,
            expiration,
        } = reply.json()?;
        issued(
            reply,
            &access_key_id,
            &Secret::new(secret_access_key),
            token.map(Secret::new).as_ref(),
            &expiration,
        )
    }
}

/// Temporary credentials that end at `expiration` (RFC 3339).
pub(crate) fn issued(
    reply: &Reply,
    id: &str,
    secret: &Secret,
    token: Option<&Secret>,
    expiration: &str,
) -> Result<Fresh<AwsCredentials>, CloudError> {
    let expires_at = UnixMicros::parse_rfc3339(expiration)
        .ok_or_else(|| reply.unusable("its Expiration is not a time"))?;
    let value = AwsCredentials::new(id, secret, token)
        .map_err(|_| reply.unusable("its credentials are empty or not ones"))?;
    Ok(Fresh {
        value,
        expires_at: Some(expires_at),
    })
}
