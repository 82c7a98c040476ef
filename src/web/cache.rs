//! Documents from memory, with conditional requests (RFC 9110 §13).

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use chrono::{DateTime, Datelike as _, NaiveDateTime, Timelike as _, Utc};
use http_body_util::Full;

use super::POLICIES;
use crate::task::document::{Coding, Document, Head};

/// A feed for a browser: under its own media type, Chromium shows the source and not what the stylesheet makes of it.
const XML: &str = "application/xml; charset=utf-8";

/// A date as HTTP writes it (RFC 9110 §5.6.7).
const HTTP_DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// What a delta may be kept by: nobody who does not know of deltas (RFC 3229 §10.8.2).
const DELTA: &str = "no-store, im";

/// The document in a coding that the reader takes, what is new in it since the version that the reader names where it
/// asks for that alone (RFC 3229, with the manipulation `feed`), or word that the reader's copy is still good.
pub(super) fn answer(document: &Document, request: &HeaderMap) -> Response<Full<Bytes>> {
    let coding = coding(document, request);
    let head = head(document, coding);
    if is_known(&head.etag, document.modified, request) {
        return with(StatusCode::NOT_MODIFIED, head.known.clone(), Bytes::new());
    }
    let delta = if wants_delta(request) { tags(request).find_map(|tag| document.since(tag)) } else { None };
    let (mut headers, bytes) = (head.whole.clone(), |document: &Document| {
        let coded = coding.and_then(|coding| document.coded(coding));
        Bytes::from_owner(Arc::clone(coded.unwrap_or(&document.bytes)))
    });
    if is_xml(document) && is_browser(request) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(XML));
    }
    let Some(delta) = delta else { return with(StatusCode::OK, headers, bytes(document)) };
    if coding.is_some_and(|coding| delta.coded(coding).is_none()) {
        headers.remove(header::CONTENT_ENCODING);
    }
    headers.insert("im", HeaderValue::from_static("feed"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(DELTA));
    with(StatusCode::IM_USED, headers, bytes(delta))
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
    let weight = |token: &str| {
        let named = accepted.iter().find(|(name, _)| name.eq_ignore_ascii_case(token));
        named.or_else(|| accepted.iter().find(|(name, _)| *name == "*")).map(|(_, weight)| *weight)
    };
    let uncoded = weight("identity").unwrap_or(0.001);
    let known = Coding::ALL.into_iter().filter_map(|coding| {
        let size = document.coded(coding)?.len();
        // What asked for gzip under its old name (RFC 9110 §8.4.1.3) knows nothing newer.
        let weight = weight(coding.token()).or_else(|| weight("x-gzip").filter(|_| coding == Coding::Gzip))?;
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

/// The entity tags that the reader has, without the mark of weakness. Our own hold no comma.
fn tags(request: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|tag| tag.trim().trim_start_matches("W/"))
}

/// Whether this is asked for to be looked at: browsers name HTML, feed readers do not.
fn is_browser(request: &HeaderMap) -> bool {
    let accepted = request.get_all(header::ACCEPT);
    accepted.iter().any(|value| value.to_str().is_ok_and(|value| value.contains("text/html")))
}

/// What stands in the answer whether or not it brings the body, and whether it has to: what the reader has is good.
pub(super) fn conditional(etag: &str, keep: &str, request: &HeaderMap) -> (HeaderMap, bool) {
    (validators(etag, None, keep), is_known(etag, None, request))
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
        set(header::LAST_MODIFIED, &as_http_date(modified));
    }
    headers
}

/// Whether the reader has this: `If-None-Match` first, and only without it `If-Modified-Since`.
fn is_known(etag: &str, modified: Option<DateTime<Utc>>, request: &HeaderMap) -> bool {
    // Weak comparison (§8.8.3.2): the mark of weakness does not matter here.
    if request.contains_key(header::IF_NONE_MATCH) {
        return tags(request).any(|tag| tag == "*" || tag == etag);
    }
    let since = request.get(header::IF_MODIFIED_SINCE).and_then(|value| http_date(value.to_str().ok()?));
    match (since, modified) {
        (Some(since), Some(modified)) => modified.timestamp() <= since.timestamp(),
        _ => false,
    }
}

/// The date in the words of [`HTTP_DATE`], written without reading those each time.
fn as_http_date(at: DateTime<Utc>) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS.get(at.month0() as usize).copied().unwrap_or_default();
    let (weekday, day, year) = (at.weekday(), at.day(), at.year());
    let (hour, minute, second) = (at.hour(), at.minute(), at.second());
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

fn http_date(text: &str) -> Option<DateTime<Utc>> {
    NaiveDateTime::parse_from_str(text, HTTP_DATE).ok().map(|naive| naive.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_as_it_is_read() {
        for seconds in [0, 1_700_000_000, 951_782_400, 1_795_156_805] {
            let at = DateTime::from_timestamp(seconds, 0).unwrap();
            assert_eq!(as_http_date(at), at.format(HTTP_DATE).to_string());
            assert_eq!(http_date(&as_http_date(at)), Some(at));
        }
    }
}
