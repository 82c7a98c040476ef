//! Callbacks of hubs elsewhere (WebSub §5.3 and §7): whether we want what was asked for, and what they bring.
//!
//! The one GET that changes something, as WebSub has it: whoever asks knows an address that nobody guesses.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use super::App;
use super::reply::Failure;
use crate::task::poll::PollReport;
use crate::task::push::{self, Delivered, Word};

/// For how long a hub may take to bring something.
const FOR_BODY: Duration = Duration::from_secs(30);

fn said(status: StatusCode, text: String) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, text).into_response()
}

/// A hub asks whether we want to be told, or says that it refuses.
pub(super) async fn hear(
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    Ok(match push::hear(&app.publication, &token, query.as_deref().unwrap_or_default()).await? {
        Word::Yes(challenge) => said(StatusCode::OK, challenge),
        Word::Heard => said(StatusCode::OK, String::new()),
        Word::No => said(StatusCode::NOT_FOUND, "nobody here asked for that\n".into()),
    })
}

/// A hub brings something: it is told at once that we have it, and waits for nothing.
pub(super) async fn take(
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
    request: Request<Body>,
) -> Result<Response, Failure> {
    let Some(push) = push::wanted(&app.publication, &token).await? else {
        // What says so is asked no more (§7).
        return Ok(said(StatusCode::GONE, "nobody here wants to be told\n".into()));
    };
    let (head, body) = request.into_parts();
    if head.headers.contains_key(header::CONTENT_ENCODING) {
        return Ok(said(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a coding was not asked for\n".into()));
    }
    // Before anything is read: what waits for its turn would lie in memory.
    let Ok(turn) = Arc::clone(&app.pushes).try_acquire_owned() else {
        let mut busy = said(StatusCode::SERVICE_UNAVAILABLE, "there is much to read just now\n".into());
        busy.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("60"));
        return Ok(busy);
    };
    let body = match timeout(FOR_BODY, to_bytes(body, push::most_bytes())).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            return Ok(said(StatusCode::PAYLOAD_TOO_LARGE, "that is more than is read of a feed\n".into()));
        }
        Err(_) => return Ok(said(StatusCode::REQUEST_TIMEOUT, "that took too long\n".into())),
    };
    let text = |headers: &HeaderMap, name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
    let delivered = Delivered {
        signature: text(&head.headers, "x-hub-signature"),
        content_type: text(&head.headers, "content-type"),
        body: body.into(),
    };
    tokio::spawn(async move {
        match push::take(&app.publication, &push, delivered).await {
            Ok(report) if report.as_ref().is_some_and(PollReport::is_change) => app.changes.anything(),
            Ok(_) => {}
            Err(error) => tracing::warn!(source = push.remote, ?error, "what a hub brought was not taken in"),
        }
        drop(turn);
    });
    Ok(said(StatusCode::ACCEPTED, String::new()))
}
