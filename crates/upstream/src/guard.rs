//! Which addresses may be dialled on behalf of a tenant (data-plane 23).
//!
//! Judged twice: the text of a URL when it is saved, and every resolved address right before it is
//! dialled, so that a name cannot be pointed elsewhere in between. Fails closed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use crate::endpoint::Endpoint;

/// Why an address is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// The rules, read from the configuration once.
#[derive(Debug, Clone, Default)]
pub struct AddressGuard {
    /// Every private and loopback address is allowed (`LANGWATCH_ALLOW_PRIVATE_UPSTREAMS=true`).
    pub allow_private: bool,
    /// Private ranges that are allowed.
    pub ranges: Vec<IpNet>,
    /// Single sockets that are allowed: the built-in mock of `--demo`.
    pub sockets: Vec<SocketAddr>,
    /// Hosts that are not judged by their addresses (`ALLOWED_PROXY_HOSTS`), lowercase.
    pub hosts: Vec<String>,
    /// Plain `http` is refused unless the host is listed (`REQUIRE_HTTPS_CUSTOM_ENDPOINTS`).
    pub require_https: bool,
    /// Everything is allowed: for the platform's own services (metadata, container credentials), at
    /// addresses that the platform or the operator named. Never for anything that a tenant can influence.
    pub platform: bool,
}

const METADATA_HOSTS: [&str; 3] = ["metadata", "metadata.google.internal", "metadata.goog"];

impl AddressGuard {
    /// Whether the operator lists the host, or allows private addresses to all: then an address that is no
    /// vendor's own may be trusted with a token request.
    #[must_use]
    pub fn is_listed(&self, endpoint: &Endpoint) -> bool {
        let host = endpoint.host().trim_end_matches('.').to_ascii_lowercase();
        let ip = host.parse::<IpAddr>().ok();
        self.allow_private
            || self.hosts.contains(&host)
            || ip.is_some_and(|ip| {
                self.ranges.iter().any(|range| range.contains(&ip))
                    || self.sockets.contains(&SocketAddr::new(ip, endpoint.port()))
            })
    }

    /// Judges the form of a URL: when it is saved, and again before each connection.
    ///
    /// # Errors
    /// The rule that refuses it.
    pub fn check_endpoint(&self, endpoint: &Endpoint) -> Result<(), Refusal> {
        if self.platform {
            return Ok(());
        }
        let host = endpoint.host().trim_end_matches('.').to_ascii_lowercase();
        if METADATA_HOSTS.contains(&host.as_str()) || host.ends_with(".compute.internal") {
            return Err(Refusal(format!(
                "the host `{host}` serves machine credentials and is never called"
            )));
        }
        let listed = self.hosts.contains(&host);
        if !endpoint.is_https() && self.require_https && !listed {
            return Err(Refusal(format!(
                "plain http to `{host}` is refused: use https"
            )));
        }
        match host.parse::<IpAddr>() {
            Ok(ip) => self.check_address(&host, SocketAddr::new(ip, endpoint.port())),
            Err(_) if host == "localhost" || host.ends_with(".localhost") => self.check_address(
                &host,
                SocketAddr::new(Ipv4Addr::LOCALHOST.into(), endpoint.port()),
            ),
            Err(_) => Ok(()),
        }
    }

    /// Judges an address that `host` resolved to, right before it is dialled.
    ///
    /// # Errors
    /// The rule that refuses it.
    pub fn check_address(&self, host: &str, address: SocketAddr) -> Result<(), Refusal> {
        if self.platform {
            return Ok(());
        }
        let ip = canonical(address.ip());
        self.check_ip(host, SocketAddr::new(ip, address.port()))?;
        // Whoever allows a range of IPv6 did not allow what may be reached through it.
        embedded(ip).into_iter().flatten().try_for_each(|inner| {
            self.check_ip(host, SocketAddr::new(inner.into(), address.port()))
        })
    }

    fn check_ip(&self, host: &str, address: SocketAddr) -> Result<(), Refusal> {
        let ip = address.ip();
        if never(ip) {
            return Err(Refusal(format!(
                "`{host}` is a link-local or metadata address and is never called"
            )));
        }
        let allowed = !is_private(ip)
            || self.allow_private
            || self
                .hosts
                .iter()
                .any(|listed| listed.eq_ignore_ascii_case(host))
            || self.sockets.contains(&address)
            || self.ranges.iter().any(|range| range.contains(&ip));
        if allowed {
            return Ok(());
        }
        Err(Refusal(format!(
            "`{host}` is a private or reserved address ({ip}); allow its range with \
             LANGWATCH_ALLOW_PRIVATE_UPSTREAMS"
        )))
    }
}

/// IPv4 inside IPv6 is judged as IPv4.
fn canonical(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

/// The IPv4 addresses that an IPv6 address leads to where its form is translated or tunnelled; at most
/// two. Another prefix that a network of its own translates cannot be told from here.
fn embedded(ip: IpAddr) -> [Option<Ipv4Addr>; 2] {
    let IpAddr::V6(v6) = ip else {
        return [None, None];
    };
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        // The unspecified address and loopback are no IPv4 addresses.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None, None],
        // IPv4-compatible, IPv4-translated, NAT64 under the well-known and the local prefix.
        [0, 0, 0, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0 | 1, _, _, _, high, low] => [of(high, low), None],
        // 6to4.
        [0x2002, high, low, ..] => [of(high, low), None],
        // Teredo: the server, and the client with its bits inverted.
        [0x2001, 0, server_high, server_low, _, _, high, low] => {
            [of(server_high, server_low), of(!high, !low)]
        }
        // ISATAP, under whatever prefix.
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => [of(high, low), None],
        _ => [None, None],
    }
}

/// Refused whatever the configuration says.
fn never(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            v4.is_unspecified() || v4.is_link_local() || v4 == Ipv4Addr::new(168, 63, 129, 16)
        }
        IpAddr::V6(v6) => {
            v6.is_unspecified()
                || v6.is_unicast_link_local()
                || v6 == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
        }
    }
}

/// Refused unless the configuration allows it.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            v4.is_loopback()
                || v4.is_private()
                || v4.is_multicast()
                || v4.is_documentation()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 192 && b == 88 && c == 99)
                || (a == 198 && (b == 18 || b == 19))
        }
        IpAddr::V6(v6) => {
            let [a, b, c, d, e, f, ..] = v6.segments();
            v6.is_loopback()
                || v6.is_multicast()
                || v6.is_unique_local()
                // Site-local: deprecated, and still private where it is routed.
                || (a & 0xffc0) == 0xfec0
                || (a == 0x64 && b == 0xff9b && (c == 0 || c == 1))
                || (a == 0x100 && b == 0 && c == 0 && d == 0)
                || (a == 0x2001 && b == 0)
                || (a == 0x2001 && b == 0xdb8)
                || a == 0x2002
                || (a == 0x3fff && b < 0x1000)
                // Deprecated IPv4-compatible forms reach IPv4 hosts on some systems.
                || [a, b, c, d, e, f] == [0; 6]
                // IPv4-translated.
                || [a, b, c, d, e, f] == [0, 0, 0, 0, 0xffff, 0]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(guard: &AddressGuard, url: &str) -> bool {
        let endpoint = Endpoint::parse(url).expect("a URL");
        guard.check_endpoint(&endpoint).is_ok()
    }

    #[test]
    fn private_and_reserved_addresses_are_refused_unless_listed() {
        let closed = AddressGuard::default();
        let open = AddressGuard {
            allow_private: true,
            ..AddressGuard::default()
        };
        for url in [
            "http://127.0.0.1:8080",
            "http://localhost",
            "http://10.1.2.3",
            "http://172.16.0.1",
            "http://192.168.1.1",
            "http://100.64.0.1",
            "http://0.1.2.3",
            "http://192.0.0.8",
            "http://198.18.0.1",
            "http://203.0.113.5",
            "http://240.0.0.1",
            "http://224.0.0.1",
            "http://[::1]",
            "http://[fd12::1]",
            "http://[::ffff:10.0.0.1]",
            "http://[64:ff9b::a00:1]",
            "http://[2002:a00:1::]",
            "http://[::ffff:0:7f00:1]",
            "http://[::ffff:0:808:808]",
            "http://[fec0::1]",
            "http://[feff::1]",
            "http://2130706433",
            "http://0x7f.1",
        ] {
            assert!(!verdict(&closed, url), "{url}");
            assert!(verdict(&open, url), "{url}");
        }
        assert!(verdict(&closed, "https://api.openai.com/v1"));
        assert!(verdict(&closed, "https://8.8.8.8"));
    }

    #[test]
    fn metadata_services_are_refused_whatever_is_allowed() {
        let open = AddressGuard {
            allow_private: true,
            ..AddressGuard::default()
        };
        for url in [
            "http://169.254.169.254",
            "http://169.254.170.2",
            "http://168.63.129.16",
            "http://[fd00:ec2::254]",
            "http://metadata.google.internal",
            "http://METADATA",
            "http://ip-10-0-0-1.eu.compute.internal",
            "http://[fe80::1]",
            "http://0.0.0.0",
            "http://[::ffff:169.254.169.254]",
            "http://[::169.254.169.254]",
            "http://[::ffff:0:a9fe:a9fe]",
            "http://[64:ff9b::a9fe:a9fe]",
            "http://[64:ff9b:1::a9fe:a9fe]",
            "http://[2002:a9fe:a9fe::1]",
            // Teredo: the server in clear, the client inverted.
            "http://[2001:0:a9fe:a9fe::1]",
            "http://[2001::5601:5601]",
            // ISATAP.
            "http://[2a00:1::5efe:a9fe:a9fe]",
            "http://[2a00:1::200:5efe:a9fe:a9fe]",
            "http://[64:ff9b::a83f:8110]",
        ] {
            assert!(!verdict(&open, url), "{url}");
        }
    }

    #[test]
    fn ranges_sockets_and_hosts_open_just_what_they_name() {
        let guard = AddressGuard {
            ranges: vec!["10.1.0.0/16".parse().expect("a range")],
            sockets: vec!["127.0.0.1:7000".parse().expect("a socket")],
            hosts: vec!["localhost".into()],
            require_https: true,
            ..AddressGuard::default()
        };
        assert!(verdict(&guard, "https://10.1.2.3"));
        assert!(!verdict(&guard, "https://10.2.2.3"));
        assert!(verdict(&guard, "https://127.0.0.1:7000"));
        assert!(!verdict(&guard, "https://127.0.0.1:7001"));
        assert!(!verdict(&guard, "http://api.example.com"));
        assert!(verdict(&guard, "http://localhost:9"));
    }

    #[test]
    fn an_open_range_of_ipv6_does_not_open_the_ipv4_addresses_inside() {
        let nat64 = |more: &[&str]| AddressGuard {
            ranges: ["64:ff9b::/96"]
                .iter()
                .chain(more)
                .map(|range| range.parse().expect("a range"))
                .collect(),
            ..AddressGuard::default()
        };
        assert!(verdict(&nat64(&[]), "https://[64:ff9b::808:808]"));
        assert!(!verdict(&nat64(&[]), "https://[64:ff9b::a00:1]"));
        assert!(!verdict(&nat64(&[]), "https://[64:ff9b::a9fe:a9fe]"));
        let both = nat64(&["10.0.0.0/8", "169.254.0.0/16"]);
        assert!(verdict(&both, "https://[64:ff9b::a00:1]"));
        assert!(!verdict(&both, "https://[64:ff9b::a9fe:a9fe]"));
        let loopback = AddressGuard {
            sockets: vec!["[::1]:7000".parse().expect("a socket")],
            ..AddressGuard::default()
        };
        assert!(verdict(&loopback, "http://[::1]:7000"));
        assert!(!verdict(&loopback, "http://[::1]:7001"));
    }
}
