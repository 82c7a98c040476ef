//! Leaving: one click in the mail program or one on the page, and the way back from a mistaken one.

use std::sync::Arc;

use axum::Form;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;

use super::App;
use super::preferences::{reader, say};
use super::reader::{Fields, field};
use super::reply::{Failure, private};
use super::speech::Asked;
use crate::domain::consent::{Consent, Source};
use crate::domain::link::Purpose;
use crate::task::choices::{self, Word};

/// What a mail program posts (RFC 8058 §3.1), among other fields or alone.
const ONE_CLICK: &[u8] = b"One-Click";

pub(super) async fn ask(
    State(app): State<Arc<App>>,
    asked: Asked,
    Path(token): Path<String>,
) -> Result<Response, Failure> {
    let Some((link, reader)) = reader(&app, Purpose::Leave, &token).await? else {
        return asked.voice(&app, None).stale();
    };
    let what = choices::what_ends(&app.publication, link.feed.as_ref());
    let button = Some((app.urls.local(&format!("/unsubscribe/{token}")), "unsubscribe"));
    let text = ("leave_text", vec![("what", what.as_str())]);
    let everything = || choices::leave_all(&app.publication, &app.presenter(), link.subscriber);
    let link = link.feed.is_some().then(|| (everything(), "choices_leave_all"));
    say(&app, &reader.language, Word { heading: "leave_title", text, button, link })
}

/// One click and out (RFC 8058): any POST acts, whatever its body, at once, and answers without a redirect.
pub(super) async fn leave(
    State(app): State<Arc<App>>,
    asked: Asked,
    Path(token): Path<String>,
    body: Bytes,
) -> Result<Response, Failure> {
    let now = app.publication.clock.now();
    let Some(link) = app.publication.keyring.verify(Purpose::Leave, &token, now) else {
        return asked.voice(&app, None).stale();
    };
    let is_one_click = body.windows(ONE_CLICK.len()).any(|part| part == ONE_CLICK);
    let source = if is_one_click { Source::Header } else { Source::Preferences };
    app.publication.store.leave(link.subscriber, link.feed.as_ref(), Consent::new(source, now)).await?;
    let (presenter, common, feed) = (app.presenter(), &app.common, link.feed.as_ref());
    let page = choices::left_page(&app.publication, &presenter, common, link.subscriber, feed, Some(&token)).await?;
    Ok(private(page))
}

pub(super) async fn reason(
    State(app): State<Arc<App>>,
    asked: Asked,
    Path(token): Path<String>,
    Form(fields): Fields,
) -> Result<Response, Failure> {
    let Some((link, reader)) = reader(&app, Purpose::Leave, &token).await? else {
        return asked.voice(&app, None).stale();
    };
    let (reason, words) = (field(&fields, "reason"), field(&fields, "words"));
    choices::give_reason(&app.publication, link.subscriber, link.feed.clone(), reason, words).await?;
    let home = Some((app.urls.local("/"), "to_home"));
    let text = ("left_thanks_text", vec![]);
    say(&app, &reader.language, Word { heading: "left_thanks", text, link: home, ..Word::default() })
}

pub(super) async fn ask_back(
    State(app): State<Arc<App>>,
    asked: Asked,
    Path(token): Path<String>,
) -> Result<Response, Failure> {
    let Some((link, reader)) = reader(&app, Purpose::Return, &token).await? else {
        return asked.voice(&app, None).stale();
    };
    let what = choices::what_ends(&app.publication, link.feed.as_ref());
    let button = Some((app.urls.local(&format!("/back/{token}")), "left_back"));
    let text = ("back_ask_text", vec![("what", what.as_str())]);
    say(&app, &reader.language, Word { heading: "back_ask", text, button, ..Word::default() })
}

pub(super) async fn back(
    State(app): State<Arc<App>>,
    asked: Asked,
    Path(token): Path<String>,
) -> Result<Response, Failure> {
    let Some((link, reader)) = reader(&app, Purpose::Return, &token).await? else {
        return asked.voice(&app, None).stale();
    };
    let feeds = choices::take_back(&app.publication, &link).await?;
    if feeds.is_empty() {
        return asked.voice(&app, None).stale();
    }
    let what = choices::titles(&app.publication, &reader.language, &feeds);
    let preferences = app.urls.local(&app.publication.preferences(link.subscriber));
    let text = ("back_text", vec![("what", what.as_str())]);
    let link = Some((preferences, "preferences"));
    say(&app, &reader.language, Word { heading: "back_title", text, link, ..Word::default() })
}
