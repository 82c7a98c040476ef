//! Whatever is fetched from or posted to the outside over HTTP: one way, with one set of limits.
//!
//! | Module | What it does |
//! |---|---|
//! | [`address`] | which addresses are anybody's on the internet |
//! | `connection` | a name to a checked address, a connection to that, one request over it |
//! | `body` | an answer's body, decoded within limits |
//! | [`robots`] | what a site asks of programs that fetch its pages |
//!
//! A name is resolved once and *every* address that it has must be a public one, unless the request may go to private
//! ones; the connection goes to one of those, so that a name that answers differently the second time is not asked a
//! second time. Each redirect of a GET is checked anew; a POST is not redirected. Nothing of an answer is kept beyond
//! the limits, and it is decoded as it comes.
//!
//! This room knows no feeds, hubs or notices, and whom TLS trusts is told by whoever makes a [`Fetcher`].

pub mod address;
mod body;
mod connection;
pub mod robots;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use chrono::{DateTime, TimeDelta, Utc};
use hyper::body::Bytes;
use hyper::header::{
    AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LOCATION, RETRY_AFTER,
};
use hyper::{Method, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::rustls::ClientConfig;
use url::Url;

use connection::Hop;

/// Redirects that are followed.
pub const REDIRECTS: usize = 5;

/// Hosts that a fetcher keeps count of before it forgets those that it has nothing to do with.
const MANY_HOSTS: usize = 1024;

/// Time between two pages of one host: a person who reads is faster.
const PAUSE: Duration = Duration::from_secs(1);

/// The settings of TLS, with the authority in a PEM file besides those of the system where one is named.
pub type Trust = fn(Option<&Path>) -> Result<Arc<ClientConfig>, String>;

/// The addresses of a host and port.
pub type Resolve = Arc<dyn Fn(String, u16) -> Resolving + Send + Sync>;

/// See [`Resolve`].
pub type Resolving = Pin<Box<dyn Future<Output = std::io::Result<Vec<SocketAddr>>> + Send>>;

/// How a fetcher behaves.
#[derive(Clone)]
pub struct Manners {
    /// What it calls itself in `User-Agent`.
    pub agent: String,
    /// Whom TLS trusts.
    pub trust: Trust,
    /// Requests at a time.
    pub at_once: usize,
    /// Requests at a time to one host, whatever the port.
    pub per_host: usize,
    /// Time between two pages of one host, where it does not ask for more.
    pub pause: Duration,
    /// How names are resolved.
    pub resolve: Resolve,
    /// Addresses that count as public besides those that are.
    pub also_public: fn(IpAddr) -> bool,
}

impl Manners {
    /// Those of a polite program: few requests at a time to each host, names resolved by the system.
    pub fn new(agent: String, trust: Trust) -> Self {
        let resolve: Resolve =
            Arc::new(|host, port| Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) }));
        Self { agent, trust, at_once: 64, per_host: 4, pause: PAUSE, resolve, also_public: |_| false }
    }
}

/// What one request may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time for a connection to one address, TLS included.
    pub connect: Duration,
    /// Time for everything, redirects included; waiting for one's turn is not.
    pub whole: Duration,
    /// Bytes of the body, decoded.
    pub body: usize,
    /// Bytes decoded for each byte that came, beyond the first megabyte.
    pub ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), whole: Duration::from_secs(30), body: 16 << 20, ratio: 200 }
    }
}

/// Which addresses a request may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Those of the public internet. The text says what a person does to allow others, such as `hub_private = true`.
    Public(&'static str),
    /// Any.
    Anywhere,
}

impl Reach {
    /// As a switch says; `switch` is how a person turns it on.
    pub fn of(may_be_private: bool, switch: &'static str) -> Self {
        if may_be_private { Self::Anywhere } else { Self::Public(switch) }
    }
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    url: Url,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
    reach: Reach,
    authority: Option<PathBuf>,
    limits: Limits,
    follows: bool,
    reads: bool,
}

impl Request {
    /// A GET, which follows redirects.
    pub fn get(url: Url) -> Self {
        Self {
            url,
            method: Method::GET,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            reach: Reach::Public(""),
            authority: None,
            limits: Limits::default(),
            follows: true,
            reads: true,
        }
    }

    /// A POST, which does not.
    pub fn post(url: Url, content_type: &str, body: impl Into<Bytes>) -> Self {
        let request = Self { method: Method::POST, body: body.into(), follows: false, ..Self::get(url) };
        request.header("content-type", content_type)
    }

    /// With a header. A value that cannot stand in one is left out.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(HeaderName::from_static(name), value);
        }
        self
    }

    /// For what is newer than what is known by this entity tag and this date, as the server wrote them.
    #[must_use]
    pub fn unless_known(mut self, etag: Option<&str>, modified: Option<&str>) -> Self {
        for (name, value) in [(IF_NONE_MATCH, etag), (IF_MODIFIED_SINCE, modified)] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                self.headers.insert(name, value);
            }
        }
        self
    }

    /// To these addresses. Without a word it is the public ones.
    #[must_use]
    pub fn within(self, reach: Reach) -> Self {
        Self { reach, ..self }
    }

    /// With the authority in a PEM file trusted besides those of the system.
    #[must_use]
    pub fn trusting(self, authority: Option<PathBuf>) -> Self {
        Self { authority, ..self }
    }

    /// Within other limits than the usual.
    #[must_use]
    pub fn limited(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// A redirect is an answer like others.
    #[must_use]
    pub fn without_redirects(self) -> Self {
        Self { follows: false, ..self }
    }

    /// Of the answer the head alone counts; whatever follows is left where it is.
    #[must_use]
    pub fn without_body(self) -> Self {
        Self { reads: false, ..self }
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status, 200 to 599; a redirect only where it is not followed.
    pub status: StatusCode,
    /// Its headers. `Content-Encoding` and `Content-Length` are those of the way here, not of the body below.
    pub headers: HeaderMap,
    /// Where it was found after all redirects.
    pub url: Url,
    /// Whether it was redirected, each time for good (301, 308): then `url` is where it is asked for from now on.
    pub moved_for_good: bool,
    /// Its body, decoded.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of this name, in small letters, as far as it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Where it leads, if it is a redirect that was not followed.
    ///
    /// # Errors
    /// When that is no address, or in clear text while this was not.
    pub fn leads_to(&self) -> Result<Option<Url>, FetchError> {
        let is_redirect = matches!(self.status.as_u16(), 301 | 302 | 303 | 307 | 308);
        is_redirect.then(|| next(&self.url, &self.url, self.headers.get(LOCATION))).transpose()
    }

    /// How long we are asked to leave it alone: seconds or a date (RFC 9110 §10.2.3).
    pub fn retry_after(&self, now: DateTime<Utc>) -> Option<TimeDelta> {
        let said = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        match said.parse::<u32>() {
            Ok(seconds) => Some(TimeDelta::seconds(seconds.into())),
            Err(_) => DateTime::parse_from_rfc2822(said).ok().map(|at| (at.to_utc() - now).max(TimeDelta::zero())),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Neither `http:` nor `https:`.
    #[error("{0}: is no address on the web: write one that begins with https://")]
    Scheme(String),
    /// Its host has an address that is nobody's business.
    #[error("{host} has the address {address}, which is not a public one{}", unless(.switch))]
    Private {
        /// The host as it was asked for.
        host: String,
        /// The address.
        address: IpAddr,
        /// What allows it.
        switch: &'static str,
    },
    /// The host is not known.
    #[error("{0} is not found: look at its spelling and at this machine's name server")]
    Unknown(String, #[source] std::io::Error),
    /// No connection.
    #[error("cannot connect to {0}")]
    Connect(String, #[source] std::io::Error),
    /// TLS failed.
    #[error("cannot set up TLS with {host}: {why}")]
    Tls {
        /// With whom.
        host: String,
        /// What rustls says.
        why: String,
    },
    /// It took too long.
    #[error("{0} did not answer within {1:?}")]
    Slow(String, Duration),
    /// The dialogue broke down.
    #[error("the dialogue with {0} broke down")]
    Http(String, #[source] hyper::Error),
    /// The body is in a coding that was not asked for.
    #[error("{host} answers in a coding that was not asked for: {coding}")]
    Coding {
        /// Who.
        host: String,
        /// Which.
        coding: String,
    },
    /// The body cannot be decoded.
    #[error("what {0} answers cannot be decoded")]
    Decode(String, #[source] std::io::Error),
    /// The body is larger than allowed.
    #[error("what {0} answers is larger than {1} bytes, which is the most that is taken")]
    Large(String, usize),
    /// The body is small on its way and huge after it.
    #[error("what {0} answers becomes more than {1} times as large when it is decoded: it is not read on")]
    Ratio(String, u64),
    /// Redirected too often.
    #[error("{0} is redirected more than {REDIRECTS} times: write the address that it leads to")]
    Redirects(String),
    /// Redirected in a circle.
    #[error("{0} is redirected in a circle")]
    Circle(String),
    /// Redirected to nowhere.
    #[error("{0} is redirected to what is no address")]
    Astray(String),
    /// Redirected from TLS to clear text.
    #[error("{0} is redirected from https to http, which is not followed")]
    Downgrade(String),
}

fn unless(switch: &str) -> String {
    if switch.is_empty() { String::new() } else { format!("; {switch} allows it") }
}

impl FetchError {
    /// Whether trying again without changing anything helps nobody.
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::Scheme(_) | Self::Private { .. } | Self::Circle(_) | Self::Downgrade(_))
    }
}

/// The value of a header that proves who wrote a body: `sha256=` and the HMAC-SHA-256 (RFC 2104) in hexadecimal digits.
pub fn signature(secret: &[u8], body: &[u8]) -> String {
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), body);
    mac.as_ref().iter().fold("sha256=".to_owned(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Fetches and posts. Clones share their limits.
#[derive(Clone)]
pub struct Fetcher(Arc<Inner>);

struct Inner {
    manners: Manners,
    all: Arc<Semaphore>,
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").field("agent", &self.0.manners.agent).finish_non_exhaustive()
    }
}

/// A request's turn.
type Turn = (Option<OwnedSemaphorePermit>, Option<OwnedSemaphorePermit>);

impl Fetcher {
    /// A fetcher that has not fetched anything.
    pub fn new(manners: Manners) -> Self {
        let all = Arc::new(Semaphore::new(manners.at_once));
        Self(Arc::new(Inner { manners, all, hosts: Mutex::default() }))
    }

    /// Another fetcher with the same manners, but for how many requests it makes at a time.
    #[must_use]
    pub fn with_room(&self, at_once: usize, per_host: usize) -> Self {
        Self::new(Manners { at_once, per_host, ..self.0.manners.clone() })
    }

    /// How it behaves.
    pub fn manners(&self) -> &Manners {
        &self.0.manners
    }

    /// Whatever answer comes, of whichever status.
    ///
    /// # Errors
    /// Where none comes, or one that is beyond the limits.
    pub async fn fetch(&self, request: Request) -> Result<Answer, FetchError> {
        let mut url = request.url.clone();
        url.set_fragment(None);
        let (mut seen, mut moved_for_good) = (vec![], true);
        let mut left = request.limits.whole;
        loop {
            if !matches!(url.scheme(), "http" | "https") {
                return Err(FetchError::Scheme(url.scheme().to_owned()));
            }
            let turn = self.turn(&url).await;
            let began = Instant::now();
            let hop = tokio::time::timeout(left, self.0.manners.hop(&request, &url)).await;
            drop(turn);
            left = left.saturating_sub(began.elapsed());
            match hop.unwrap_or_else(|_| Err(FetchError::Slow(place(&url), request.limits.whole)))? {
                Hop::Here { status, headers, body } => {
                    let moved_for_good = moved_for_good && !seen.is_empty();
                    return Ok(Answer { status, headers, url, moved_for_good, body });
                }
                Hop::To { location, is_for_good } => {
                    moved_for_good &= is_for_good;
                    let next = next(&request.url, &url, location.as_ref())?;
                    seen.push(std::mem::replace(&mut url, next));
                    if seen.contains(&url) {
                        return Err(FetchError::Circle(place(&request.url)));
                    }
                    if seen.len() > REDIRECTS {
                        return Err(FetchError::Redirects(place(&request.url)));
                    }
                }
            }
        }
    }

    /// Waits until it is a request's turn, by its host first: who is slow holds up nobody else.
    async fn turn(&self, url: &Url) -> Turn {
        let host = url.host_str().unwrap_or_default();
        let of_host = {
            let mut hosts = self.0.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            if hosts.len() >= MANY_HOSTS && !hosts.contains_key(host) {
                hosts.retain(|_, turns| Arc::strong_count(turns) > 1);
            }
            let turns = hosts.entry(host.to_owned());
            Arc::clone(turns.or_insert_with(|| Arc::new(Semaphore::new(self.0.manners.per_host))))
        };
        // Neither is ever closed.
        let of_host = of_host.acquire_owned().await.ok();
        (of_host, Arc::clone(&self.0.all).acquire_owned().await.ok())
    }
}

/// Where a redirect leads, as far as it is followed there.
fn next(asked: &Url, url: &Url, location: Option<&HeaderValue>) -> Result<Url, FetchError> {
    let location = location.and_then(|location| std::str::from_utf8(location.as_bytes()).ok());
    let mut next =
        location.and_then(|location| url.join(location).ok()).ok_or_else(|| FetchError::Astray(place(asked)))?;
    next.set_fragment(None);
    if url.scheme() == "https" && next.scheme() == "http" {
        return Err(FetchError::Downgrade(place(asked)));
    }
    Ok(next)
}

/// Scheme, host and port: what may be said of a URL to anyone, for the rest may hold a secret.
fn place(url: &Url) -> String {
    url[..url::Position::BeforeUsername].to_owned() + &url[url::Position::BeforeHost..url::Position::AfterPort]
}

/// Name and password of a URL, for its host alone (RFC 7617).
fn authorization(url: &Url) -> Option<(HeaderName, HeaderValue)> {
    use base64::Engine as _;
    if url.username().is_empty() {
        return None;
    }
    let plain = |text: &str| String::from_utf8_lossy(&unescaped(text)).into_owned();
    let (name, password) = (plain(url.username()), url.password().map(plain).unwrap_or_default());
    let token = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
    let mut value = HeaderValue::from_str(&format!("Basic {token}")).ok()?;
    value.set_sensitive(true);
    Some((AUTHORIZATION, value))
}

/// Bytes that a part of a URL stands for (RFC 3986 §2.1).
fn unescaped(text: &str) -> Vec<u8> {
    let (mut rest, mut bytes) = (text.as_bytes(), vec![]);
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_rfc() {
        // RFC 4231 §4.3, test case 2.
        assert_eq!(
            signature(b"Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn what_is_said_of_a_url_holds_no_secret() {
        let place = |url: &str| super::place(&url.parse().unwrap());
        assert_eq!(place("https://mara:secret@a.example:8443/hook?key=secret"), "https://a.example:8443");
        assert_eq!(place("http://[::1]/x"), "http://[::1]");
    }

    #[test]
    fn a_name_and_password_are_told_to_their_host() {
        let said =
            |url: &str| authorization(&url.parse().unwrap()).map(|(_, value)| value.to_str().unwrap().to_owned());
        // RFC 7617 §2: Aladdin, open sesame.
        assert_eq!(said("http://Aladdin:open%20sesame@a.example/").unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(said("http://a:b&c%25+@a.example/").unwrap(), "Basic YTpiJmMlKw==");
        assert_eq!(said("http://a.example/"), None);
    }

    #[test]
    fn a_redirect_is_followed_to_an_address_and_never_out_of_tls() {
        let from = |url: &str, location: &'static str| {
            let url: Url = url.parse().unwrap();
            next(&url, &url, Some(&HeaderValue::from_static(location))).map(String::from)
        };
        assert_eq!(from("http://a.example/b/c", "../d#e").unwrap(), "http://a.example/d");
        assert_eq!(from("http://a.example/", "https://b.example/").unwrap(), "https://b.example/");
        assert!(matches!(from("https://a.example/", "http://a.example/"), Err(FetchError::Downgrade(_))));
        assert!(matches!(from("https://a.example/", "https://"), Err(FetchError::Astray(_))));
        let url = "https://a.example/".parse().unwrap();
        assert!(matches!(next(&url, &url, None), Err(FetchError::Astray(_))));
    }

    #[test]
    fn seconds_and_dates_say_how_long_to_wait() {
        let now = "2026-11-27T08:00:00Z".parse().unwrap();
        let wait = |said: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(said))]);
            let url = "http://a.example/".parse().unwrap();
            let answer = Answer { status: StatusCode::OK, headers, url, moved_for_good: false, body: vec![] };
            answer.retry_after(now)
        };
        assert_eq!(wait("120"), Some(TimeDelta::minutes(2)));
        assert_eq!(wait("Fri, 27 Nov 2026 08:01:00 GMT"), Some(TimeDelta::minutes(1)));
        assert_eq!(wait("Fri, 27 Nov 2020 08:01:00 GMT"), Some(TimeDelta::zero()));
        assert_eq!(wait("soon"), None);
    }
}
