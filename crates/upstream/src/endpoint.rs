//! Where a provider row is reached: scheme, host, port and the path that operations are appended to.

use http::HeaderValue;
use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use std::sync::Arc;

/// Why a base URL cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the base URL {0}")]
pub struct EndpointError(pub String);

/// A parsed base URL. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(Arc<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    https: bool,
    host: String,
    port: u16,
    authority: Authority,
    host_header: HeaderValue,
    base_path: String,
    origin: String,
}

impl Endpoint {
    /// Parses a base URL: absolute `http` or `https`, a host, no user info, no query, no fragment.
    ///
    /// # Errors
    /// Says which of these is broken.
    pub fn parse(base_url: &str) -> Result<Self, EndpointError> {
        let wrong = |why: &str| EndpointError(why.to_owned());
        let url = url::Url::parse(base_url.trim())
            .map_err(|error| EndpointError(format!("is not a URL: {error}")))?;
        let https = match url.scheme() {
            "http" => false,
            "https" => true,
            other => {
                return Err(EndpointError(format!(
                    "must be http or https, not `{other}`"
                )));
            }
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("must not contain user information"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("must not contain a query or a fragment"));
        }
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| wrong("has no host"))?;
        let port = url
            .port_or_known_default()
            .ok_or_else(|| wrong("has no port"))?;
        let text = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let authority: Authority = text.parse().map_err(|_| wrong("has an unusable host"))?;
        let host_header =
            HeaderValue::from_str(&text).map_err(|_| wrong("has an unusable host"))?;
        Ok(Self(Arc::new(Inner {
            origin: format!("{}://{host}:{port}", url.scheme()),
            https,
            host: host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned(),
            port,
            authority,
            host_header,
            base_path: url.path().trim_end_matches('/').to_owned(),
        })))
    }

    /// Whether the connection is TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.https
    }

    /// The host name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// `host:port` for spans and logs.
    #[must_use]
    pub fn server(&self) -> String {
        format!("{}:{}", self.0.host, self.0.port)
    }

    /// Host and, unless it is the scheme's own, port: the value of `Host`.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.0.authority.as_str()
    }

    /// The path of the base URL, without a trailing slash; empty for the root.
    #[must_use]
    pub fn base_path(&self) -> &str {
        &self.0.base_path
    }

    /// What identifies connections that may be reused for this endpoint.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.0.origin
    }

    /// Puts target and `Host` into `request` for `path_and_query` on HTTP/1.1 or HTTP/2.
    pub(crate) fn address<B>(
        &self,
        request: &mut http::Request<B>,
        path: &PathAndQuery,
        http2: bool,
    ) {
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = Some(path.clone());
        if http2 {
            parts.scheme = Some(if self.0.https {
                Scheme::HTTPS
            } else {
                Scheme::HTTP
            });
            parts.authority = Some(self.0.authority.clone());
        }
        if let Ok(uri) = http::Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        if http2 {
            request.headers_mut().remove(HOST);
            *request.version_mut() = http::Version::HTTP_2;
        } else {
            request
                .headers_mut()
                .insert(HOST, self.0.host_header.clone());
            *request.version_mut() = http::Version::HTTP_11;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_taken_apart() {
        let endpoint = Endpoint::parse("https://api.example.com/v1/").expect("a URL");
        assert_eq!(endpoint.origin(), "https://api.example.com:443");
        assert!(endpoint.is_https());
        assert_eq!(endpoint.base_path(), "/v1");
        let endpoint = Endpoint::parse("http://[::1]:8080").expect("a URL");
        assert_eq!(
            (endpoint.host(), endpoint.port(), endpoint.base_path()),
            ("::1", 8080, "")
        );
    }

    #[test]
    fn unusable_urls_are_refused_with_the_reason() {
        for (url, needle) in [
            ("ftp://x", "must be http"),
            ("http://user@x/", "user information"),
            ("http://x/?a=1", "query"),
            ("x", "not a URL"),
            ("http://", "not a URL"),
        ] {
            let error = Endpoint::parse(url).expect_err(url);
            assert!(error.to_string().contains(needle), "{error}");
        }
    }
}
