//! A notice out over HTTP: one POST of JSON, signed, to an address that is checked before anything is connected to.
//!
//! No redirect is followed, and nothing of the answer is read but its status. A host is resolved once, every address
//! that it has must be a public one unless the configuration says otherwise, and the connection goes to one of them:
//! a name that answers differently the second time is not asked a second time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::hmac;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use url::{Host, Url};

use super::smtp::Secret;
use super::smtp::tls;

/// How long all of it may take: as long as the usual senders of webhooks wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// The header with the HMAC-SHA-256 (RFC 2104) of the body, as `sha256=` and hexadecimal digits.
pub const SIGNATURE: &str = "tidings-signature";

/// Where to.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// `http:` or `https:`.
    pub url: &'a Url,
    /// What the body is signed with.
    pub secret: Option<&'a Secret>,
    /// Whether it may be on this machine or in a private network.
    pub may_be_private: bool,
    /// PEM file of an authority to trust besides those of the system.
    pub authority: Option<&'a Path>,
}

/// Why it did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// Neither `http:` nor `https:`, or no host.
    #[error("{0} cannot be posted to")]
    Url(String),
    /// Its host has an address that is nobody's business.
    #[error("{0} is not a public address; webhook_private = true allows it")]
    Private(IpAddr),
    /// The host is not known, or does not answer.
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    /// TLS failed.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
    /// The dialogue broke down.
    #[error("the request failed")]
    Http(#[source] hyper::Error),
    /// It answered, and not with a yes.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// It took too long.
    #[error("it did not answer within {} s", PATIENCE.as_secs())]
    Silent,
}

/// Posts `body`, which is JSON.
///
/// # Errors
/// Whatever is not an answer of 200 to 299 in time.
pub async fn post(target: Target<'_>, body: Vec<u8>) -> Result<(), PostError> {
    tokio::time::timeout(PATIENCE, posted(target, body)).await.unwrap_or(Err(PostError::Silent))
}

async fn posted(target: Target<'_>, body: Vec<u8>) -> Result<(), PostError> {
    let url = target.url;
    let unusable = || PostError::Url(url.scheme().to_owned());
    let (host, port) = (url.host().ok_or_else(unusable)?, url.port_or_known_default().ok_or_else(unusable)?);
    let tcp = connect(&host, port, target.may_be_private).await?;
    match url.scheme() {
        "http" => send(tcp, target, body).await,
        "https" => {
            let name = match &host {
                Host::Domain(name) => ServerName::try_from((*name).to_owned()),
                Host::Ipv4(address) => Ok(IpAddr::V4(*address).into()),
                Host::Ipv6(address) => Ok(IpAddr::V6(*address).into()),
            };
            let name = name.map_err(|error| PostError::Tls(error.to_string()))?;
            let config = tls::config(target.authority).map_err(|fault| PostError::Tls(fault.to_string()))?;
            let secured = TlsConnector::from(config).connect(name, tcp).await;
            send(secured.map_err(|error| PostError::Tls(error.to_string()))?, target, body).await
        }
        _ => Err(unusable()),
    }
}

/// Connects to an address of `host`, of which none may be private.
async fn connect(host: &Host<&str>, port: u16, may_be_private: bool) -> Result<TcpStream, PostError> {
    let addresses: Vec<_> = match host {
        Host::Domain(name) => lookup_host((*name, port)).await.map_err(PostError::Connect)?.collect(),
        Host::Ipv4(address) => vec![(*address, port).into()],
        Host::Ipv6(address) => vec![(*address, port).into()],
    };
    if let Some(private) = addresses.iter().find(|address| !may_be_private && !is_public(address.ip())) {
        return Err(PostError::Private(private.ip()));
    }
    let mut why = std::io::Error::new(std::io::ErrorKind::NotFound, "its name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(tcp) => return Ok(tcp),
            Err(error) => why = error,
        }
    }
    Err(PostError::Connect(why))
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    target: Target<'_>,
    body: Vec<u8>,
) -> Result<(), PostError> {
    let url = target.url;
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let mut request = Request::post(path)
        .header(HOST, host)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("Tidings/", env!("CARGO_PKG_VERSION")));
    if let Some(secret) = target.secret {
        request = request.header(SIGNATURE, signature(secret, &body));
    }
    let request = request.body(Full::new(Bytes::from(body))).map_err(|_| PostError::Url(url.scheme().to_owned()))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(PostError::Http)?;
    let answer = sender.send_request(request);
    tokio::pin!(answer);
    // The connection has to be driven. How it ends does not matter to an answer that has come.
    let answer = tokio::select! {
        answer = &mut answer => answer,
        _ = connection => answer.await,
    };
    let status = answer.map_err(PostError::Http)?.status();
    if status.is_success() { Ok(()) } else { Err(PostError::Status(status)) }
}

/// The value of [`SIGNATURE`] for a body.
fn signature(secret: &Secret, body: &[u8]) -> String {
    use std::fmt::Write as _;
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes()), body);
    mac.as_ref().iter().fold("sha256=".to_owned(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether an address is anybody's on the public internet (the IANA registries of special-purpose addresses).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    // This network, a private one, loopback, multicast and reserved.
    let is_special = matches!(a, 0 | 10 | 127 | 224..=255)
        // Private networks, those of carriers (RFC 6598), and link-local, where clouds keep their keys.
        || matches!((a, b), (172, 16..=31) | (192, 168) | (100, 64..=127) | (169, 254))
        // Protocols, benchmarks, documentation.
        || matches!((a, b, c), (192, 0, 0 | 2) | (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113));
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // An address of IPv4 within: mapped, translated (RFC 6052), 6to4.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            is_public_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
        }
        // Documentation, and what Teredo and its like hide.
        [0x2001, 0xdb8 | 0..=0x1ff, ..] => false,
        // Only 2000::/3 is given out.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_posted_to() {
        for public in ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "127.0.0.1",
            "127.1.2.3",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "169.254.169.254",
            "192.0.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "::7f00:1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }

    #[test]
    fn a_signature_is_that_of_the_rfc() {
        // RFC 4231 §4.3, test case 2.
        assert_eq!(
            signature(&Secret::new("Jefe"), b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[tokio::test]
    async fn a_private_host_is_not_connected_to_whatever_its_spelling() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "017700000001", "localhost", "[::ffff:127.0.0.1]"] {
            let url: Url = format!("http://{host}:{port}/hook").parse().unwrap();
            let target = Target { url: &url, secret: None, may_be_private: false, authority: None };
            assert!(matches!(post(target, vec![]).await, Err(PostError::Private(_))), "{host}");
        }
        assert!(listener.accept().is_err(), "nobody came");
    }
}
