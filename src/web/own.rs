//! A reader's own feed, and its new address.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::reader::{Fields, field, holder, say, stale};
use super::reply::Failure;
use super::{App, cache, missing};
use crate::domain::link::Purpose;
use crate::task::own_feed::{Found, place, renew};
use crate::task::pages::Say;

/// As long as other feeds, and for the reader alone.
const KEEP: &str = "private, max-age=300";

/// The feed of whoever this address was given to.
pub(super) async fn feed(
    State(app): State<Arc<App>>,
    Path((token, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let mut response = match app.own_feeds.find(&app.publication, &token, &file).await? {
        Found::Document(document) => {
            let mut response = cache::answer(&document, &headers);
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(KEEP));
            response.headers_mut().remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            response
        }
        Found::Gone => {
            let presenter = app.presenter();
            let speech = presenter.speech();
            let word = |key| speech.word(key, &[]);
            let (heading, text) = (word("own_feed_gone"), word("own_feed_gone_text"));
            let page = say(&app, Say { heading: &heading, text: &text, ..Say::default() })?;
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
    Path(token): Path<String>,
    Form(fields): Fields,
) -> Result<Response, Failure> {
    let Some((link, _)) = holder(&app, Purpose::Preferences, &token).await? else { return stale(&app) };
    if let Ok(version) = field(&fields, "version").parse() {
        renew(&app.publication, link.subscriber, version).await?;
    }
    let presenter = app.presenter();
    let speech = presenter.speech();
    let word = |key| speech.word(key, &[]);
    let (heading, text, label) = (word("own_feed_renewed"), word("own_feed_renewed_text"), word("own_feed"));
    let own = place(&app.publication, &presenter.urls, link.subscriber).await?;
    say(&app, Say { heading: &heading, text: &text, link: Some((own.atom, &label)), ..Say::default() })
}
