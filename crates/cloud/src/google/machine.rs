//! Application Default Credentials: the file that `GOOGLE_APPLICATION_CREDENTIALS` names, then the
//! metadata server.

use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue};
use url::Url;

use super::{Author, SCOPE, document};
use crate::bearer::Bearer;
use crate::error::{Cloud, CloudError};
use crate::exchange::{Ask, read_secret};
use crate::outside::{Ambient, Outside};
use crate::token::{CachedToken, Fresh, TokenSource};

const FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const HOST: &str = "metadata.google.internal";
const TOKEN: &str = "computeMetadata/v1/instance/service-accounts/default/token";
const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
const GOOGLE: HeaderValue = HeaderValue::from_static("Google");
/// Shown when the last place of the chain does not exist.
const NOWHERE: &str = "set GOOGLE_APPLICATION_CREDENTIALS to a credential file, or run it on Google \
                       Cloud with a service account";

/// The machine's own Google tokens, for rows without a JSON. One for the process.
///
/// # Errors
/// [`CloudError::AmbientRefused`] unless the operator allows it.
pub fn ambient(permission: Ambient) -> Result<CachedToken<Bearer>, CloudError> {
    permission.check(Cloud::Google)?;
    Ok(CachedToken::new(Machine))
}

/// The chain. The file is read anew for each token: platforms renew it.
struct Machine;

impl TokenSource<Bearer> for Machine {
    fn cloud(&self) -> Cloud {
        Cloud::Google
    }

    fn fetch<'a>(
        &'a self,
        outside: &'a Outside,
    ) -> BoxFuture<'a, Result<Fresh<Bearer>, CloudError>> {
        Box::pin(async move {
            let Some(path) = outside.env.set(FILE) else {
                return metadata(outside).await;
            };
            let json = read_secret(outside, &path, FILE, Cloud::Google).await?;
            let credential = document::read(json.expose().as_bytes(), &Author::Operator)?;
            credential.token(outside).await
        })
    }
}

async fn metadata(outside: &Outside) -> Result<Fresh<Bearer>, CloudError> {
    let env = outside.env.as_ref();
    let host = env
        .set("GCE_METADATA_HOST")
        .or_else(|| env.set("GCE_METADATA_ROOT"))
        .unwrap_or_else(|| HOST.to_owned());
    let url = Url::parse_with_params(&format!("http://{host}/{TOKEN}"), [("scopes", SCOPE)])
        .map_err(|_| Cloud::Google.invalid("GCE_METADATA_HOST is not a host"))?;
    let asked_at = outside.now();
    let reply = Ask::get(Cloud::Google, url)
        .on_the_platform()
        .header(FLAVOR, GOOGLE)
        .send(outside)
        .await
        .map_err(|error| error.nobody_there(Cloud::Google, NOWHERE))?;
    // Outside Google Cloud, something else may answer at that name.
    if reply.header(FLAVOR.as_str()) != Some("Google") {
        return Err(reply.unusable("it does not come from Google's metadata server"));
    }
    reply.bearer(asked_at)
}
