//! The machine's own identity in Microsoft Entra ID, for Azure rows whose key is `__use_aad__`.
//!
//! Asked in this order: a client secret in the environment, workload identity (a Kubernetes service
//! account), managed identity (App Service and its like, then the instance metadata). The first that is
//! configured is asked, and its failure is the answer. The token opens every Azure OpenAI resource that
//! the identity may use, so whoever puts it on a request must be sure of the host. Start at [`ambient`].

use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue};
use lw_core::Secret;
use url::Url;

use crate::bearer::Bearer;
use crate::error::{Cloud, CloudError};
use crate::exchange::{Ask, read_secret};
use crate::outside::{Ambient, Env, Outside};
use crate::token::{CachedToken, Fresh, TokenSource};

/// What tokens are for: `resource` of managed identities, and the scope below of applications.
const RESOURCE: &str = "https://cognitiveservices.azure.com";
const SCOPE: &str = "https://cognitiveservices.azure.com/.default";
const AUTHORITY: &str = "https://login.microsoftonline.com";
const IMDS: &str = "http://169.254.169.254";
const FEDERATED: &str = "AZURE_FEDERATED_TOKEN_FILE";
const IDENTITY_HEADER: HeaderName = HeaderName::from_static("x-identity-header");
const METADATA: HeaderName = HeaderName::from_static("metadata");
const TRUE: HeaderValue = HeaderValue::from_static("true");
/// Shown when the last place of the chain does not exist.
const NOWHERE: &str = "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or run it with a \
                       workload identity or managed identity";

/// The machine's own Entra ID tokens for Azure OpenAI. One for the process.
///
/// # Errors
/// [`CloudError::AmbientRefused`] unless the operator allows it.
pub fn ambient(permission: Ambient) -> Result<CachedToken<Bearer>, CloudError> {
    permission.check(Cloud::Azure)?;
    Ok(CachedToken::new(Machine))
}

/// The chain.
struct Machine;

impl TokenSource<Bearer> for Machine {
    fn cloud(&self) -> Cloud {
        Cloud::Azure
    }

    fn fetch<'a>(
        &'a self,
        outside: &'a Outside,
    ) -> BoxFuture<'a, Result<Fresh<Bearer>, CloudError>> {
        Box::pin(async move {
            let env = outside.env.as_ref();
            if let Some(secret) = env.set("AZURE_CLIENT_SECRET") {
                return application(outside, Proof::Secret(Secret::new(secret))).await;
            }
            if let Some(path) = env.set(FEDERATED) {
                let token = read_secret(outside, &path, FEDERATED, Cloud::Azure).await?;
                return application(outside, Proof::Federated(token)).await;
            }
            managed(outside).await
        })
    }
}

/// What an application proves itself with.
enum Proof {
    Secret(Secret),
    Federated(Secret),
}

/// The client credentials grant.
async fn application(outside: &Outside, proof: Proof) -> Result<Fresh<Bearer>, CloudError> {
    let env = outside.env.as_ref();
    let client = env
        .set("AZURE_CLIENT_ID")
        .ok_or(Cloud::Azure.invalid("AZURE_CLIENT_ID is not set"))?;
    let url = token_url(env)?;
    let mut fields = vec![
        ("grant_type", "client_credentials"),
        ("client_id", &client),
        ("scope", SCOPE),
    ];
    match &proof {
        Proof::Secret(secret) => fields.push(("client_secret", secret.expose())),
        Proof::Federated(token) => fields.extend([
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", token.expose()),
        ]),
    }
    let asked_at = outside.now();
    Ask::form(Cloud::Azure, url, &fields)
        .send(outside)
        .await?
        .bearer(asked_at)
}

/// `{authority}/{tenant}/oauth2/v2.0/token`
fn token_url(env: &dyn Env) -> Result<Url, CloudError> {
    let tenant = env
        .set("AZURE_TENANT_ID")
        .ok_or(Cloud::Azure.invalid("AZURE_TENANT_ID is not set"))?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if !tenant.bytes().all(plain) || tenant.contains("..") {
        return Err(Cloud::Azure.invalid("AZURE_TENANT_ID is neither an id nor a domain"));
    }
    let authority = env
        .set("AZURE_AUTHORITY_HOST")
        .unwrap_or_else(|| AUTHORITY.to_owned());
    let authority = authority.trim_end_matches('/');
    // Some platforms give the bare host.
    let scheme = if authority.contains("://") {
        ""
    } else {
        "https://"
    };
    Url::parse(&format!("{scheme}{authority}/{tenant}/oauth2/v2.0/token"))
        .map_err(|_| Cloud::Azure.invalid("AZURE_AUTHORITY_HOST is not an address"))
}

/// The platform's endpoint for managed identities.
async fn managed(outside: &Outside) -> Result<Fresh<Bearer>, CloudError> {
    let env = outside.env.as_ref();
    let client = env.set("AZURE_CLIENT_ID");
    let platform = env.set("IDENTITY_ENDPOINT").zip(env.set("IDENTITY_HEADER"));
    let asked_at = outside.now();
    if let Some((endpoint, header)) = platform {
        let url = with_query(&endpoint, "2019-08-01", client.as_deref())
            .map_err(|_| Cloud::Azure.invalid("IDENTITY_ENDPOINT is not an address"))?;
        return Ask::get(Cloud::Azure, url)
            .on_the_platform()
            .secret(
                IDENTITY_HEADER,
                &Secret::new(header),
                "IDENTITY_HEADER cannot stand in a header",
            )?
            .send(outside)
            .await?
            .bearer(asked_at);
    }
    let base = env
        .set("AZURE_POD_IDENTITY_AUTHORITY_HOST")
        .unwrap_or_else(|| IMDS.to_owned());
    let base = base.trim_end_matches('/');
    let url = with_query(
        &format!("{base}/metadata/identity/oauth2/token"),
        "2018-02-01",
        client.as_deref(),
    )
    .map_err(|_| Cloud::Azure.invalid("AZURE_POD_IDENTITY_AUTHORITY_HOST is not an address"))?;
    Ask::get(Cloud::Azure, url)
        .on_the_platform()
        .header(METADATA, TRUE)
        .send(outside)
        .await
        .map_err(|error| error.nobody_there(Cloud::Azure, NOWHERE))?
        .bearer(asked_at)
}

fn with_query(address: &str, version: &str, client: Option<&str>) -> Result<Url, url::ParseError> {
    let mut url = Url::parse(address)?;
    url.query_pairs_mut()
        .append_pair("api-version", version)
        .append_pair("resource", RESOURCE)
        .extend_pairs(client.map(|client| ("client_id", client)));
    Ok(url)
}

#[cfg(test)]
mod tests;
