//! Who is calling: finds the credential of a request and says no in the vendor's words.
//!
//! Never keeps or shows a credential. Start at [`credential`] and [`authenticate`].

use http::HeaderMap;

use crate::accounts::Issuer;
use crate::json::Obj;
use crate::reply::Refusal;
use crate::serve::Call;
use crate::sigv4;
use crate::target::{Dialect, Route, Target, Vendor, argument};

/// The credential of a request, if it has one that is not empty; of a signed request, its access
/// key.
pub(crate) fn credential(target: &Target<'_>, headers: &HeaderMap, query: &str) -> Option<String> {
    let get = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = || {
        let (scheme, key) = get("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    };
    let own = match target.vendor {
        Vendor::Anthropic => get("x-api-key"),
        Vendor::Gemini | Vendor::Vertex if target.dialect != Dialect::OpenAi => {
            get("x-goog-api-key")
        }
        Vendor::Azure => get("api-key"),
        Vendor::Bedrock => get("authorization")
            .and_then(sigv4::Claim::read)
            .map(|claim| claim.access_key),
        Vendor::OpenAi | Vendor::Gemini | Vendor::Vertex => None,
    };
    let found = own
        .filter(|key| !key.is_empty())
        .or_else(bearer)
        .map(str::to_owned);
    let found = match target.vendor {
        Vendor::Gemini | Vendor::Vertex => found.or_else(|| argument(query, "key")),
        _ => found,
    };
    found.filter(|key| !key.is_empty())
}

/// Whether the caller may call at all.
pub(crate) fn authenticate(call: &Call<'_>) -> Result<(), Refusal> {
    if matches!(call.target.route, Route::Identity(_)) {
        return Ok(());
    }
    match call.target.vendor {
        Vendor::OpenAi => by_key(call, openai),
        Vendor::Anthropic => by_key(call, anthropic),
        Vendor::Gemini => by_key(call, gemini),
        Vendor::Vertex => vertex(call),
        Vendor::Azure => azure(call),
        Vendor::Bedrock => bedrock(call),
    }
}

/// `refusal` is told whether there was a key at all.
fn by_key(call: &Call<'_>, refusal: fn(&Call<'_>, bool) -> Refusal) -> Result<(), Refusal> {
    match call.key.as_deref() {
        Some(key) if call.shared.accepts_key(key) => Ok(()),
        key => Err(refusal(call, key.is_some())),
    }
}

fn openai(_: &Call<'_>, given: bool) -> Refusal {
    if given {
        let message = "Incorrect API key provided: ****. You can find your API key at \
                       https://platform.openai.com/account/api-keys.";
        return Refusal::new(Dialect::OpenAi, 401, message);
    }
    let message = "You didn't provide an API key. You need to provide your API key in an \
                   Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).";
    Refusal::new(Dialect::OpenAi, 401, message).code(None)
}

fn anthropic(_: &Call<'_>, given: bool) -> Refusal {
    let message = if given {
        "invalid x-api-key"
    } else {
        "x-api-key header is required"
    };
    Refusal::new(Dialect::Anthropic, 401, message)
}

/// Google says 400 to a wrong key and 403 to none.
fn gemini(call: &Call<'_>, given: bool) -> Refusal {
    if call.target.dialect == Dialect::OpenAi {
        return openai(call, given);
    }
    if !given {
        let message = "Method doesn't allow unregistered callers (callers without established \
                       identity). Please use API Key or other form of API consumer identity to \
                       call this API.";
        return Refusal::new(Dialect::Gemini, 403, message);
    }
    let info = Obj::new()
        .str("@type", "type.googleapis.com/google.rpc.ErrorInfo")
        .str("reason", "API_KEY_INVALID")
        .str("domain", "googleapis.com")
        .end();
    Refusal::bad_request(
        Dialect::Gemini,
        "API key not valid. Please pass a valid API key.",
    )
    .details(format!("[{info}]"))
}

/// An OAuth token of ours, or an API key in Google's own header.
fn vertex(call: &Call<'_>) -> Result<(), Refusal> {
    let by_key = call.head.headers.contains_key("x-goog-api-key");
    let accepted = call.key.as_deref().is_some_and(|key| {
        if by_key {
            call.shared.accepts_key(key)
        } else {
            call.shared
                .accounts
                .is_live(Issuer::Google, key, call.now())
        }
    });
    if accepted {
        return Ok(());
    }
    let info = Obj::new()
        .str("@type", "type.googleapis.com/google.rpc.ErrorInfo")
        .str("reason", "ACCESS_TOKEN_TYPE_UNSUPPORTED")
        .str("domain", "googleapis.com")
        .end();
    let message = "Request had invalid authentication credentials. Expected OAuth 2 access token, \
                   login cookie or other valid authentication credential.";
    Err(Refusal::new(Dialect::Gemini, 401, message).details(format!("[{info}]")))
}

/// A key in `api-key`, or a token of ours; the newer paths also take a listed key as a bearer.
fn azure(call: &Call<'_>) -> Result<(), Refusal> {
    let (headers, shared) = (&call.head.headers, call.shared);
    let accepted = call.key.as_deref().is_some_and(|key| {
        if headers.contains_key("api-key") {
            return shared.accepts_key(key);
        }
        shared.accounts.is_live(Issuer::Entra, key, call.now())
            || (call.target.deployment.is_none() && shared.lists_key(key))
    });
    if accepted {
        return Ok(());
    }
    let message = "Access denied due to invalid subscription key or wrong API endpoint. Make sure \
                   to provide a valid key for an active subscription and use a correct regional \
                   API endpoint for your resource.";
    Err(Refusal::azure(401, "401", message))
}

/// A signature, or a bearer key.
fn bedrock(call: &Call<'_>) -> Result<(), Refusal> {
    let authorization = call.head.headers.get("authorization");
    let Some(authorization) = authorization.and_then(|value| value.to_str().ok()) else {
        return Err(Refusal::aws(
            403,
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        ));
    };
    if authorization.starts_with("AWS4-") {
        return sigv4::verify(&call.shared.accounts, call.head, call.body, call.now());
    }
    by_key(call, |_, _| {
        Refusal::aws(
            403,
            "AccessDeniedException",
            "Authentication failed: Please make sure your API Key is valid.",
        )
    })
}
