//! Where tokens come from: Google's and Entra's token endpoints, AWS STS, the metadata servers.
//!
//! An assertion's signature and claims are really checked. What is handed out is good on this mock
//! only. Start at [`answer`].

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use http::HeaderValue;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde::Deserialize;

use crate::accounts::{Issued, Issuer, Session};
use crate::clock::rfc3339;
use crate::directive::Directive;
use crate::json::Obj;
use crate::reply::{JSON, TEXT, XML};
use crate::serve::Call;
use crate::target::{Identity, decoded};

const JWT_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const EXCHANGE_GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const GOOGLE_AUDIENCE: &str = "https://oauth2.googleapis.com/token";
const ENTRA_SCOPE: &str = "https://cognitiveservices.azure.com/.default";
const ENTRA_RESOURCE: &str = "https://cognitiveservices.azure.com";
const CLIENT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const ROLE: &str = "mock-role";
/// Longest life of an assertion, in seconds.
const ASSERTED: u64 = 3_600;
/// How far the caller's clock may be ahead, in seconds.
const AHEAD: u64 = 30;

/// Status, content type and body.
pub(crate) type Reply = (u16, HeaderValue, String);

pub(crate) fn answer(call: &Call<'_>, which: Identity, directive: &Directive) -> Reply {
    let form = Form::read(call.body);
    match which {
        Identity::GoogleToken => google(call, &form, directive),
        Identity::EntraToken => entra(call, &form, directive),
        Identity::Sts => sts(call, &form, directive),
        Identity::GoogleMetadata => google_metadata(call, directive),
        Identity::AzureMetadata => azure_metadata(call, directive),
        Identity::ImdsToken | Identity::ImdsRoles | Identity::ImdsCredentials => {
            imds(call, which, directive)
        }
    }
}

/// The error that a directive asks for, in the shape of these endpoints.
pub(crate) fn error(which: Identity, status: u16, kind: &str, message: &str) -> Reply {
    match which {
        Identity::Sts => sts_error(status, kind, message),
        _ => oauth_error(status, kind, message),
    }
}

/// An urlencoded form, decoded; the first of two equal names wins.
struct Form(BTreeMap<String, String>);

impl Form {
    fn read(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let mut fields = BTreeMap::new();
        for (name, value) in text.split('&').filter_map(|pair| pair.split_once('=')) {
            let plain = |text: &str| decoded(&text.replace('+', " "));
            fields.entry(plain(name)).or_insert_with(|| plain(value));
        }
        Self(fields)
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

/// Secrets that a form may hold: a record shows their digest.
pub(crate) const SECRET_FIELDS: [&str; 7] = [
    "assertion",
    "client_secret",
    "client_assertion",
    "refresh_token",
    "subject_token",
    "WebIdentityToken",
    "password",
];

fn oauth_error(status: u16, kind: &str, description: &str) -> Reply {
    let body = Obj::new()
        .str("error", kind)
        .str("error_description", description)
        .end();
    (status, JSON, body)
}

fn google(call: &Call<'_>, form: &Form, directive: &Directive) -> Reply {
    let outcome = match form.get("grant_type") {
        JWT_GRANT => assertion(call, form.get("assertion")),
        "refresh_token" => {
            let token = form.get("refresh_token");
            if form.get("client_id").is_empty() || form.get("client_secret").is_empty() {
                return oauth_error(401, "invalid_client", "The OAuth client was not found.");
            }
            if !token.is_empty() && call.shared.accepts_key(token) {
                Ok(())
            } else {
                Err("Token has been expired or revoked.")
            }
        }
        EXCHANGE_GRANT => {
            let token = form.get("subject_token");
            if token.is_empty() || form.get("audience").is_empty() {
                Err("The subject token or the audience is missing.")
            } else {
                Ok(())
            }
        }
        _ => return oauth_error(400, "unsupported_grant_type", "Invalid grant_type"),
    };
    match outcome {
        Ok(()) => google_token(call, directive),
        Err(why) => oauth_error(400, "invalid_grant", why),
    }
}

fn google_token(call: &Call<'_>, directive: &Directive) -> Reply {
    let Issued { what, expires_in } =
        call.shared
            .accounts
            .issue(Issuer::Google, directive.expires_in, call.now());
    let body = Obj::new()
        .str("access_token", &what)
        .num("expires_in", expires_in)
        .str("token_type", "Bearer")
        .end();
    (200, JSON, body)
}

#[derive(Deserialize)]
struct JwtHead {
    alg: String,
    kid: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    scope: Option<String>,
    aud: String,
    iat: u64,
    exp: u64,
}

/// A service account's assertion: RS256 by one of its registered keys, and claims as Google wants
/// them.
fn assertion(call: &Call<'_>, jwt: &str) -> Result<(), &'static str> {
    const SHAPE: &str = "Invalid JWT: Token must be a short-lived token and in a reasonable shape.";
    let (signed, signature) = jwt.rsplit_once('.').ok_or(SHAPE)?;
    let (head, claims) = signed.split_once('.').ok_or(SHAPE)?;
    let bytes = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| SHAPE);
    let head: JwtHead = serde_json::from_slice(&bytes(head)?).map_err(|_| SHAPE)?;
    let claims: Claims = serde_json::from_slice(&bytes(claims)?).map_err(|_| SHAPE)?;
    if head.alg != "RS256" {
        return Err("Invalid JWT: the algorithm must be RS256.");
    }
    let keys = call.shared.accounts.service_keys(&claims.iss);
    if keys.is_empty() {
        return Err("Invalid grant: account not found");
    }
    let signature = bytes(signature)?;
    let holds = keys
        .iter()
        .filter(|key| match (&key.key_id, &head.kid) {
            (Some(known), Some(named)) => known == named,
            (_, _) => true,
        })
        .any(|key| {
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &key.der)
                .verify(signed.as_bytes(), &signature)
                .is_ok()
        });
    if !holds {
        return Err("Invalid JWT Signature.");
    }
    if claims.scope.is_none_or(|scope| scope.trim().is_empty()) {
        return Err("Invalid OAuth scope or ID token audience provided.");
    }
    let own = call
        .head
        .headers
        .get("host")
        .and_then(|host| host.to_str().ok())
        .is_some_and(|host| {
            let place = claims.aud.split_once("://").map(|(_, place)| place);
            place == Some(&format!("{host}/token"))
        });
    if claims.aud != GOOGLE_AUDIENCE && !own {
        return Err("Invalid JWT: Failed audience check.");
    }
    let now = call.now();
    if claims.exp <= claims.iat || claims.exp - claims.iat > ASSERTED {
        return Err("Invalid JWT: Token must be a short-lived token (60 minutes).");
    }
    if claims.exp <= now || claims.iat > now + AHEAD {
        return Err(
            "Invalid JWT: iat and exp must be in a reasonable timeframe. Check the values and the \
             system clock.",
        );
    }
    Ok(())
}

fn entra(call: &Call<'_>, form: &Form, directive: &Directive) -> Reply {
    if form.get("grant_type") != "client_credentials" {
        let why = "AADSTS70003: The app requested an unsupported grant type.";
        return oauth_error(400, "unsupported_grant_type", why);
    }
    if form.get("scope") != ENTRA_SCOPE {
        let why = "AADSTS70011: The provided value for the input parameter 'scope' is not valid.";
        return oauth_error(400, "invalid_scope", why);
    }
    if form.get("client_id").is_empty() {
        let why = "AADSTS900144: The request body must contain the parameter 'client_id'.";
        return oauth_error(400, "invalid_request", why);
    }
    let (secret, assertion) = (form.get("client_secret"), form.get("client_assertion"));
    let proven = if secret.is_empty() {
        form.get("client_assertion_type") == CLIENT_ASSERTION
            && assertion.split('.').filter(|part| !part.is_empty()).count() == 3
    } else {
        call.shared.accepts_key(secret)
    };
    if !proven {
        let why = "AADSTS7000215: Invalid client secret or assertion provided.";
        return oauth_error(401, "invalid_client", why);
    }
    let Issued { what, expires_in } =
        call.shared
            .accounts
            .issue(Issuer::Entra, directive.expires_in, call.now());
    let body = Obj::new()
        .str("token_type", "Bearer")
        .num("expires_in", expires_in)
        .num("ext_expires_in", expires_in)
        .str("access_token", &what)
        .end();
    (200, JSON, body)
}

fn header<'a>(call: &'a Call<'_>, name: &str) -> Option<&'a str> {
    let value = call.head.headers.get(name);
    value.and_then(|value| value.to_str().ok())
}

fn google_metadata(call: &Call<'_>, directive: &Directive) -> Reply {
    if header(call, "metadata-flavor") != Some("Google") {
        let why = "Missing Metadata-Flavor:Google header.";
        return (403, TEXT, why.to_owned());
    }
    google_token(call, directive)
}

fn azure_metadata(call: &Call<'_>, directive: &Directive) -> Reply {
    if header(call, "metadata") != Some("true") {
        return oauth_error(
            400,
            "bad_request_102",
            "Required metadata header not specified",
        );
    }
    let resource = call.argument("resource").unwrap_or_default();
    if resource.trim_end_matches('/') != ENTRA_RESOURCE {
        return oauth_error(400, "invalid_resource", "AADSTS500011: no such resource.");
    }
    let now = call.now();
    let Issued { what, expires_in } =
        call.shared
            .accounts
            .issue(Issuer::Entra, directive.expires_in, now);
    let until = now.saturating_add(expires_in);
    let body = Obj::new()
        .str("access_token", &what)
        .str("expires_in", &expires_in.to_string())
        .str("expires_on", &until.to_string())
        .str("resource", &resource)
        .str("token_type", "Bearer")
        .end();
    (200, JSON, body)
}

fn sts_error(status: u16, code: &str, message: &str) -> Reply {
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>mock</RequestId></ErrorResponse>"
    );
    (status, XML, body)
}

fn sts(call: &Call<'_>, form: &Form, directive: &Directive) -> Reply {
    if form.get("Action") != "AssumeRoleWithWebIdentity" || form.get("Version") != "2011-06-15" {
        return sts_error(400, "InvalidAction", "Could not find this operation.");
    }
    if let Some(missing) = ["RoleArn", "RoleSessionName", "WebIdentityToken"]
        .iter()
        .find(|name| form.get(name).is_empty())
    {
        let why = format!("The request must contain the parameter {missing}.");
        return sts_error(400, "MissingParameter", &why);
    }
    if !call.shared.accepts_key(form.get("WebIdentityToken")) {
        let why = "No matching key was found for the given web identity token.";
        return sts_error(400, "InvalidIdentityToken", why);
    }
    let now = call.now();
    let issued = call
        .shared
        .accounts
        .issue_session(directive.expires_in, now);
    let until = rfc3339(now.saturating_add(issued.expires_in));
    let Session {
        access_key,
        secret_key,
        session_token,
    } = issued.what;
    let body = format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{access_key}</AccessKeyId><SecretAccessKey>{secret_key}</SecretAccessKey><SessionToken>{session_token}</SessionToken><Expiration>{until}</Expiration></Credentials></AssumeRoleWithWebIdentityResult><ResponseMetadata><RequestId>mock</RequestId></ResponseMetadata></AssumeRoleWithWebIdentityResponse>"
    );
    (200, XML, body)
}

/// The instance metadata service, second version: a token first, then role, then credentials.
fn imds(call: &Call<'_>, which: Identity, directive: &Directive) -> Reply {
    let (now, accounts) = (call.now(), &call.shared.accounts);
    let text = |status: u16, body: &str| (status, TEXT, body.to_owned());
    if which == Identity::ImdsToken {
        let ttl = header(call, "x-aws-ec2-metadata-token-ttl-seconds");
        let ttl = ttl.and_then(|ttl| ttl.parse().ok());
        let Some(ttl) = ttl.filter(|ttl| (1..=21_600).contains(ttl)) else {
            return text(400, "Bad Request");
        };
        return text(200, &accounts.issue(Issuer::Imds, Some(ttl), now).what);
    }
    let token = header(call, "x-aws-ec2-metadata-token").unwrap_or_default();
    if !accounts.is_live(Issuer::Imds, token, now) {
        return text(401, "Unauthorized");
    }
    if which == Identity::ImdsRoles {
        return text(200, ROLE);
    }
    if !call.head.uri.path().ends_with(&format!("/{ROLE}")) {
        return text(404, "Not Found");
    }
    let issued = accounts.issue_session(directive.expires_in, now);
    let Session {
        access_key,
        secret_key,
        session_token,
    } = issued.what;
    let body = Obj::new()
        .str("Code", "Success")
        .str("LastUpdated", &rfc3339(now))
        .str("Type", "AWS-HMAC")
        .str("AccessKeyId", &access_key)
        .str("SecretAccessKey", &secret_key)
        .str("Token", &session_token)
        .str(
            "Expiration",
            &rfc3339(now.saturating_add(issued.expires_in)),
        )
        .end();
    (200, JSON, body)
}
