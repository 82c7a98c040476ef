//! Files from `static/`, whole or in parts: players jump to where they are wanted, and podcast apps go on where they broke
//! off (RFC 9110 §14).
//!
//! `tower-http` reads the file. What it does not know is settled here: `If-Range`, and that a range which nobody can read
//! is none.

use std::path::PathBuf;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::Response;
use tower_http::services::ServeFile;

/// A file, or the part of it that is asked for.
///
/// # Errors
/// When it cannot be read.
pub(super) async fn answer(file: PathBuf, mut request: Request) -> std::io::Result<Response> {
    let mut service = ServeFile::new(file);
    let is_part = request.headers().get(header::RANGE).is_some_and(is_one_range);
    let is_wanted = match request.headers().get(header::IF_RANGE) {
        Some(known) if is_part => {
            let mut head = Request::new(Body::empty());
            *head.method_mut() = Method::HEAD;
            is_still(known, service.try_call(head).await?.headers())
        }
        _ => true,
    };
    let range = request.headers_mut().remove(header::RANGE).filter(|_| is_part && is_wanted);
    // The name of the unit may be written in either case; the service knows it in one.
    if let Some(range) = range.and_then(|range| HeaderValue::from_str(&range.to_str().ok()?.to_ascii_lowercase()).ok())
    {
        request.headers_mut().insert(header::RANGE, range);
    }
    let mut response = service.try_call(request).await?.map(Body::new);
    // Players on other sites read transcripts and chapters by script.
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    Ok(response)
}

/// Whether the file is the one of which somebody has a part: a strong tag that is the same, or the same date (§13.1.5).
fn is_still(known: &HeaderValue, headers: &HeaderMap) -> bool {
    let now = if known.as_bytes().contains(&b'"') { header::ETAG } else { header::LAST_MODIFIED };
    headers.get(now).is_some_and(|now| now == known)
}

/// Whether this asks for one range of bytes: several, another unit and what nobody can read are not answered (§14.2).
fn is_one_range(range: &HeaderValue) -> bool {
    let read = || {
        let (unit, range) = range.to_str().ok()?.split_once('=')?;
        let (first, last) = range.trim().split_once('-')?;
        let number = |text: &str| -> Option<Option<u64>> {
            if text.is_empty() {
                return Some(None);
            }
            text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).map(|number| number.or(Some(u64::MAX)))
        };
        let is_range = match (number(first)?, number(last)?) {
            (Some(first), Some(last)) => first <= last,
            (first, last) => first.or(last).is_some(),
        };
        Some(unit.trim().eq_ignore_ascii_case("bytes") && is_range)
    };
    read().unwrap_or(false)
}
