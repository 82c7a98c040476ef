//! Whoever polls feeds: counted, and kept from fetching the whole again and again.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use chrono::TimeDelta;
use http_body_util::Full;

use super::visitor::Visitor;
use super::{App, cache};
use crate::domain::limits::Allowance;
use crate::domain::polling::Polls;
use crate::task::document::Document;

/// A request for a document.
#[derive(Debug)]
pub(super) struct Poll<'a> {
    visitor: Visitor,
    is_get: bool,
    path: &'a str,
    headers: &'a HeaderMap,
}

impl<'a> Poll<'a> {
    /// A request that came from there.
    pub(super) fn new<B>(app: &App, peer: Option<IpAddr>, request: &'a Request<B>) -> Self {
        let headers = request.headers();
        let is_get = request.method() == Method::GET;
        Self { visitor: Visitor::of(app, peer, headers), is_get, path: request.uri().path(), headers }
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
    fn wait(&self, app: &App, poll: &Poll<'_>) -> Option<TimeDelta> {
        let (polls, network) = (self.polls.as_ref()?, poll.visitor.network?);
        let poller = self.keys.hash_one((network, poll.path, poll.user_agent()));
        let has = |name| poll.headers.contains_key(name);
        let is_conditional = has(header::IF_NONE_MATCH) || has(header::IF_MODIFIED_SINCE);
        let now = app.publication.clock.now();
        polls.lock().unwrap_or_else(PoisonError::into_inner).take(poller, is_conditional, now)
    }
}

impl Poll<'_> {
    fn user_agent(&self) -> &[u8] {
        self.headers.get(header::USER_AGENT).map_or(&[], HeaderValue::as_bytes)
    }

    /// Answers with a document; of feeds it is noted who reads them.
    pub(super) fn answer(&self, app: &App, document: &Document) -> Response<Full<Bytes>> {
        let now = app.publication.clock.now();
        if !document.is_feed() || !self.is_get {
            return cache::answer(document, self.headers, now);
        }
        if let Some(wait) = app.pollers.wait(app, self) {
            return too_often(wait);
        }
        let response = cache::answer(document, self.headers, now);
        let user_agent = String::from_utf8_lossy(self.user_agent());
        app.readers.note(now, self.visitor.network, self.path, &user_agent);
        response
    }
}

fn too_often(wait: TimeDelta) -> Response<Full<Bytes>> {
    let seconds = (wait + TimeDelta::milliseconds(999)).num_seconds().max(1);
    let headers = [
        (header::RETRY_AFTER, HeaderValue::from(seconds)),
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after")),
    ];
    let text = format!(
        "This feed was fetched whole too often from where you are. Please send back the ETag that came with it, as \
         If-None-Match: then you may ask as often as you like and are sent what is new. Try again in {seconds} seconds.\n"
    );
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    response.headers_mut().extend(headers);
    cache::with_policies(response.headers_mut());
    response
}
