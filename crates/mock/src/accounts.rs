//! Who may call: tokens that were handed out, service accounts, AWS credentials, deployments.
//!
//! Secrets live here and nowhere else; what is recorded or shown is a digest. Never judges a
//! request: that is `auth`, `sigv4` and `identity`. Start at [`Accounts`].

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;
use ring::rand::{SecureRandom, SystemRandom};
use rsa::pkcs1::{DecodeRsaPublicKey, EncodeRsaPublicKey};
use rsa::pkcs8::{DecodePublicKey, EncodePrivateKey, LineEnding};
use rsa::{RsaPrivateKey, RsaPublicKey};

use crate::json::Obj;
use crate::record::hex;

/// The pair that is good from the start.
pub(crate) const AWS_ACCESS_KEY: &str = "AKIAMOCKMOCKMOCKMOCK";
const AWS_SECRET_KEY: &str = "mock-secret";
/// Lifetime of a token in seconds, as the vendors have it.
const LIFETIME: u64 = 3_600;
const RSA_BITS: usize = 2_048;
const EMAIL: &str = "mock@mock-project.iam.gserviceaccount.com";
const KEY_ID: &str = "mock-key-1";

/// Who handed out a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Issuer {
    Google,
    Entra,
    Imds,
}

/// An AWS secret, by its access key.
#[derive(Clone)]
pub(crate) struct AwsSecret {
    pub(crate) secret_key: String,
    pub(crate) session_token: Option<String>,
    /// The only region that it may be used in.
    pub(crate) region: Option<String>,
    /// Seconds since 1970.
    pub(crate) expires_at: Option<u64>,
}

/// A service account's public key.
#[derive(Clone)]
pub(crate) struct ServiceKey {
    pub(crate) key_id: Option<String>,
    /// PKCS #1.
    pub(crate) der: Vec<u8>,
}

#[derive(Default)]
pub(crate) struct Accounts {
    state: Mutex<State>,
    /// The default service account's private key as PEM; it outlives a reset, as it is slow to make.
    own_key: Mutex<Option<String>>,
}

struct State {
    /// By the token: its issuer and its end, in seconds since 1970.
    tokens: HashMap<String, (Issuer, u64)>,
    lifetime: u64,
    services: HashMap<String, Vec<ServiceKey>>,
    aws: HashMap<String, AwsSecret>,
    deployments: Option<HashSet<String>>,
    exchanges: u64,
}

impl Default for State {
    fn default() -> Self {
        let pair = AwsSecret {
            secret_key: AWS_SECRET_KEY.to_owned(),
            session_token: None,
            region: None,
            expires_at: None,
        };
        Self {
            tokens: HashMap::new(),
            lifetime: LIFETIME,
            services: HashMap::new(),
            aws: HashMap::from([(AWS_ACCESS_KEY.to_owned(), pair)]),
            deployments: None,
            exchanges: 0,
        }
    }
}

/// What was handed out, and for how many seconds it is good.
pub(crate) struct Issued<T> {
    pub(crate) what: T,
    pub(crate) expires_in: u64,
}

/// Temporary AWS credentials.
pub(crate) struct Session {
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    pub(crate) session_token: String,
}

impl Accounts {
    /// A new token. `expires_in` wins over the usual lifetime.
    pub(crate) fn issue(
        &self,
        issuer: Issuer,
        expires_in: Option<u64>,
        now: u64,
    ) -> Issued<String> {
        let prefix = match issuer {
            Issuer::Google => "ya29.mock-",
            Issuer::Entra => "mock-entra-",
            Issuer::Imds => "mock-imds-",
        };
        let token = format!("{prefix}{}", random());
        let mut state = self.state.lock();
        let expires_in = expires_in.unwrap_or(state.lifetime);
        let until = now.saturating_add(expires_in);
        state.tokens.insert(token.clone(), (issuer, until));
        state.exchanges += u64::from(issuer != Issuer::Imds);
        Issued {
            what: token,
            expires_in,
        }
    }

    /// New temporary credentials.
    pub(crate) fn issue_session(&self, expires_in: Option<u64>, now: u64) -> Issued<Session> {
        let session = Session {
            access_key: format!(
                "ASIA{}",
                random().to_uppercase().get(..16).unwrap_or("MOCK")
            ),
            secret_key: random(),
            session_token: format!("mock-session-{}", random()),
        };
        let mut state = self.state.lock();
        let expires_in = expires_in.unwrap_or(state.lifetime);
        let secret = AwsSecret {
            secret_key: session.secret_key.clone(),
            session_token: Some(session.session_token.clone()),
            region: None,
            expires_at: Some(now.saturating_add(expires_in)),
        };
        state.aws.insert(session.access_key.clone(), secret);
        state.exchanges += 1;
        Issued {
            what: session,
            expires_in,
        }
    }

    pub(crate) fn is_live(&self, issuer: Issuer, token: &str, now: u64) -> bool {
        let state = self.state.lock();
        let known = state.tokens.get(token);
        known.is_some_and(|(by, until)| *by == issuer && now < *until)
    }

    /// Tokens from now on live so long.
    pub(crate) fn set_lifetime(&self, seconds: u64) {
        self.state.lock().lifetime = seconds;
    }

    /// Takes back every token and every temporary credential.
    pub(crate) fn revoke(&self) {
        let mut state = self.state.lock();
        state.tokens.clear();
        state.aws.retain(|_, secret| secret.expires_at.is_none());
    }

    /// Tokens and credentials handed out.
    pub(crate) fn exchanges(&self) -> u64 {
        self.state.lock().exchanges
    }

    pub(crate) fn aws(&self, access_key: &str) -> Option<AwsSecret> {
        self.state.lock().aws.get(access_key).cloned()
    }

    pub(crate) fn add_aws(&self, access_key: String, secret: AwsSecret) {
        self.state.lock().aws.insert(access_key, secret);
    }

    /// Answer only for these deployments; `None` answers for any.
    pub(crate) fn restrict_deployments(&self, valid: Option<HashSet<String>>) {
        self.state.lock().deployments = valid;
    }

    pub(crate) fn has_deployment(&self, name: &str) -> bool {
        let state = self.state.lock();
        let valid = state.deployments.as_ref();
        valid.is_none_or(|valid| valid.contains(name))
    }

    /// The public keys of a service account.
    pub(crate) fn service_keys(&self, email: &str) -> Vec<ServiceKey> {
        let state = self.state.lock();
        state.services.get(email).cloned().unwrap_or_default()
    }

    /// Registers a public key, given as PEM in either of the two usual forms.
    pub(crate) fn add_service_key(
        &self,
        email: String,
        key_id: Option<String>,
        pem: &str,
    ) -> Result<(), String> {
        let key = RsaPublicKey::from_public_key_pem(pem)
            .map_err(|error| error.to_string())
            .or_else(|first| RsaPublicKey::from_pkcs1_pem(pem).map_err(|_| first))?;
        let der = key.to_pkcs1_der().map_err(|error| error.to_string())?;
        self.push_key(email, key_id, der.as_bytes().to_vec());
        Ok(())
    }

    fn push_key(&self, email: String, key_id: Option<String>, der: Vec<u8>) {
        let mut state = self.state.lock();
        let keys = state.services.entry(email).or_default();
        keys.retain(|known| known.key_id != key_id);
        keys.push(ServiceKey { key_id, der });
    }

    /// The ready-made service account as the JSON that the vendor gives out. Its key is made on the
    /// first call.
    pub(crate) fn service_account(&self, token_uri: &str) -> Result<String, String> {
        let mut own = self.own_key.lock();
        let pem = match own.as_ref() {
            Some(pem) => pem.clone(),
            None => {
                let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, RSA_BITS)
                    .map_err(|error| error.to_string())?;
                let pem = key
                    .to_pkcs8_pem(LineEnding::LF)
                    .map_err(|error| error.to_string())?;
                own.insert(pem.to_string()).clone()
            }
        };
        let key: RsaPrivateKey = rsa::pkcs8::DecodePrivateKey::from_pkcs8_pem(&pem)
            .map_err(|error| error.to_string())?;
        let der = RsaPublicKey::from(&key)
            .to_pkcs1_der()
            .map_err(|error| error.to_string())?;
        self.push_key(
            EMAIL.to_owned(),
            Some(KEY_ID.to_owned()),
            der.as_bytes().to_vec(),
        );
        Ok(Obj::new()
            .str("type", "service_account")
            .str("project_id", "mock-project")
            .str("private_key_id", KEY_ID)
            .str("private_key", &pem)
            .str("client_email", EMAIL)
            .str("client_id", "100000000000000000000")
            .str("auth_uri", "https://accounts.google.com/o/oauth2/auth")
            .str("token_uri", token_uri)
            .str("universe_domain", "googleapis.com")
            .end())
    }

    /// Back to how it was at the start.
    pub(crate) fn reset(&self) {
        *self.state.lock() = State::default();
    }
}

/// 32 letters that nobody guesses.
fn random() -> String {
    let mut bytes = [0; 16];
    // A system without randomness cannot have started TLS or made a key either; the letters are
    // then all zero, and only tests that want strangers apart suffer.
    let _ = SystemRandom::new().fill(&mut bytes);
    hex(&bytes)
}
