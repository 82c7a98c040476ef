//! How handlers answer: pages, notices, and failures that tell a reader nothing of the machine.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use crate::task::TaskError;

/// A page that any cache may keep for a minute.
pub(super) fn page(html: String) -> Response {
    ([(header::CACHE_CONTROL, HeaderValue::from_static("max-age=60"))], Html(html)).into_response()
}

/// A page that is one reader's: no cache keeps it, its address is told to nobody.
pub(super) fn private(html: String) -> Response {
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (headers, Html(html)).into_response()
}

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
        (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
    }
}
