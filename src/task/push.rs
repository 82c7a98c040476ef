//! What hubs elsewhere bring us of feeds elsewhere (`WebSub`, W3C Recommendation of 23 January 2018), so that what is new is
//! here at once and nobody has to be asked for it every hour.
//!
//! A feed that names a hub is asked for there, where the hub can reach us: a callback with an end that nobody guesses shows
//! that we want it, and takes what the hub brings, if it is signed with the secret that we gave it. That is read like the
//! document of a poll, within the same bounds. Polls go on once a day, for hubs forget; and as often as before where a
//! hub refuses, lets its lease run out, or did not bring what a poll then found.

use aws_lc_rs::hmac;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt as _;
use url::form_urlencoded;
use url::{Host, Url};

use super::poll::{self, PollReport};
use super::{Publication, TaskError, chain, hex};
use crate::config::{Config, Source, is_reserved};
use crate::domain::notice::wait_after;
use crate::fetch::address::is_public;
use crate::fetch::{Answer, Limits, Reach, Request};
use crate::source::bare;
use crate::store::Push;

/// Where callbacks stand, before their token.
pub const CALLBACK: &str = "/sources/push/";

/// For how long we ask to be told; what the hub says counts.
const LEASE: TimeDelta = TimeDelta::days(10);
/// What of a hub's lease counts at least and at most.
const LEASES: (TimeDelta, TimeDelta) = (TimeDelta::minutes(5), TimeDelta::days(90));
/// When a hub that refused is asked again.
const AFTER_DENIAL: TimeDelta = TimeDelta::days(7);
/// The longest wait until a hub that did not answer is asked again.
const LONGEST_WAIT: TimeDelta = TimeDelta::days(1);
/// Hubs that are asked at a time.
const AT_ONCE: usize = 8;
/// Random bytes of a token and of a secret.
const RANDOM: usize = 32;
/// What a hub may take to say that it heard us.
const LIMITS: Limits = Limits {
    connect: std::time::Duration::from_secs(5),
    whole: std::time::Duration::from_secs(10),
    body: 4096,
    ratio: 200,
};
/// Longest challenge that is given back, in bytes.
const MAX_CHALLENGE: usize = 1024;

/// How a person lets a source's hub into private networks.
const PRIVATE: &str = "private = true";

/// Where a hub can reach us about a source: over TLS on the public internet, or anywhere for a source in our own network.
/// Nowhere for a source with a name and password: what is behind them is not for a hub to know of.
fn base(config: &Config, source: &Source) -> Option<String> {
    if is_locked(&source.feed) {
        return None;
    }
    let urls = config.live_urls();
    let url = Url::parse(urls.base()).ok()?;
    let is_reachable = match url.host()? {
        Host::Domain(name) => {
            let is_inside = matches!(name.rsplit('.').next(), Some("localhost" | "local" | "internal"));
            name.contains('.') && !is_inside && !is_reserved(name)
        }
        Host::Ipv4(address) => is_public(address.into()),
        Host::Ipv6(address) => is_public(address.into()),
    };
    (source.may_be_private || (is_reachable && url.scheme() == "https")).then(|| urls.at(CALLBACK))
}

/// Whether a name or password stands in an address.
fn is_locked(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// The hubs and the own address that an answer names in its `Link` headers (RFC 8288), before those of the document. What is
/// relative in them takes no name and password along.
pub(super) fn named(answer: &Answer) -> (Vec<Url>, Option<Url>) {
    let (mut hubs, mut topic) = (vec![], None);
    let found_at = bare(&answer.url);
    let headers = answer.headers.get_all("link").iter().filter_map(|value| value.to_str().ok());
    for link in headers.flat_map(|header| header.split(',').map(str::trim)).take(50) {
        let Some((target, parameters)) = link.strip_prefix('<').and_then(|rest| rest.split_once('>')) else { continue };
        let Ok(target) = found_at.join(target.trim()) else { continue };
        let rel = parameters.split(';').find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("rel").then(|| value.trim().trim_matches('"'))
        });
        let is =
            |wanted: &str| rel.is_some_and(|rel| rel.split_whitespace().any(|word| word.eq_ignore_ascii_case(wanted)));
        if is("hub") {
            hubs.push(target);
        } else if is("self") {
            topic.get_or_insert(target);
        }
    }
    (hubs, topic)
}

/// Notes that a source's hub is to be asked, or that there is none any more. `named` is what the answer's headers
/// say, and then its document.
///
/// # Errors
/// When the store fails, or the machine gives no randomness.
pub(super) async fn want(
    publication: &Publication,
    source: &Source,
    named: (Vec<Url>, Option<Url>),
    found_at: &Url,
) -> Result<(), TaskError> {
    let (hubs, topic) = named;
    let is_fit = |hub: &&Url| matches!((hub.scheme(), source.may_be_private), ("https", _) | ("http", true));
    // It may have been redirected to an address with a name and password.
    let may_be_told = base(&publication.config, source).is_some() && !is_locked(found_at);
    let hub = hubs.iter().find(is_fit).filter(|_| may_be_told);
    let store = &publication.store;
    let Some(hub) = hub else {
        if store.push_of(&source.name).await?.is_some() {
            store.forget_push(&source.name).await?;
        }
        return Ok(());
    };
    let topic = topic.unwrap_or_else(|| found_at.clone());
    let random = || {
        let mut bytes = [0; RANDOM];
        getrandom::fill(&mut bytes).map_err(|_| TaskError::Random)?;
        Ok::<_, TaskError>(hex(&bytes))
    };
    let wanted = Push {
        remote: source.name.clone(),
        hub: bare(hub).into(),
        topic: bare(&topic).into(),
        found_at: bare(found_at).into(),
        token: random()?,
        // In clear it would be nobody's secret (§5.1), except in our own network.
        secret: Some(random()?),
        ask_at: publication.clock.now(),
        attempts: 0,
        lease_until: None,
        pushed_at: None,
        missed: 0,
        trouble: None,
    };
    Ok(store.want_push(&wanted).await?)
}

/// Asks the hubs that are due, for the first time or before a lease ends, a few at a time. Whatever went wrong is noted.
///
/// # Errors
/// When the store fails.
pub async fn ask_hubs(publication: &Publication) -> Result<(), TaskError> {
    let pushes = futures_util::stream::iter(publication.store.pushes().await?.into_iter().map(Ok));
    pushes.try_for_each_concurrent(AT_ONCE, |push| async move { ask_if_due(publication, &push).await }).await
}

/// Asks a hub if it is due.
async fn ask_if_due(publication: &Publication, push: &Push) -> Result<(), TaskError> {
    let (store, config, now) = (&publication.store, &publication.config, publication.clock.now());
    let Some(source) = config.sources.iter().find(|source| source.name == push.remote) else { return Ok(()) };
    if push.lease_until.is_some_and(|until| until <= now) {
        store.lapse_push(push, "the hub let its lease run out", now).await?;
    }
    let Some(base) = base(config, source).filter(|_| push.ask_at <= now) else { return Ok(()) };
    let wait = TimeDelta::from_std(wait_after(push.attempts + 1) * 10).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
    if let Some(push) = store.claim_push(&push.remote, now + wait, now).await? {
        // Where all went well it has said yes or no meanwhile, and that is what counts.
        if let Err(trouble) = ask(publication, source, &push, &base).await {
            store.note_push_trouble(&push.token, Some(&trouble)).await?;
        }
    }
    Ok(())
}

/// Asks a hub to tell us (§5.1); what is wrong with how it answers.
async fn ask(publication: &Publication, source: &Source, push: &Push, base: &str) -> Result<(), String> {
    let hub = push.hub.parse().map_err(|_| "its hub has no address on the web".to_owned())?;
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("hub.mode", "subscribe");
    form.append_pair("hub.topic", &push.topic);
    form.append_pair("hub.callback", &format!("{base}{}", push.token));
    form.append_pair("hub.lease_seconds", &LEASE.num_seconds().to_string());
    if let Some(secret) = &push.secret {
        form.append_pair("hub.secret", secret);
    }
    let request = Request::post(hub, "application/x-www-form-urlencoded", form.finish())
        .within(Reach::of(source.may_be_private, PRIVATE))
        .limited(LIMITS);
    match publication.fetcher.fetch(request).await {
        Ok(answer) if answer.status.is_success() => Ok(()),
        Ok(answer) => {
            // A hub says why in words (§5.2).
            let why = crate::domain::text::one_line(&String::from_utf8_lossy(&answer.body));
            let why = crate::domain::text::shorten(&why, 120);
            Err(format!("the hub answers {}{}", answer.status, if why.is_empty() { why } else { format!(": {why}") }))
        }
        Err(error) => Err(chain(&error)),
    }
}

/// What is said to a hub that asks whether we want what was asked for (§5.3), or says that it refuses (§5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// We want it: the challenge.
    Yes(String),
    /// It was heard.
    Heard,
    /// We do not want it.
    No,
}

/// Hears a hub's question or refusal, by the query of its request.
///
/// # Errors
/// When the store fails.
pub async fn hear(publication: &Publication, token: &str, query: &str) -> Result<Word, TaskError> {
    let field = |name: &str| {
        form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let (store, now) = (&publication.store, publication.clock.now());
    let push = store.push_by_token(token).await?.filter(|push| is_configured(publication, &push.remote));
    let Some(push) = push.filter(|push| field("hub.topic").is_some_and(|topic| topic == push.topic)) else {
        return Ok(Word::No);
    };
    match field("hub.mode").as_deref() {
        Some("subscribe") => {
            let challenge = field("hub.challenge").filter(|challenge| challenge.len() <= MAX_CHALLENGE);
            let Some(challenge) = challenge.filter(|challenge| !challenge.is_empty()) else { return Ok(Word::No) };
            let seconds = field("hub.lease_seconds").and_then(|seconds| seconds.parse().ok());
            let lease = seconds.and_then(TimeDelta::try_seconds).unwrap_or(LEASE).clamp(LEASES.0, LEASES.1);
            store.grant_push(token, now + lease, now + lease / 4 * 3).await?;
            Ok(Word::Yes(challenge))
        }
        Some("denied") => {
            let reason = field("hub.reason").map(|reason| crate::domain::text::one_line(&reason)).unwrap_or_default();
            let reason = crate::domain::text::shorten(&reason, 200);
            let trouble =
                if reason.is_empty() { "the hub refuses".to_owned() } else { format!("the hub refuses: {reason}") };
            store.end_push(&push, &trouble, now + AFTER_DENIAL, now).await?;
            Ok(Word::Heard)
        }
        // Nobody here asked not to be told.
        _ => Ok(Word::No),
    }
}

fn is_configured(publication: &Publication, remote: &str) -> bool {
    publication.config.sources.iter().any(|source| source.name == remote)
}

/// Who a callback is for, if anybody.
///
/// # Errors
/// When the store fails.
pub async fn wanted(publication: &Publication, token: &str) -> Result<Option<Push>, TaskError> {
    let push = publication.store.push_by_token(token).await?;
    Ok(push.filter(|push| is_configured(publication, &push.remote)))
}

/// Most bytes that are read of what a hub brings: as many as of a poll's document.
pub fn most_bytes() -> usize {
    Limits::default().body
}

/// What came to a callback.
#[derive(Debug)]
pub struct Delivered {
    /// Its `X-Hub-Signature`.
    pub signature: Option<String>,
    /// Its `Content-Type`.
    pub content_type: Option<String>,
    /// Its body.
    pub body: Vec<u8>,
}

/// Takes in what a hub brings; none where it is not signed as agreed (§7.1), which is noted.
///
/// # Errors
/// When the store fails.
pub async fn take(
    publication: &Publication,
    push: &Push,
    delivered: Delivered,
) -> Result<Option<PollReport>, TaskError> {
    let (store, now) = (&publication.store, publication.clock.now());
    let is_signed = push.secret.as_ref().is_none_or(|secret| {
        delivered.signature.as_deref().is_some_and(|said| is_signature(said, secret.as_bytes(), &delivered.body))
    });
    if !is_signed {
        let trouble = "what came in the hub's name was not signed as agreed, and was left aside";
        store.note_missed(&push.remote, trouble).await?;
        // There may be something new after all. A hub that is not relied on has nothing polled.
        if push.is_alive(now) {
            store.poll_soon(&push.remote, now).await?;
        }
        return Ok(None);
    }
    let Some(source) = publication.config.sources.iter().find(|source| source.name == push.remote) else {
        return Ok(None);
    };
    store.note_pushed(&push.token, now).await?;
    // What is relative in it is relative to the same as in a poll's: the topic may stand elsewhere.
    let Ok(found_at) = push.found_at.parse::<Url>() else { return Ok(None) };
    let report = poll::pushed(publication, source, &found_at, delivered.content_type, delivered.body).await?;
    match &report {
        Some(report) if report.trouble.is_none() => {}
        // Then it is fetched.
        _ => store.poll_soon(&source.name, publication.clock.now()).await?,
    }
    if let Some(trouble) = report.as_ref().and_then(|report| report.trouble.as_ref()) {
        store.note_push_trouble(&push.token, Some(&format!("what the hub brought cannot be read: {trouble}"))).await?;
    }
    Ok(report)
}

/// Whether `said` is the signature of a body: `sha256=`, or one of the longer ones, and its digits. Compared in constant time.
fn is_signature(said: &str, secret: &[u8], body: &[u8]) -> bool {
    let Some((method, digits)) = said.trim().split_once('=') else { return false };
    let algorithm = match method.to_ascii_lowercase().as_str() {
        "sha256" => hmac::HMAC_SHA256,
        "sha384" => hmac::HMAC_SHA384,
        "sha512" => hmac::HMAC_SHA512,
        // SHA-1 is forbidden to us by nobody, and trusted by nobody.
        _ => return false,
    };
    let tag = digits.is_ascii().then(|| super::unhex(digits)).flatten();
    tag.is_some_and(|tag| hmac::verify(&hmac::Key::new(algorithm, secret), body, &tag).is_ok())
}

/// Whether what is new of a source comes by itself.
pub(super) async fn is_alive(
    publication: &Publication,
    source: &Source,
    now: DateTime<Utc>,
) -> Result<bool, TaskError> {
    Ok(publication.store.push_of(&source.name).await?.is_some_and(|push| push.is_alive(now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_signature_of_sha256_or_better_is_one() {
        // RFC 4231 §4.3, test case 2.
        let (secret, body) = (b"Jefe".as_slice(), b"what do ya want for nothing?".as_slice());
        let right = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert!(is_signature(right, secret, body));
        assert!(is_signature(&right.to_uppercase().replace("SHA256", "sha256"), secret, body));
        let long = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, secret), body);
        assert!(is_signature(&format!("sha512={}", hex(long.as_ref())), secret, body));
        let short = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret), body);
        for wrong in [
            &format!("sha1={}", hex(short.as_ref())),
            &right.replace('3', "4"),
            &right[..right.len() - 1],
            &right.replace("sha256", "sha512"),
            "sha256=",
            "sha256=é",
            "sha256",
            "",
        ] {
            assert!(!is_signature(wrong, secret, body), "{wrong}");
        }
        assert!(!is_signature(right, b"other", body) && !is_signature(right, secret, b"other"));
    }

    #[test]
    fn headers_name_hubs_and_the_feeds_own_address() {
        let mut headers = hyper::HeaderMap::new();
        headers.append("link", "<https://h.example/>; rel=\"hub\", </self>;rel=self".parse().unwrap());
        headers.append("link", "<https://h2.example/>; title=x; rel=\"other hub\"".parse().unwrap());
        headers.append("link", "nonsense; rel=hub".parse().unwrap());
        let url: Url = "https://name:secret@a.example/feed".parse().unwrap();
        let answer = Answer { status: hyper::StatusCode::OK, headers, url, moved_for_good: false, body: vec![] };
        let (hubs, topic) = named(&answer);
        assert_eq!(hubs.iter().map(Url::as_str).collect::<Vec<_>>(), ["https://h.example/", "https://h2.example/"]);
        assert_eq!(topic.unwrap().as_str(), "https://a.example/self");
    }
}
