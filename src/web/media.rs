//! Files from `static/`, whole or in parts: players jump to where they are wanted, and podcast apps go on where they broke
//! off (RFC 9110 §14).
//!
//! `tower-http` reads the file. What it does not know is settled here: `If-Range`, the ways to write a range, and that one
//! which nobody can read is none.

use std::path::PathBuf;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::Response;
use tower_http::services::ServeFile;

use crate::domain::media::media_type;

/// A file, or the part of it that is asked for.
///
/// # Errors
/// When it cannot be read.
pub(super) async fn answer(file: PathBuf, mut request: Request) -> std::io::Result<Response> {
    // As feeds name it: by the address.
    let kind = media_type(request.uri().path());
    let range = request.headers_mut().remove(header::RANGE);
    // Nothing but GET is for a part (§14.2).
    let range = range.filter(|_| request.method() == Method::GET).and_then(|range| Range::read(range.to_str().ok()?));
    let length = match range {
        Some(_) => tokio::fs::metadata(&file).await?.len(),
        None => 0,
    };
    let mut service = ServeFile::new(file);
    let is_wanted = match request.headers().get(header::IF_RANGE) {
        Some(known) if range.is_some() => {
            let mut head = Request::new(Body::empty());
            *head.method_mut() = Method::HEAD;
            is_still(known, service.try_call(head).await?.headers())
        }
        _ => true,
    };
    let range = range.filter(|_| is_wanted).and_then(|range| range.of(length));
    if let Some(range) = range.and_then(|range| HeaderValue::from_str(&range).ok()) {
        request.headers_mut().insert(header::RANGE, range);
    }
    let mut response = service.try_call(request).await?.map(Body::new);
    let headers = response.headers_mut();
    if let Some(kind) = kind
        && let Some(named) = headers.get_mut(header::CONTENT_TYPE)
    {
        let kind = if kind.starts_with("text/") { format!("{kind}; charset=utf-8") } else { kind.to_owned() };
        if let Ok(kind) = HeaderValue::from_str(&kind) {
            *named = kind;
        }
    }
    // Players on other sites read transcripts and chapters by script.
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    Ok(response)
}

/// Whether the file is the one of which somebody has a part: a strong tag that is the same, or the same date (§13.1.5).
fn is_still(known: &HeaderValue, headers: &HeaderMap) -> bool {
    let now = if known.as_bytes().contains(&b'"') { header::ETAG } else { header::LAST_MODIFIED };
    headers.get(now).is_some_and(|now| now == known)
}

/// One range of bytes (§14.1.2).
#[derive(Debug, Clone, Copy)]
enum Range {
    /// From one to another, or to the end.
    From(u64, Option<u64>),
    /// So many at the end.
    Last(u64),
}

impl Range {
    /// What the header asks for: several, another unit and what nobody can read are not answered (§14.2).
    fn read(text: &str) -> Option<Self> {
        let (unit, range) = text.split_once('=')?;
        let (first, last) = range.trim().split_once('-')?;
        // What is beyond all numbers is beyond every file.
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| text.parse().unwrap_or(u64::MAX))
        };
        let range = match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => Self::From(first, Some(last)),
            (Some(first), None) if last.is_empty() => Self::From(first, None),
            (None, Some(last)) if first.is_empty() => Self::Last(last),
            _ => return None,
        };
        unit.trim().eq_ignore_ascii_case("bytes").then_some(range)
    }

    /// The header for a file of so many bytes, in the one form that the service reads; where nothing of it is in the file,
    /// one that the service says so of. The end of nothing is nothing, which has no header.
    fn of(self, length: u64) -> Option<String> {
        let last = length.saturating_sub(1);
        match self {
            Self::From(first, end) if first < length => {
                Some(format!("bytes={first}-{}", end.unwrap_or(last).min(last)))
            }
            Self::Last(1..) if length == 0 => None,
            Self::Last(count @ 1..) => Some(format!("bytes={}-{last}", length.saturating_sub(count))),
            _ => Some(format!("bytes={}-", length.max(1))),
        }
    }
}
