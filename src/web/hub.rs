//! The hub (WebSub §5): requests in. What follows is `task`'s.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::reply::Failure;
use super::visitor::Visitor;
use super::{App, missing};
use crate::config::Hub;
use crate::task::hub::{self, Reply};

const FORM: &str = "application/x-www-form-urlencoded";

/// Somebody wants to be told of a feed's changes, or not any more.
pub(super) async fn ask(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    if app.publication.config.hub != Some(Hub::Own) {
        return missing(&app);
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let said = |status: StatusCode, text: String| {
        let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
        (status, headers, text + "\n").into_response()
    };
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(FORM) {
        return Ok(said(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("the request is not {FORM}")));
    }
    let site = app.site.load_full();
    Ok(match hub::ask(&app.publication, &site, visitor.network, &body).await? {
        Reply::Accepted => said(StatusCode::ACCEPTED, "the callback is going to be asked".into()),
        Reply::Refused(why) => said(StatusCode::BAD_REQUEST, why),
        Reply::Unknown => said(StatusCode::NOT_FOUND, hub::NO_TOPIC.into()),
        Reply::Full => said(StatusCode::SERVICE_UNAVAILABLE, hub::FULL.into()),
        Reply::Wait(wait) => {
            let seconds = (wait.num_seconds() + 1).to_string();
            let mut response = said(StatusCode::TOO_MANY_REQUESTS, "too many requests".into());
            response.headers_mut().extend(seconds.parse().ok().map(|seconds| (header::RETRY_AFTER, seconds)));
            response
        }
    })
}
