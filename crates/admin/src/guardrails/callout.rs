//! The settings of `http-callout`: where a service of the customer's own is asked, and how long.
//!
//! An address is `https` on its usual port (billing 13). Plain `http` and other ports are for services
//! inside: hosts whose very name says that they are not public, where the installation's address policy
//! allows them. The policy is asked about every address, and again by whoever dials it. Start at [`read`].

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};
use url::{Host, Url};

use super::evaluator::Policy;
use super::headers::Wishes;
use crate::input::{Fields, Problems};

/// The longest that a callout may take, in milliseconds: within the time that a gateway waits for a check.
pub(super) const LONGEST: u64 = 4_500;
/// The longest address.
pub(super) const ADDRESS: usize = 2_048;

/// Reads `{url, headers, timeout_ms}`.
pub(super) fn read(
    fields: &Fields<'_>,
    policy: Policy<'_>,
    problems: &mut Problems,
) -> (Value, Wishes) {
    fields.only(&["url", "headers", "timeout_ms"], problems);
    if fields.raw(&["url"]).is_none_or(|(_, url)| url.is_null()) {
        problems.add(fields.path("url"), "required", "is required");
    }
    let url = fields.trimmed("url", 1..=ADDRESS, problems).value();
    if let Some(Err(message)) = url.as_deref().map(|url| check(url, policy)) {
        problems.add(fields.path("url"), "invalid_value", message);
    }
    let headers = Wishes::read(fields, problems);
    let timeout = fields.whole(&["timeout_ms"], 1..=LONGEST, problems).value();
    let settings = json!({
        "url": url.unwrap_or_default(),
        "timeout_ms": timeout.unwrap_or(LONGEST),
    });
    (settings, headers)
}

/// Whether an address may be called.
fn check(text: &str, policy: Policy<'_>) -> Result<(), String> {
    let url = Url::parse(text).map_err(|_malformed| "must be an https URL".to_owned())?;
    let Some(host) = url
        .host()
        .filter(|_| ["http", "https"].contains(&url.scheme()))
    else {
        return Err("must be an https URL".into());
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or a password; send them in `headers`".into());
    }
    if url.fragment().is_some() {
        return Err("must not hold a fragment".into());
    }
    let usual = url.scheme() == "https" && url.port_or_known_default() == Some(443);
    if !usual && !is_inside(&host) {
        return Err("must be https on port 443; other ports and http are for private hosts".into());
    }
    // The policy judges where a call goes; what is asked for there is no address.
    policy(&origin(text).ok_or("must be an https URL")?)
}

/// Whether the name of a host says that it is not on the open internet.
fn is_inside(host: &Host<&str>) -> bool {
    let v4 = |ip: &Ipv4Addr| ip.is_private() || ip.is_loopback();
    match host {
        Host::Ipv4(ip) => v4(ip),
        Host::Ipv6(ip) => {
            ip.to_ipv4_mapped().is_some_and(|ip| v4(&ip))
                || *ip == Ipv6Addr::LOCALHOST
                || ip.is_unique_local()
        }
        Host::Domain(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let last = name.rsplit('.').next().unwrap_or_default();
            !name.contains('.') || ["localhost", "local", "internal", "lan"].contains(&last)
        }
    }
}

/// Scheme, host and port of an address: who receives what is sent there.
pub(super) fn origin(text: &str) -> Option<String> {
    let origin = Url::parse(text).ok()?.origin();
    origin.is_tuple().then(|| origin.ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_https_or_inside() {
        let policy = |url: &str| match url {
            "https://refused.example.com" => Err("refused".to_owned()),
            _ => Ok(()),
        };
        for (url, fine) in [
            ("https://guard.example.com/check?tenant=1", true),
            ("https://guard.example.com:443/", true),
            ("https://guard.example.com:8443/", false),
            ("http://guard.example.com/", false),
            ("https://refused.example.com/x", false),
            ("http://127.0.0.1:9000/check", true),
            ("http://[::1]:9000", true),
            ("http://10.1.2.3/", true),
            ("http://8.8.8.8/", false),
            ("http://guard:8080/", true),
            ("http://guard.svc.cluster.local:8080/", true),
            ("http://local.example.com:8080/", false),
            ("https://user:pw@guard.example.com/", false),
            ("https://guard.example.com/#x", false),
            ("ftp://guard.example.com/", false),
            ("file:///etc/passwd", false),
            ("guard.example.com", false),
        ] {
            assert_eq!(check(url, &policy).is_ok(), fine, "{url}");
        }
    }
}
