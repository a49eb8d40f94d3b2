//! Google credentials: a row's own JSON, or the machine's (Application Default Credentials).
//!
//! Four kinds of JSON are accepted: `service_account`, `authorized_user`, `external_account` with a
//! subject token from a file or an address, and `impersonated_service_account`. A stored JSON is a
//! tenant's text, so the places that it names are judged when it is read: endpoints are Google's own
//! over https unless the caller's [`Policy`] allows others, and a file of this machine is only read
//! where the machine's identity may be used. What runs a program is refused.
//!
//! Start at [`StoredCredential::parse`] and [`ambient`].

mod document;
mod external;
mod impersonation;
mod machine;
mod service_account;

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use lw_core::Secret;
use url::{Host, Url};

use crate::bearer::Bearer;
use crate::error::{Cloud, CloudError};
use crate::exchange::Ask;
use crate::outside::{Ambient, Outside};
use crate::token::{Fresh, TokenSource};

use external::External;
use impersonation::Impersonation;
use service_account::ServiceAccount;

pub use machine::ambient;

/// What all tokens are for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Google's token endpoint, and the audience of every assertion (see [`service_account`]).
const TOKEN_ENDPOINT: &str = "https://oauth2.googleapis.com/token";

/// What a stored JSON may ask of this process.
#[derive(Clone)]
pub struct Policy {
    /// Whether it may name a file of this machine.
    pub ambient: Ambient,
    /// Whether a token endpoint that is not Google's may be used. The address guard still judges
    /// where it leads to.
    pub address_allowed: Arc<dyn Fn(&Url) -> bool + Send + Sync>,
}

impl Policy {
    /// Google's own endpoints, and no file.
    #[must_use]
    pub fn strict() -> Self {
        Self {
            ambient: Ambient::Refused,
            address_allowed: Arc::new(|_| false),
        }
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("ambient", &self.ambient)
            .finish_non_exhaustive()
    }
}

/// Who wrote a JSON.
enum Author<'a> {
    /// Whoever may edit a provider row.
    Tenant(&'a Policy),
    /// The operator, whose process this is.
    Operator,
}

impl Author<'_> {
    /// The address of an endpoint that gets a secret. `why` names the field.
    fn endpoint(&self, text: &str, why: &'static str) -> Result<Url, CloudError> {
        let url = Url::parse(text.trim()).map_err(|_| Cloud::Google.invalid(why))?;
        let allowed = match self {
            Author::Tenant(policy) => is_googles(&url) || (policy.address_allowed)(&url),
            Author::Operator => true,
        };
        if allowed && matches!(url.scheme(), "http" | "https") {
            return Ok(url);
        }
        Err(Cloud::Google.invalid(why))
    }

    fn may_name_files(&self) -> bool {
        match self {
            Author::Tenant(policy) => policy.ambient == Ambient::Allowed,
            Author::Operator => true,
        }
    }
}

/// Whether an address is one of Google's endpoints over https. Key files of before 2018 name
/// `accounts.google.com`.
fn is_googles(url: &Url) -> bool {
    let Some(Host::Domain(host)) = url.host() else {
        return false;
    };
    let googles = host == "googleapis.com"
        || host.ends_with(".googleapis.com")
        || host == "accounts.google.com";
    let plain = url.port().is_none() && url.username().is_empty() && url.password().is_none();
    googles && plain && url.scheme() == "https"
}

/// A credential that was read from its JSON and can be exchanged for tokens.
pub struct StoredCredential {
    base: Base,
    impersonation: Option<Impersonation>,
    project_id: Option<String>,
}

/// What the first token is exchanged for.
enum Base {
    ServiceAccount(ServiceAccount),
    AuthorizedUser(AuthorizedUser),
    External(External),
}

impl StoredCredential {
    /// Reads `auth_credentials` of a row. Sends nothing; the same call tells whether a JSON can be
    /// stored.
    ///
    /// # Errors
    /// [`CloudError::Invalid`]: it is not such a JSON, lacks a field, holds a key that cannot sign, or
    /// names a place that `policy` does not allow.
    pub fn parse(json: &Secret, policy: &Policy) -> Result<Self, CloudError> {
        document::read(json.expose().as_bytes(), &Author::Tenant(policy))
    }

    /// The project that the credential belongs to, where its JSON says so.
    #[must_use]
    pub fn project_id(&self) -> Option<&str> {
        self.project_id.as_deref()
    }

    async fn token(&self, outside: &Outside) -> Result<Fresh<Bearer>, CloudError> {
        let own = match &self.base {
            Base::ServiceAccount(account) => account.token(outside).await?,
            Base::AuthorizedUser(user) => user.token(outside).await?,
            Base::External(external) => external.token(outside).await?,
        };
        match &self.impersonation {
            None => Ok(own),
            Some(impersonation) => impersonation.token(&own.value, outside).await,
        }
    }
}

impl TokenSource<Bearer> for StoredCredential {
    fn cloud(&self) -> Cloud {
        Cloud::Google
    }

    fn fetch<'a>(
        &'a self,
        outside: &'a Outside,
    ) -> BoxFuture<'a, Result<Fresh<Bearer>, CloudError>> {
        Box::pin(self.token(outside))
    }
}

impl fmt::Debug for StoredCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredCredential").finish_non_exhaustive()
    }
}

/// A person's refresh token, as `gcloud auth application-default login` stores it.
struct AuthorizedUser {
    client_id: String,
    client_secret: Secret,
    refresh_token: Secret,
    endpoint: Url,
}

impl AuthorizedUser {
    async fn token(&self, outside: &Outside) -> Result<Fresh<Bearer>, CloudError> {
        let Self {
            client_id,
            client_secret,
            refresh_token,
            endpoint,
        } = self;
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", client_id),
            ("client_secret", client_secret.expose()),
            ("refresh_token", refresh_token.expose()),
        ];
        let asked_at = outside.now();
        Ask::form(Cloud::Google, endpoint.clone(), &fields)
            .send(outside)
            .await?
            .bearer(asked_at)
    }
}

#[cfg(test)]
mod tests;
