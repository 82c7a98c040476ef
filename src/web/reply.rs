//! How handlers answer: pages, notices, and failures that tell a reader nothing of the machine.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::cache;
use crate::task::{TaskError, pages};

/// What a page with the form's script allows besides (see [`super::CONTENT_SECURITY_POLICY`]).
const WITH_SCRIPT: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; \
     img-src 'self' https: data:; media-src 'self' https:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// How the form's script is linked to: whatever else a page says, this is what may run.
const SCRIPT: &str = "/form.js?v";

/// A page, with the policy that it needs.
fn html(html: String) -> Response {
    let has_script = html.contains(SCRIPT);
    let mut response = Html(html).into_response();
    if has_script {
        let policy = HeaderValue::from_static(WITH_SCRIPT);
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// JSON, for a script.
pub(super) fn json(value: &serde_json::Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// A page that is the same for everyone: any cache may keep it for a minute, and ask then whether it changed.
pub(super) fn page(text: String, request: &HeaderMap) -> Response {
    let etag = format!("\"{}\"", pages::fingerprint(&text));
    let (headers, is_known) = cache::conditional(&etag, "public, max-age=60", request);
    if is_known {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, html(text)).into_response()
}

/// A page that is one reader's: no cache keeps it, its address is told to nobody.
pub(super) fn private(text: String) -> Response {
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (headers, html(text)).into_response()
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
