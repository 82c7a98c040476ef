//! Documents from memory, with conditional requests (RFC 9110 §13).

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use chrono::{DateTime, TimeDelta, Utc};
use http_body_util::Full;

use super::POLICIES;
use crate::task::document::{Coding, Document, Head};

/// A feed for a browser: under its own media type, Chromium shows the source and not what the stylesheet makes of it.
const XML: &str = "application/xml; charset=utf-8";

/// What a delta may be kept by: nobody who does not know of deltas (RFC 3229 §10.8.2).
const DELTA: &str = "no-store, im";

/// What scripts of other sites may read of an answer beside what they always may (Fetch §3.3.5).
const EXPOSED: &str = "etag, im, delta-base, link";

/// The document in a coding that the reader takes, what is new in it since the version that the reader names where it
/// asks for that alone (RFC 3229, with the manipulation `feed`), or word that the reader's copy is still good.
pub(super) fn answer(document: &Document, request: &HeaderMap, now: DateTime<Utc>) -> Response<Full<Bytes>> {
    let coding = coding(document, request);
    let head = head(document, coding);
    // Another media type is another representation, with a tag of its own (RFC 9110 §8.8.3).
    let is_looked_at = is_xml(document) && is_browser(request);
    let etag = if is_looked_at { Cow::Owned(head.etag.replacen('"', "\"x", 1)) } else { Cow::Borrowed(&*head.etag) };
    let finish = |status, headers: &HeaderMap, bytes| {
        let mut headers = headers.clone();
        headers.insert(header::EXPIRES, expires(now, document.kept_for_s));
        if is_looked_at && let Ok(etag) = HeaderValue::from_str(&etag) {
            headers.insert(header::ETAG, etag);
            if let Some(kind) = headers.get_mut(header::CONTENT_TYPE) {
                *kind = HeaderValue::from_static(XML);
            }
        }
        with(status, headers, bytes)
    };
    if is_other(&etag, document.modified, request) {
        let mut failed = finish(StatusCode::PRECONDITION_FAILED, &head.known, Bytes::new());
        failed.headers_mut().remove(header::EXPIRES);
        failed.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        return failed;
    }
    if is_known(&etag, document.modified, request, now) {
        return finish(StatusCode::NOT_MODIFIED, &head.known, Bytes::new());
    }
    let bytes = |document: &Document| {
        let coded = coding.and_then(|coding| document.coded(coding));
        Bytes::from_owner(Arc::clone(coded.unwrap_or(&document.bytes)))
    };
    let since = |tag| Some((tag, document.since(tag)?));
    let delta = if wants_delta(request) { known_tags(request).find_map(since) } else { None };
    let Some((base, delta)) = delta else { return finish(StatusCode::OK, &head.whole, bytes(document)) };
    let mut response = finish(StatusCode::IM_USED, &head.whole, bytes(delta));
    let headers = response.headers_mut();
    if coding.is_some_and(|coding| delta.coded(coding).is_none()) {
        headers.remove(header::CONTENT_ENCODING);
    }
    headers.remove(header::EXPIRES);
    headers.insert("im", HeaderValue::from_static("feed"));
    // Whoever named several versions is told which one this adds to (RFC 3229 §10.5.1).
    if let Ok(base) = HeaderValue::from_str(base) {
        headers.insert("delta-base", base);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(DELTA));
    response
}

/// What a browser is told that asks whether a page of another site may fetch: with what readers send, it may.
pub(super) fn preflight() -> Response<Full<Bytes>> {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "if-none-match, if-modified-since, a-im"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    let mut headers = headers.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
    with_policies(&mut headers);
    with(StatusCode::NO_CONTENT, headers, Bytes::new())
}

/// Until when what is sent now may be kept without asking, for those that do not know `Cache-Control` (RFC 9111 §5.3).
fn expires(now: DateTime<Utc>, kept_for_s: u32) -> HeaderValue {
    thread_local! {
        /// The one that was written last: the same for all answers of a second.
        static LAST: RefCell<(i64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static("0"))) };
    }
    let at = now + TimeDelta::seconds(kept_for_s.into());
    LAST.with_borrow_mut(|(second, written)| {
        if *second != at.timestamp() {
            *written = HeaderValue::from_str(&http_date(at)).unwrap_or(HeaderValue::from_static("0"));
            *second = at.timestamp();
        }
        written.clone()
    })
}

fn with(status: StatusCode, headers: HeaderMap, bytes: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(bytes));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Whether a browser is given it under another media type.
fn is_xml(document: &Document) -> bool {
    document.content_type.contains("+xml")
}

/// What stands above a document in a coding.
fn head(document: &Document, coding: Option<Coding>) -> &Head {
    document.head(coding, || {
        let etag = document.etag(coding);
        let keep = format!("public, max-age={}", document.kept_for_s);
        let mut known = validators(&etag, document.modified, &keep);
        let varies = if is_xml(document) { "accept, accept-encoding" } else { "accept-encoding" };
        known.insert(header::VARY, HeaderValue::from_static(varies));
        // Any site may read what anyone may read: readers in a browser need it.
        known.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        known.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        // Its place: what stands there depends on when it is sent.
        known.insert(header::EXPIRES, HeaderValue::from_static("0"));
        with_policies(&mut known);
        let mut whole = known.clone();
        whole.insert(header::CONTENT_TYPE, HeaderValue::from_static(document.content_type));
        if let Some(coding) = coding {
            whole.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.token()));
        }
        // WebSub §4: whoever wants to be told of changes looks here first.
        if let Some(link) = document.link.as_ref().and_then(|link| HeaderValue::from_str(link).ok()) {
            whole.insert(header::LINK, link);
        }
        Head { etag, known, whole }
    })
}

/// Adds what every answer bears, where it says nothing else.
pub(super) fn with_policies(headers: &mut HeaderMap) {
    for (name, value) in POLICIES {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// The coding of the document that the reader likes best (RFC 9110 §12.5.3), of those that it likes as well the smallest;
/// none where it takes none, or would rather have none.
fn coding(document: &Document, request: &HeaderMap) -> Option<Coding> {
    let accepted = request.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let accepted: Vec<(&str, f32)> = accepted.flat_map(|value| value.split(',')).map(weighed).collect();
    let named = |token: &str| accepted.iter().find(|(name, _)| name.eq_ignore_ascii_case(token));
    let weight = |token: &str| {
        // What asks for gzip under its old name (RFC 9110 §8.4.1.3) knows nothing newer.
        let old = if token == Coding::Gzip.token() { named("x-gzip") } else { None };
        named(token).or(old).or_else(|| named("*")).map(|(_, weight)| *weight)
    };
    let uncoded = weight("identity").unwrap_or(0.001);
    let known = Coding::ALL.into_iter().filter_map(|coding| {
        let size = document.coded(coding)?.len();
        let weight = weight(coding.token())?;
        (weight > 0.0 && weight >= uncoded).then_some((coding, weight, size))
    });
    known.max_by(|one, other| one.1.total_cmp(&other.1).then(other.2.cmp(&one.2))).map(|(coding, ..)| coding)
}

/// A member of a list with its weight, `gzip;q=0.5` (RFC 9110 §12.4.2): 1 where it has none, 0 where that is no number.
fn weighed(member: &str) -> (&str, f32) {
    let (name, parameters) = member.split_once(';').unwrap_or((member, ""));
    let weight =
        parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix(['q', 'Q'])?.strip_prefix('='));
    (name.trim(), weight.map_or(1.0, |weight| weight.trim().parse().unwrap_or(0.0)))
}

/// Whether a reader takes what is new in a feed for the whole (RFC 3229 §10.5.3).
fn wants_delta(request: &HeaderMap) -> bool {
    let wanted = request.get_all("a-im").iter().filter_map(|value| value.to_str().ok());
    wanted
        .flat_map(|value| value.split(','))
        .map(weighed)
        .any(|(name, weight)| name.eq_ignore_ascii_case("feed") && weight > 0.0)
}

/// The entity tags in a header. Our own hold no comma.
fn tags(request: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = request.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// The entity tags that the reader has, without the mark of weakness.
fn known_tags(request: &HeaderMap) -> impl Iterator<Item = &str> {
    tags(request, header::IF_NONE_MATCH).map(|tag| tag.trim_start_matches("W/"))
}

/// Whether this is asked for to be looked at: browsers name HTML, feed readers do not.
fn is_browser(request: &HeaderMap) -> bool {
    let accepted = request.get_all(header::ACCEPT);
    accepted.iter().any(|value| value.to_str().is_ok_and(|value| value.contains("text/html")))
}

/// What stands in the answer whether or not it brings the body, and whether it has to: what the reader has is good.
pub(super) fn conditional(etag: &str, keep: &str, request: &HeaderMap) -> (HeaderMap, bool) {
    (validators(etag, None, keep), has_tag(etag, request).unwrap_or(false))
}

/// What tells versions apart, and how long one may be kept.
fn validators(etag: &str, modified: Option<DateTime<Utc>>, keep: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set = |name, value: &str| {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    };
    set(header::ETAG, etag);
    set(header::CACHE_CONTROL, keep);
    if let Some(modified) = modified {
        set(header::LAST_MODIFIED, &http_date(modified));
    }
    headers
}

/// Whether the reader has this by its tag; none where it names no tags. Weak comparison (RFC 9110 §8.8.3.2): the mark of
/// weakness does not matter here.
fn has_tag(etag: &str, request: &HeaderMap) -> Option<bool> {
    let names = request.contains_key(header::IF_NONE_MATCH);
    names.then(|| known_tags(request).any(|tag| tag == "*" || tag == etag))
}

/// Whether the reader has this: `If-None-Match` first, and only without it `If-Modified-Since` (RFC 9110 §13.2.2). A date
/// that is still to come says nothing: by it the reader would never again be sent anything.
fn is_known(etag: &str, modified: Option<DateTime<Utc>>, request: &HeaderMap, now: DateTime<Utc>) -> bool {
    has_tag(etag, request).unwrap_or_else(|| {
        let since = date(request, header::IF_MODIFIED_SINCE).filter(|since| *since <= now);
        since.zip(modified).is_some_and(|(since, modified)| modified.timestamp() <= since.timestamp())
    })
}

/// Whether the reader wants just the one that it names, and this is another (RFC 9110 §13.1.1 and §13.1.4).
fn is_other(etag: &str, modified: Option<DateTime<Utc>>, request: &HeaderMap) -> bool {
    if request.contains_key(header::IF_MATCH) {
        return !tags(request, header::IF_MATCH).any(|tag| tag == "*" || tag == etag);
    }
    let since = date(request, header::IF_UNMODIFIED_SINCE).zip(modified);
    since.is_some_and(|(since, modified)| modified.timestamp() > since.timestamp())
}

/// A date as HTTP writes it (RFC 9110 §5.6.7).
fn http_date(at: DateTime<Utc>) -> String {
    httpdate::fmt_http_date(at.into())
}

/// A date in any of the forms that HTTP ever wrote.
fn date(request: &HeaderMap, name: HeaderName) -> Option<DateTime<Utc>> {
    Some(httpdate::parse_http_date(request.get(name)?.to_str().ok()?).ok()?.into())
}
