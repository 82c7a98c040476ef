//! Documents from memory, with conditional requests (RFC 9110 §13).

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDateTime, Utc};

use crate::task::publish::Document;

/// How long a reader may keep a feed without asking: shorter than most poll, longer than a burst of requests.
const MAX_AGE: &str = "public, max-age=300";

/// A date as HTTP writes it (RFC 9110 §5.6.7).
const HTTP_DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// The document, or word that the reader's copy is still good.
pub(super) fn answer(document: &Document, request: &HeaderMap) -> Response {
    let mut headers = HeaderMap::new();
    let mut set = |name, value: &str| {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    };
    set(header::ETAG, &document.etag);
    set(header::CACHE_CONTROL, MAX_AGE);
    if let Some(modified) = document.modified {
        set(header::LAST_MODIFIED, &modified.format(HTTP_DATE).to_string());
    }
    if is_known(document, request) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    set(header::CONTENT_TYPE, document.content_type);
    // Any site may read what anyone may read: readers in a browser need it.
    set(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    let bytes = Bytes::from_owner(std::sync::Arc::clone(&document.bytes));
    (headers, Body::from(bytes)).into_response()
}

/// Whether the reader has this document: `If-None-Match` first, and only without it `If-Modified-Since`.
fn is_known(document: &Document, request: &HeaderMap) -> bool {
    let mut asked = false;
    for value in request.get_all(header::IF_NONE_MATCH) {
        asked = true;
        let Ok(value) = value.to_str() else { continue };
        // Weak comparison (§8.8.3.2): the mark of weakness does not matter here. Our own tags hold no comma.
        let mut tags = value.split(',').map(|tag| tag.trim().trim_start_matches("W/"));
        if tags.any(|tag| tag == "*" || tag == document.etag) {
            return true;
        }
    }
    if asked {
        return false;
    }
    let since = request.get(header::IF_MODIFIED_SINCE).and_then(|value| http_date(value.to_str().ok()?));
    match (since, document.modified) {
        (Some(since), Some(modified)) => modified.timestamp() <= since.timestamp(),
        _ => false,
    }
}

fn http_date(text: &str) -> Option<DateTime<Utc>> {
    NaiveDateTime::parse_from_str(text, HTTP_DATE).ok().map(|naive| naive.and_utc())
}
