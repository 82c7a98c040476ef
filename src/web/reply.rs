//! How handlers answer: pages, notices, and failures that tell a reader nothing of the machine.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::cache;
use crate::task::{TaskError, pages};

/// A page that is the same for everyone: any cache may keep it for a minute, and ask then whether it changed.
pub(super) fn page(html: String, request: &HeaderMap) -> Response {
    let etag = format!("\"{}\"", pages::fingerprint(&html));
    let (headers, is_known) = cache::conditional(&etag, None, "public, max-age=60", request);
    if is_known {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, Html(html)).into_response()
}

/// A page that is one reader's: no cache keeps it, its address is told to nobody.
pub(super) fn private(html: String) -> Response {
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (headers, Html(html)).into_response()
}

/// Marks the answer to a request that failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failed;

/// A request that failed for a reason of ours.
#[derive(Debug)]
pub(super) struct Failure(TaskError);

impl<E: Into<TaskError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let error: &dyn std::error::Error = &self.0;
        tracing::error!(error, "a request failed");
        let text = "Something went wrong on our side. Please try again in a while.";
        let mut response = (StatusCode::INTERNAL_SERVER_ERROR, text).into_response();
        response.extensions_mut().insert(Failed);
        response
    }
}
