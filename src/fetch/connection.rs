//! One request over a connection of its own, to an address that was checked.

use std::io;
use std::net::{IpAddr, SocketAddr};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT_ENCODING, CONNECTION, HOST, HeaderMap, HeaderValue, LOCATION, USER_AGENT};
use hyper::{StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use url::{Host, Url};

use super::address::is_public;
use super::{FetchError, Manners, Reach, Request, authorization, body, place};

/// Most of an answer's head, in bytes: what web servers send is a tenth of it.
const MAX_HEAD: usize = 64 * 1024;

/// What one request came to.
pub(super) enum Hop {
    /// An answer.
    Here {
        /// Its status.
        status: StatusCode,
        /// Its headers.
        headers: HeaderMap,
        /// Its body, where it is wanted.
        body: Vec<u8>,
    },
    /// A redirect that is to be followed.
    To {
        /// Where to, as it was written.
        location: Option<HeaderValue>,
        /// 301 or 308.
        is_for_good: bool,
    },
}

/// What a request goes over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Manners {
    /// One request to `url`.
    pub(super) async fn hop(&self, request: &Request, url: &Url) -> Result<Hop, FetchError> {
        let broken = |source| FetchError::Http(place(url), source);
        let stream = self.open(request, url).await?;
        let (mut sender, connection) =
            http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // The connection has to be driven, and ends with us.
        let mut driving = JoinSet::new();
        driving.spawn(connection);
        let answer = sender.send_request(self.message(request, url)).await.map_err(broken)?;
        let (head, incoming) = answer.into_parts();
        let is_redirect = matches!(head.status.as_u16(), 301 | 302 | 303 | 307 | 308);
        if is_redirect && request.follows {
            let is_for_good = matches!(head.status.as_u16(), 301 | 308);
            return Ok(Hop::To { location: head.headers.get(LOCATION).cloned(), is_for_good });
        }
        let body = if request.reads {
            body::read(&place(url), &head.headers, incoming, request.limits).await?
        } else {
            vec![]
        };
        Ok(Hop::Here { status: head.status, headers: head.headers, body })
    }

    fn message(&self, request: &Request, url: &Url) -> hyper::Request<Full<Bytes>> {
        let mut message = hyper::Request::new(Full::new(request.body.clone()));
        *message.version_mut() = Version::HTTP_11;
        *message.method_mut() = request.method.clone();
        // What a URL has between its host and its fragment is always good for a request.
        *message.uri_mut() = url[url::Position::BeforePath..url::Position::AfterQuery]
            .parse()
            .unwrap_or_else(|_| "/".parse().unwrap_or_default());
        let headers = message.headers_mut();
        headers.clone_from(&request.headers);
        let mut set = |name, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        set(HOST, &url[url::Position::BeforeHost..url::Position::AfterPort]);
        set(USER_AGENT, &self.agent);
        set(CONNECTION, "close");
        if request.reads {
            set(ACCEPT_ENCODING, body::CODINGS);
        }
        headers.extend(authorization(url));
        message
    }

    /// A connection to an address of the URL's host, none of which may be private where that is not allowed.
    async fn open(&self, request: &Request, url: &Url) -> Result<Box<dyn Stream>, FetchError> {
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(FetchError::Scheme(url.scheme().to_owned()));
        };
        let mut why = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
        for address in self.addresses(request, &host, port).await? {
            match tokio::time::timeout(request.limits.connect, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => {
                    let _ = tcp.set_nodelay(true);
                    if url.scheme() == "http" {
                        return Ok(Box::new(tcp));
                    }
                    let secured = tokio::time::timeout(request.limits.connect, self.secure(request, url, &host, tcp));
                    return secured.await.unwrap_or_else(|_| Err(FetchError::Slow(place(url), request.limits.connect)));
                }
                Ok(Err(error)) => why = error,
                Err(_) => why = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(FetchError::Connect(place(url), why))
    }

    /// Every address of a host, after a look at all of them.
    async fn addresses(&self, request: &Request, host: &Host<&str>, port: u16) -> Result<Vec<SocketAddr>, FetchError> {
        let addresses = match host {
            Host::Domain(name) => {
                let unknown = |source| FetchError::Unknown((*name).to_owned(), source);
                (self.resolve)((*name).to_owned(), port).await.map_err(unknown)?
            }
            Host::Ipv4(address) => vec![(*address, port).into()],
            Host::Ipv6(address) => vec![(*address, port).into()],
        };
        if let Reach::Public(switch) = request.reach {
            let is_private = |address: &IpAddr| !is_public(*address) && !(self.also_public)(*address);
            if let Some(address) = addresses.iter().map(SocketAddr::ip).find(is_private) {
                return Err(FetchError::Private { host: host.to_string(), address, switch });
            }
        }
        Ok(addresses)
    }

    async fn secure(
        &self,
        request: &Request,
        url: &Url,
        host: &Host<&str>,
        tcp: TcpStream,
    ) -> Result<Box<dyn Stream>, FetchError> {
        let fault = |why: String| FetchError::Tls { host: place(url), why };
        let name = match host {
            Host::Domain(name) => ServerName::try_from((*name).to_owned()).map_err(|error| fault(error.to_string()))?,
            Host::Ipv4(address) => IpAddr::V4(*address).into(),
            Host::Ipv6(address) => IpAddr::V6(*address).into(),
        };
        let config = (self.trust)(request.authority.as_deref()).map_err(fault)?;
        match TlsConnector::from(config).connect(name, tcp).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(fault(error.to_string())),
        }
    }
}
