//! A reader's own feed, and its new address.

use std::sync::Arc;

use axum::Form;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::preferences::{reader, say};
use super::reader::{Fields, field};
use super::reply::Failure;
use super::speech::Asked;
use super::{App, cache, missing};
use crate::domain::link::Purpose;
use crate::task::choices::Word;
use crate::task::own_feed::{Found, place, renew};
use crate::task::pages::Say;

/// As long as other feeds, and for the reader alone.
const KEEP: &str = "private, max-age=300";

/// The feed of whoever this address was given to.
pub(super) async fn feed(
    State(app): State<Arc<App>>,
    asked: Asked,
    Path((token, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let mut response = match app.own_feeds.find(&app.publication, &token, &file).await? {
        Found::Document(document) => {
            let mut response = cache::answer(&document, &headers, app.publication.clock.now()).map(Body::new);
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(KEEP));
            for name in [header::ACCESS_CONTROL_ALLOW_ORIGIN, header::ACCESS_CONTROL_EXPOSE_HEADERS, header::EXPIRES] {
                response.headers_mut().remove(name);
            }
            response
        }
        Found::Gone => {
            let voice = asked.voice(&app, None);
            let (heading, text) = (voice.word("own_feed_gone"), voice.word("own_feed_gone_text"));
            let page = voice.say(Say { heading: &heading, text: &text, ..Say::default() })?;
            (StatusCode::GONE, page).into_response()
        }
        Found::Nothing => return missing(&app),
    };
    let told = [
        (HeaderName::from_static("x-robots-tag"), "noindex"),
        // Whoever is linked to from a feed need not know its address.
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in told {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// The feed gets another address, and the one that the reader saw is gone.
pub(super) async fn renewed(
    State(app): State<Arc<App>>,
    asked: Asked,
    Path(token): Path<String>,
    Form(fields): Fields,
) -> Result<Response, Failure> {
    let Some((link, reader)) = reader(&app, Purpose::Preferences, &token).await? else {
        return asked.voice(&app, None).stale();
    };
    if let Ok(version) = field(&fields, "version").parse() {
        renew(&app.publication, link.subscriber, version).await?;
    }
    let own = place(&app.publication, &app.urls, link.subscriber).await?;
    let text = ("own_feed_renewed_text", vec![]);
    let link = Some((own.atom, "own_feed"));
    say(&app, &reader.language, Word { heading: "own_feed_renewed", text, link, ..Word::default() })
}
