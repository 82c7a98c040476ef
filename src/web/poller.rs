//! Whoever polls feeds: counted, and kept from fetching the whole again and again.

use std::convert::Infallible;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;

use super::visitor::Visitor;
use super::{App, cache};
use crate::domain::limits::Allowance;
use crate::domain::polling::Polls;
use crate::task::document::Document;

/// A request for a document.
#[derive(Debug)]
pub(super) struct Poll {
    visitor: Visitor,
    is_get: bool,
    pub(super) uri: Uri,
    headers: HeaderMap,
}

impl FromRequestParts<Arc<App>> for Poll {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let visitor = Visitor::from_request_parts(parts, app).await?;
        let is_get = parts.method == Method::GET;
        Ok(Self { visitor, is_get, uri: parts.uri.clone(), headers: parts.headers.clone() })
    }
}

impl Poll {
    /// A request that nobody else looks at: nothing of it has to be copied.
    pub(super) fn taken(request: Request, app: &App) -> Self {
        let (parts, _) = request.into_parts();
        let visitor = Visitor::of(&parts, app);
        Self { visitor, is_get: parts.method == Method::GET, uri: parts.uri, headers: parts.headers }
    }
}

/// The meters of whoever polls.
#[derive(Debug)]
pub(super) struct Pollers {
    keys: RandomState,
    polls: Option<Mutex<Polls>>,
}

impl Pollers {
    pub(super) fn new(per_poller: Option<Allowance>) -> Self {
        Self { keys: RandomState::new(), polls: per_poller.map(Polls::new).map(Mutex::new) }
    }

    /// How long a poller has to wait. Where everyone comes from one address nobody has to.
    fn wait(&self, app: &App, poll: &Poll) -> Option<TimeDelta> {
        let (polls, network) = (self.polls.as_ref()?, poll.visitor.network?);
        let poller = self.keys.hash_one((network, poll.uri.path(), poll.user_agent()));
        let has = |name| poll.headers.contains_key(name);
        let is_conditional = has(header::IF_NONE_MATCH) || has(header::IF_MODIFIED_SINCE);
        let now = app.publication.clock.now();
        polls.lock().unwrap_or_else(PoisonError::into_inner).take(poller, is_conditional, now)
    }
}

impl Poll {
    fn user_agent(&self) -> &[u8] {
        self.headers.get(header::USER_AGENT).map_or(&[], HeaderValue::as_bytes)
    }

    /// Answers with a document; of feeds it is noted who reads them.
    pub(super) fn answer(&self, app: &App, document: &Document) -> Response {
        if !document.is_feed() || !self.is_get {
            return cache::answer(document, &self.headers);
        }
        if let Some(wait) = app.pollers.wait(app, self) {
            return too_often(wait);
        }
        let response = cache::answer(document, &self.headers);
        let user_agent = String::from_utf8_lossy(self.user_agent());
        app.readers.note(app.publication.clock.now(), self.visitor.network, self.uri.path(), &user_agent);
        response
    }
}

fn too_often(wait: TimeDelta) -> Response {
    let seconds = (wait + TimeDelta::milliseconds(999)).num_seconds().max(1);
    let headers = [
        (header::RETRY_AFTER, HeaderValue::from(seconds)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    ];
    let text = format!(
        "This feed was fetched whole too often from where you are. Please send back the ETag that came with it, as \
         If-None-Match: then you may ask as often as you like and are sent what is new. Try again in {seconds} seconds.\n"
    );
    (StatusCode::TOO_MANY_REQUESTS, headers, text).into_response()
}
