//! AWS credentials: a row's own, or the machine's.
//!
//! The machine's come from the four documented places, asked in this order: the environment, web
//! identity (STS), the container's endpoint, instance metadata (version 2). They are written here over
//! our port rather than taken from the vendor's `aws-config`: that one is built without OpenSSL and
//! AWS-LC too, but doubles this crate's dependencies (an STS client, a client runtime, XML, UUIDs) and
//! brings its own cache, retries, timers and reading of the environment and files, while these
//! protocols are a few requests each and our cache is the same for all three clouds.
//!
//! Start at [`AwsCredentials`] and [`ambient`].

mod chain;
mod container;
mod instance;
mod sts;

use std::fmt;

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::identity::Identity;
use lw_core::Secret;

use crate::error::{Cloud, CloudError};

pub use chain::ambient;

/// An access key, its secret, and the session token if it is a temporary one.
#[derive(Clone)]
pub struct AwsCredentials {
    secret_access_key: Secret,
    session_token: Option<Secret>,
    /// The same in the vendor's form, made once rather than for each signature.
    identity: Identity,
}

impl AwsCredentials {
    /// Takes the three texts as they are stored; white space around them is left out, and an empty
    /// session token counts as none.
    ///
    /// # Errors
    /// One of them is empty or cannot be a part of a header.
    pub fn new(
        access_key_id: &str,
        secret_access_key: &Secret,
        session_token: Option<&Secret>,
    ) -> Result<Self, CloudError> {
        let trimmed = |secret: &Secret| secret.expose().trim().to_owned();
        let id = access_key_id.trim();
        let secret = trimmed(secret_access_key);
        let token = session_token.map(trimmed).filter(|token| !token.is_empty());
        if id.is_empty() || !visible(id) || id.contains(['/', ',']) {
            return Err(Cloud::Aws.invalid("the access key id is empty or not one"));
        }
        if secret.is_empty() {
            return Err(Cloud::Aws.invalid("the secret access key is empty"));
        }
        if token.as_deref().is_some_and(|token| !visible(token)) {
            return Err(Cloud::Aws.invalid("the session token holds characters that it cannot"));
        }
        let vendors = Credentials::new(id, &secret, token.clone(), None, "gateway");
        Ok(Self {
            secret_access_key: Secret::new(secret),
            session_token: token.map(Secret::new),
            identity: vendors.into(),
        })
    }

    /// The secrets in it, for taking them out of what a provider echoes.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.secret_access_key).chain(self.session_token.as_ref())
    }

    pub(crate) const fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsCredentials").finish_non_exhaustive()
    }
}

fn visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests;
