//! TLS towards a relay: rustls, always verified against the machine's roots (RFC 8314, RFC 9325).

use std::path::Path;
use std::sync::{Arc, OnceLock};

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::wire::Stream;

/// Why TLS could not be set up; none of it gets better by trying again.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsFault {
    #[error("the relay's name cannot be verified: {0}")]
    Name(String),
    #[error("no usable root certificates: {0}")]
    Roots(String),
    #[error("rustls cannot be set up: {0}")]
    Setup(String),
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
    #[error("the connection broke during the TLS handshake: {0}")]
    Network(std::io::Error),
}

/// Puts TLS over `stream`, the relay verified as `host`; `extra_roots` is a PEM file trusted besides the machine's own.
pub(super) async fn secure(
    stream: Box<dyn Stream>,
    host: &str,
    extra_roots: Option<&Path>,
) -> Result<Box<dyn Stream>, TlsFault> {
    let name = ServerName::try_from(host.to_owned()).map_err(|error| TlsFault::Name(error.to_string()))?;
    let connector = TlsConnector::from(config(extra_roots)?);
    match connector.connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        // rustls wraps its own errors as "invalid data"; the rest is the network's.
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Err(TlsFault::Handshake(error.to_string())),
        Err(error) => Err(TlsFault::Network(error)),
    }
}

/// The settings of all connections: made once, so that the roots are read once and TLS sessions resume.
fn config(extra_roots: Option<&Path>) -> Result<Arc<ClientConfig>, TlsFault> {
    static COMMON: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(path) = extra_roots {
        return build(Some(path));
    }
    if let Some(config) = COMMON.get() {
        return Ok(Arc::clone(config));
    }
    let config = build(None)?;
    Ok(Arc::clone(COMMON.get_or_init(|| config)))
}

fn build(extra_roots: Option<&Path>) -> Result<Arc<ClientConfig>, TlsFault> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = extra_roots {
        let unusable = |error: &dyn std::fmt::Display| TlsFault::Roots(format!("{}: {error}", path.display()));
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))? {
            let certificate = certificate.map_err(|error| unusable(&error))?;
            roots.add(certificate).map_err(|error| unusable(&error))?;
        }
    }
    if roots.is_empty() {
        let why = native.errors.first().map_or_else(|| "this machine has none".to_owned(), ToString::to_string);
        return Err(TlsFault::Roots(why));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsFault::Setup(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
