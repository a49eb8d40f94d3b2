//! Web identity: a token of the platform (a Kubernetes service account) is exchanged for credentials of
//! a role. The request is not signed: the token is the proof.

use http::{HeaderValue, header};
use lw_core::Secret;
use url::Url;

use crate::aws::AwsCredentials;
use crate::aws::chain::issued;
use crate::error::{Cloud, CloudError};
use crate::exchange::{Ask, element, read_secret};
use crate::outside::{Env, Outside};
use crate::token::Fresh;

const FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";

/// What the environment says.
pub(crate) struct WebIdentity {
    role: String,
    session: String,
    file: String,
    endpoint: Url,
}

impl WebIdentity {
    /// `None` when the environment names no token file.
    pub(crate) fn configured(env: &dyn Env) -> Result<Option<Self>, CloudError> {
        let Some(file) = env.set(FILE) else {
            return Ok(None);
        };
        let role = env.set("AWS_ROLE_ARN").ok_or_else(|| {
            Cloud::Aws.invalid("AWS_WEB_IDENTITY_TOKEN_FILE is set but AWS_ROLE_ARN is not")
        })?;
        let session = env
            .set("AWS_ROLE_SESSION_NAME")
            .unwrap_or_else(|| "langwatch-gateway".to_owned());
        Ok(Some(Self {
            role,
            session,
            file,
            endpoint: endpoint(env)?,
        }))
    }

    pub(crate) async fn fetch(
        self,
        outside: &Outside,
    ) -> Result<Fresh<AwsCredentials>, CloudError> {
        let Self {
            role,
            session,
            file,
            endpoint,
        } = self;
        let token = read_secret(outside, &file, FILE, Cloud::Aws).await?;
        let fields = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", &role),
            ("RoleSessionName", &session),
            ("WebIdentityToken", token.expose()),
        ];
        let reply = Ask::form(Cloud::Aws, endpoint, &fields)
            .header(header::ACCEPT, HeaderValue::from_static("application/xml"))
            .send(outside)
            .await?;
        let text = reply.text()?;
        let part = |name| {
            element(text, name).ok_or_else(|| {
                reply.unusable("it lacks a part of the credentials that it should hold")
            })
        };
        issued(
            &reply,
            part("AccessKeyId")?,
            &Secret::new(part("SecretAccessKey")?),
            Some(&Secret::new(part("SessionToken")?)),
            part("Expiration")?,
        )
    }
}

/// The regional STS, where the workload's region is known: the global one is in one region only.
fn endpoint(env: &dyn Env) -> Result<Url, CloudError> {
    if let Some(own) = env.set("AWS_ENDPOINT_URL_STS") {
        return Url::parse(&own)
            .map_err(|_| Cloud::Aws.invalid("AWS_ENDPOINT_URL_STS is not an address"));
    }
    let region = env
        .set("AWS_REGION")
        .or_else(|| env.set("AWS_DEFAULT_REGION"));
    let host = match region.as_deref() {
        None | Some("aws-global") => "sts.amazonaws.com".to_owned(),
        Some(region) if !is_region(region) => {
            return Err(Cloud::Aws.invalid("AWS_REGION is not the name of a region"));
        }
        Some(region) if region.starts_with("cn-") => format!("sts.{region}.amazonaws.com.cn"),
        Some(region) => format!("sts.{region}.amazonaws.com"),
    };
    Url::parse(&format!("https://{host}/"))
        .map_err(|_| Cloud::Aws.invalid("AWS_REGION is not a region"))
}

fn is_region(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
