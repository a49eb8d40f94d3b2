//! A service account signs an assertion with its key and gets a token for it (RFC 7523).

use data_encoding::BASE64URL_NOPAD;
use lw_core::{Secret, UnixMicros};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::json;
use url::Url;

use super::{SCOPE, TOKEN_ENDPOINT};
use crate::bearer::Bearer;
use crate::error::{Cloud, CloudError};
use crate::exchange::Ask;
use crate::outside::Outside;
use crate::token::Fresh;

/// How long an assertion is good for, which is also the most that Google takes.
const LIFE_SECONDS: i64 = 3_600;

/// A service account and its key.
pub(super) struct ServiceAccount {
    email: String,
    key_id: Option<String>,
    key: RsaKeyPair,
    endpoint: Url,
}

impl ServiceAccount {
    /// `private_key` is PEM; PKCS#8, as Google issues it, or PKCS#1.
    pub(super) fn new(
        email: String,
        key_id: Option<String>,
        private_key: &Secret,
        endpoint: Url,
    ) -> Result<Self, CloudError> {
        Ok(Self {
            email,
            key_id,
            key: key_pair(private_key)?,
            endpoint,
        })
    }

    pub(super) async fn token(&self, outside: &Outside) -> Result<Fresh<Bearer>, CloudError> {
        let asked_at = outside.now();
        let assertion = self.assertion(asked_at)?;
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", assertion.expose()),
        ];
        Ask::form(Cloud::Google, self.endpoint.clone(), &fields)
            .send(outside)
            .await?
            .bearer(asked_at)
    }

    /// The signed statement of who we are. Its audience is Google's own endpoint whatever `token_uri`
    /// says, as in Google's libraries: a proxy or test double at `token_uri` passes on or checks what
    /// it gets from them.
    fn assertion(&self, at: UnixMicros) -> Result<Secret, CloudError> {
        let mut header = json!({"alg": "RS256", "typ": "JWT"});
        if let (Some(header), Some(id)) = (header.as_object_mut(), &self.key_id) {
            header.insert("kid".to_owned(), id.as_str().into());
        }
        let issued = at.seconds();
        let claims = json!({
            "iss": self.email,
            "scope": SCOPE,
            "aud": TOKEN_ENDPOINT,
            "iat": issued,
            "exp": issued.saturating_add(LIFE_SECONDS),
        });
        let part = |value: &serde_json::Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let statement = format!("{}.{}", part(&header), part(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                statement.as_bytes(),
                &mut signature,
            )
            .map_err(|_| Cloud::Google.invalid("its `private_key` cannot sign"))?;
        let signature = BASE64URL_NOPAD.encode(&signature);
        Ok(Secret::new(format!("{statement}.{signature}")))
    }
}

fn key_pair(pem: &Secret) -> Result<RsaKeyPair, CloudError> {
    let unusable = || {
        Cloud::Google.invalid("its `private_key` is not a PEM of an RSA key with 2048 to 4096 bits")
    };
    // A key that went through an environment variable often has its line ends spelled out.
    let pem = Secret::new(pem.expose().replace("\\n", "\n"));
    let key = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|_| unusable())?;
    let pair = match &key {
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err(unusable()),
    };
    pair.map_err(|_| unusable())
}
