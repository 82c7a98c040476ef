//! Documents from memory, with conditional requests (RFC 9110 §13).

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDateTime, Utc};

use crate::task::publish::Document;

/// How long a reader may keep a feed without asking: shorter than most poll, longer than a burst of requests.
const MAX_AGE: &str = "public, max-age=300";

/// A feed for a browser: under its own media type, Chromium shows the source and not what the stylesheet makes of it.
const XML: &str = "application/xml; charset=utf-8";

/// A date as HTTP writes it (RFC 9110 §5.6.7).
const HTTP_DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// The document, or word that the reader's copy is still good.
pub(super) fn answer(document: &Document, request: &HeaderMap) -> Response {
    let (mut headers, is_known) = conditional(&document.etag, document.modified, MAX_AGE, request);
    let is_feed = document.content_type.contains("+xml");
    if is_feed {
        headers.insert(header::VARY, HeaderValue::from_static("accept"));
    }
    if is_known {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let content_type = if is_feed && is_browser(request) { XML } else { document.content_type };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Any site may read what anyone may read: readers in a browser need it.
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let bytes = Bytes::from_owner(std::sync::Arc::clone(&document.bytes));
    (headers, Body::from(bytes)).into_response()
}

/// Whether this is asked for to be looked at: browsers name HTML, feed readers do not.
fn is_browser(request: &HeaderMap) -> bool {
    let accepted = request.get_all(header::ACCEPT);
    accepted.iter().any(|value| value.to_str().is_ok_and(|value| value.contains("text/html")))
}

/// What stands in the answer whether or not it brings the body, and whether it has to: what the reader has is good.
pub(super) fn conditional(
    etag: &str,
    modified: Option<DateTime<Utc>>,
    keep: &'static str,
    request: &HeaderMap,
) -> (HeaderMap, bool) {
    let mut headers = HeaderMap::new();
    let mut set = |name, value: &str| {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    };
    set(header::ETAG, etag);
    set(header::CACHE_CONTROL, keep);
    if let Some(modified) = modified {
        set(header::LAST_MODIFIED, &modified.format(HTTP_DATE).to_string());
    }
    (headers, is_known(etag, modified, request))
}

/// Whether the reader has this: `If-None-Match` first, and only without it `If-Modified-Since`.
fn is_known(etag: &str, modified: Option<DateTime<Utc>>, request: &HeaderMap) -> bool {
    let mut asked = false;
    for value in request.get_all(header::IF_NONE_MATCH) {
        asked = true;
        let Ok(value) = value.to_str() else { continue };
        // Weak comparison (§8.8.3.2): the mark of weakness does not matter here. Our own tags hold no comma.
        let mut tags = value.split(',').map(|tag| tag.trim().trim_start_matches("W/"));
        if tags.any(|tag| tag == "*" || tag == etag) {
            return true;
        }
    }
    if asked {
        return false;
    }
    let since = request.get(header::IF_MODIFIED_SINCE).and_then(|value| http_date(value.to_str().ok()?));
    match (since, modified) {
        (Some(since), Some(modified)) => modified.timestamp() <= since.timestamp(),
        _ => false,
    }
}

fn http_date(text: &str) -> Option<DateTime<Utc>> {
    NaiveDateTime::parse_from_str(text, HTTP_DATE).ok().map(|naive| naive.and_utc())
}
