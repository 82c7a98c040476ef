//! TLS towards a relay: rustls, always verified against the machine's roots (RFC 8314, RFC 9325).

use std::path::Path;
use std::sync::{Arc, OnceLock};

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, InvalidMessage, RootCertStore};

use super::wire::Stream;

/// Why TLS could not be set up; none of it gets better by trying again.
#[derive(Debug, thiserror::Error)]
pub(in crate::mail) enum TlsFault {
    #[error("the relay's name cannot be verified: {0}")]
    Name(String),
    #[error("no usable root certificates: {0}")]
    Roots(String),
    #[error("rustls cannot be set up: {0}")]
    Setup(String),
    #[error("{0}")]
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
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Err(TlsFault::Handshake(in_words(&error, host, extra_roots)))
        }
        Err(error) => Err(TlsFault::Network(error)),
    }
}

/// What went wrong with a relay's certificate, and what to do about it.
fn in_words(error: &std::io::Error, host: &str, extra_roots: Option<&Path>) -> String {
    let whole = || format!("the TLS handshake failed: {error}");
    let rustls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let Some(rustls) = rustls else { return whole() };
    let nobody = match extra_roots {
        None => "no authority that this machine trusts".to_owned(),
        Some(file) => format!("no authority that this machine trusts or {} holds", file.display()),
    };
    match rustls {
        Error::InvalidCertificate(fault) => match fault {
            CertificateError::Expired => {
                "the relay's certificate has expired: renew it, or set this machine's clock".into()
            }
            CertificateError::ExpiredContext { time, not_after } => format!(
                "the relay's certificate expired {} ago: renew it, or set this machine's clock",
                length(time.as_secs().saturating_sub(not_after.as_secs()))
            ),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the relay's certificate is not valid yet: set this machine's clock, or the certificate's dates".into()
            }
            CertificateError::NotValidForName => {
                format!("the relay's certificate is not for {host}: set host to the name that it is for")
            }
            CertificateError::NotValidForNameContext { presented, .. } => {
                // They come as `DnsName("…")`.
                let names = presented.iter().map(|name| name.split('"').nth(1).unwrap_or(name)).take(5);
                let names = names.collect::<Vec<_>>().join(", ");
                let names = if names.is_empty() { "no name at all" } else { &names };
                format!("the relay's certificate is for {names}, not for {host}: set host to the name that it is for")
            }
            CertificateError::UnknownIssuer => format!(
                "the relay's certificate was signed by {nobody}: set \
                 authority_file to the PEM file of the one that did, or of the certificate itself if it is self-signed"
            ),
            // webpki's name for it; the error itself is not public.
            CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
                "the relay shows an authority's certificate (CA:TRUE) as its own: make it one with CA:FALSE".into()
            }
            _ => whole(),
        },
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the relay does not answer in TLS on this port: for STARTTLS set tls to required, usually with port 587"
                .into()
        }
        _ => whole(),
    }
}

/// A length of time in whole days, or hours.
fn length(seconds: u64) -> String {
    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;
    let (number, unit) = if seconds < 2 * DAY { (seconds / HOUR, "hour") } else { (seconds / DAY, "day") };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

/// The settings of all connections: made once, so that the roots are read once and TLS sessions resume.
pub(in crate::mail) fn config(extra_roots: Option<&Path>) -> Result<Arc<ClientConfig>, TlsFault> {
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
        let before = roots.len();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))? {
            let certificate = certificate.map_err(|error| unusable(&error))?;
            roots.add(certificate).map_err(|error| unusable(&error))?;
        }
        if roots.len() == before {
            return Err(unusable(&"it holds no certificate in PEM"));
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
