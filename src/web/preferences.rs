//! What the signed link in every mail leads to: a reader's choices, without a password.
//!
//! Looking changes nothing; each thing that is done has a POST of its own, under a token of its purpose.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::App;
use super::reader::{Fields, chosen, field, holder};
use super::reply::{Failure, private};
use super::speech::{Asked, spoken};
use crate::domain::address::EmailAddress;
use crate::domain::consent::{Consent, Source};
use crate::domain::feed::FeedName;
use crate::domain::link::{Link, Purpose};
use crate::task::choices::{self, ERASE_WITHIN, Reader, Said, Wanted, Word};

/// The reader of a link, if the link is good and its person still there.
pub(super) async fn reader(app: &App, purpose: Purpose, token: &str) -> Result<Option<(Link, Reader)>, Failure> {
    let held = holder(app, purpose, token).await?;
    Ok(held.map(|(link, subscriber)| (link, Reader::of(&app.publication, subscriber))))
}

/// One thing to say to one reader.
pub(super) fn say(app: &App, language: &str, word: Word<'_>) -> Result<Response, Failure> {
    let page = choices::word_page(&app.publication, &app.presenter(), &app.common, language, word)?;
    Ok(spoken(private(page), language))
}

async fn shown(app: &App, token: &str, reader: &Reader, said: Said) -> Result<Response, Failure> {
    let page = choices::page(&app.publication, &app.presenter(), &app.common, token, reader, said).await?;
    Ok(spoken(private(page), &reader.language))
}

/// As they are now: what was done may have changed the person too.
async fn shown_anew(app: &App, asked: &Asked, token: &str, said: Said) -> Result<Response, Failure> {
    let Some((_, reader)) = reader(app, Purpose::Preferences, token).await? else {
        return asked.voice(app, None).stale();
    };
    shown(app, token, &reader, said).await
}

pub(super) async fn preferences(
    State(app): State<Arc<App>>,
    asked: Asked,
    Path(token): Path<String>,
) -> Result<Response, Failure> {
    let Some((_, reader)) = reader(&app, Purpose::Preferences, &token).await? else {
        return asked.voice(&app, None).stale();
    };
    shown(&app, &token, &reader, Said::default()).await
}

pub(super) async fn save(
    State(app): State<Arc<App>>,
    asked: Asked,
    Path(token): Path<String>,
    Form(fields): Fields,
) -> Result<Response, Failure> {
    let Some((_, reader)) = reader(&app, Purpose::Preferences, &token).await? else {
        return asked.voice(&app, None).stale();
    };
    let given = |name: &str| field(&fields, name).to_owned();
    let feeds = chosen(&app, &fields);
    let hour = |feed: &FeedName| (feed.clone(), given(&format!("hour.{feed}")), given(&format!("day.{feed}")));
    let wanted = Wanted {
        hours: feeds.iter().map(|(feed, _)| hour(feed)).collect(),
        feeds,
        name: given("name"),
        time_zone: given("time_zone"),
        language: given("language"),
        pause_until: fields.iter().any(|(name, _)| name == "pause_until").then(|| given("pause_until")),
    };
    let faults = choices::save(&app.publication, &reader.subscriber, &wanted).await?;
    let done = faults.is_empty().then_some("choices_saved");
    shown_anew(&app, &asked, &token, Said { done, faults }).await
}

pub(super) async fn resume(
    State(app): State<Arc<App>>,
    asked: Asked,
    Path(token): Path<String>,
) -> Result<Response, Failure> {
    let Some((link, _)) = reader(&app, Purpose::Preferences, &token).await? else {
        return asked.voice(&app, None).stale();
    };
    let consent = Consent::new(Source::Preferences, app.publication.clock.now());
    app.publication.store.resume(link.subscriber, consent).await?;
    shown_anew(&app, &asked, &token, Said { done: Some("choices_resumed"), faults: vec![] }).await
}

pub(super) async fn ask_move(
    State(app): State<Arc<App>>,
    asked: Asked,
    Path(token): Path<String>,
    Form(fields): Fields,
) -> Result<Response, Failure> {
    let Some((link, reader)) = reader(&app, Purpose::Preferences, &token).await? else {
        return asked.voice(&app, None).stale();
    };
    let typed = field(&fields, "address");
    let Ok(address) = EmailAddress::parse(typed) else {
        let faults = vec![choices::no_address(&app.publication, &reader, typed)];
        let page = shown(&app, &token, &reader, Said { done: None, faults }).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    };
    choices::ask_move(&app.publication, link.subscriber, &address).await?;
    app.poke.notify_one();
    let back = Some((app.urls.local(&format!("/preferences/{token}")), "preferences"));
    let text = ("choices_address_sent", vec![("address", address.as_str())]);
    say(&app, &reader.language, Word { heading: "choices_address_look", text, link: back, ..Word::default() })
}

/// The end of the mail, and the feeds in its place.
pub(super) async fn take_feed(
    State(app): State<Arc<App>>,
    asked: Asked,
    Path(token): Path<String>,
) -> Result<Response, Failure> {
    let Some((link, _)) = reader(&app, Purpose::Preferences, &token).await? else {
        return asked.voice(&app, None).stale();
    };
    let consent = Consent::new(Source::Preferences, app.publication.clock.now());
    app.publication.store.leave(link.subscriber, None, consent).await?;
    let (presenter, common) = (app.presenter(), &app.common);
    Ok(private(choices::left_page(&app.publication, &presenter, common, link.subscriber, None, None).await?))
}

/// All that is held of them, as a file.
pub(super) async fn data(
    State(app): State<Arc<App>>,
    asked: Asked,
    Path(token): Path<String>,
) -> Result<Response, Failure> {
    let Some((_, reader)) = reader(&app, Purpose::Preferences, &token).await? else {
        return asked.voice(&app, None).stale();
    };
    let held = choices::held(&app.publication, &reader.subscriber).await?;
    let mut answer = private(format!("{held:#}\n"));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"my-data.json\""));
    Ok(answer)
}

pub(super) async fn ask_erase(
    State(app): State<Arc<App>>,
    asked: Asked,
    Path(token): Path<String>,
) -> Result<Response, Failure> {
    let Some((link, reader)) = reader(&app, Purpose::Preferences, &token).await? else {
        return asked.voice(&app, None).stale();
    };
    let expires_at = Some(app.publication.clock.now() + ERASE_WITHIN);
    let erase = Link { purpose: Purpose::Erase, subscriber: link.subscriber, feed: None, expires_at };
    let button = Some((app.urls.local(&format!("/erase/{}", app.publication.keyring.sign(&erase))), "erase_button"));
    let link = Some((app.urls.local(&format!("/preferences/{token}")), "preferences"));
    let text = ("erase_text", vec![("address", reader.subscriber.address.as_str())]);
    say(&app, &reader.language, Word { heading: "erase_title", text, button, link })
}

pub(super) async fn erase(
    State(app): State<Arc<App>>,
    asked: Asked,
    Path(token): Path<String>,
) -> Result<Response, Failure> {
    let Some((_, reader)) = reader(&app, Purpose::Erase, &token).await? else { return asked.voice(&app, None).stale() };
    choices::erase(&app.publication, &reader.subscriber).await?;
    let link = Some((app.urls.local("/"), "to_home"));
    let text = ("erased_text", vec![]);
    say(&app, &reader.language, Word { heading: "erased_title", text, link, ..Word::default() })
}

pub(super) async fn ask_address(
    State(app): State<Arc<App>>,
    asked: Asked,
    Path(token): Path<String>,
) -> Result<Response, Failure> {
    let Some((reader, address)) = choices::asked_move(&app.publication, &token).await? else {
        return asked.voice(&app, None).stale();
    };
    let button = Some((app.urls.local(&format!("/address/{token}")), "move_button"));
    let text = ("move_text", vec![("address", address.as_str())]);
    say(&app, &reader.language, Word { heading: "move_title", text, button, ..Word::default() })
}

pub(super) async fn take_address(
    State(app): State<Arc<App>>,
    asked: Asked,
    Path(token): Path<String>,
) -> Result<Response, Failure> {
    let Some((reader, address)) = choices::asked_move(&app.publication, &token).await? else {
        return asked.voice(&app, None).stale();
    };
    if !choices::make_move(&app.publication, reader.subscriber.id, &address).await? {
        return asked.voice(&app, None).stale();
    }
    app.poke.notify_one();
    let preferences = app.urls.local(&app.publication.preferences(reader.subscriber.id));
    let text = ("moved_text", vec![("address", address.as_str())]);
    let link = Some((preferences, "preferences"));
    say(&app, &reader.language, Word { heading: "moved_title", text, link, ..Word::default() })
}
