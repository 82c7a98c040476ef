//! Where providers post their reports. Nothing is answered with 200 before it is on the disk.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use super::App;
use super::reply::Failure;
use crate::task::webhook::{self, Answer, SENDGRID_SIGNATURE, SENDGRID_TIMESTAMP};

/// Largest request, in bytes: SendGrid sends its events in batches of up to 768 KB.
const MAX_REQUEST: usize = 1024 * 1024;

/// A route for each provider; one that is not configured is not there.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/reports/ses", post(ses))
        .route("/reports/sendgrid", post(sendgrid))
        .route("/reports/mailgun", post(mailgun))
        .route("/reports/postmark", post(postmark))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
}

fn said<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn answered(answer: Answer) -> Response {
    let status = match answer {
        Answer::Done(_) => StatusCode::OK,
        Answer::Malformed => StatusCode::BAD_REQUEST,
        Answer::Forbidden => StatusCode::FORBIDDEN,
        Answer::Unknown => StatusCode::NOT_FOUND,
    };
    ([(header::CACHE_CONTROL, "no-store")], status).into_response()
}

async fn ses(State(app): State<Arc<App>>, body: Bytes) -> Result<Response, Failure> {
    Ok(answered(webhook::ses(&app.publication, &body).await?))
}

async fn sendgrid(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Result<Response, Failure> {
    let (signature, timestamp) = (said(&headers, SENDGRID_SIGNATURE), said(&headers, SENDGRID_TIMESTAMP));
    Ok(answered(webhook::sendgrid(&app.publication, &body, signature, timestamp).await?))
}

async fn mailgun(State(app): State<Arc<App>>, body: Bytes) -> Result<Response, Failure> {
    Ok(answered(webhook::mailgun(&app.publication, &body).await?))
}

async fn postmark(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Result<Response, Failure> {
    let authorization = said(&headers, header::AUTHORIZATION.as_str());
    let answer = webhook::postmark(&app.publication, &body, authorization).await?;
    if answer == Answer::Forbidden {
        // RFC 9110 §11.6.1.
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"reports\"")];
        return Ok((StatusCode::UNAUTHORIZED, challenge).into_response());
    }
    Ok(answered(answer))
}
