//! The TLS client: rustls on ring, the system's certificate authorities, or Mozilla's when it has none.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// Builds the client configuration. `http2` offers HTTP/2 beside HTTP/1.1.
///
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` name other authorities, as they do for most programs.
///
/// # Errors
/// The crypto provider does not support the protocol versions, which would be a bug of the build.
pub fn client_config(http2: bool) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    let (added, _ignored) = roots.add_parsable_certificates(native.certs);
    if added == 0 {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = if http2 {
        vec![b"h2".to_vec(), b"http/1.1".to_vec()]
    } else {
        vec![b"http/1.1".to_vec()]
    };
    Ok(Arc::new(config))
}
