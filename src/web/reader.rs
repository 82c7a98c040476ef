//! What the link in a confirmation leads to, and what pages for one reader share.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Path, State};
use axum::response::Response;

use super::App;
use super::reply::Failure;
use super::speech::{Asked, Voice};
use crate::domain::consent::{Consent, Source};
use crate::domain::feed::FeedName;
use crate::domain::link::{Link, Purpose};
use crate::domain::newsletter::Cadence;
use crate::domain::subscription::{Subscriber, SubscriptionState};

use crate::task::confirm::{self, CONFIRM_WITHIN};
use crate::task::pages::Say;

/// A form's fields, in their order; a name may come several times.
pub(super) type Fields = Form<Vec<(String, String)>>;

pub(super) fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim()).unwrap_or_default()
}

/// The feeds ticked, each with the cadence chosen for it, or its default.
pub(super) fn chosen(app: &App, fields: &[(String, String)]) -> Vec<(FeedName, Cadence)> {
    let ticked = |name: &str| fields.iter().any(|(field, value)| field == "feed" && value == name);
    let offered = app.publication.feeds.iter().filter_map(|feed| Some((feed, feed.newsletter.as_ref()?)));
    offered
        .filter(|(feed, _)| ticked(feed.name.as_str()))
        .map(|(feed, newsletter)| {
            let cadence = Cadence::parse(field(fields, &format!("cadence.{}", feed.name)));
            let cadence = cadence.filter(|cadence| newsletter.cadences.contains_key(cadence));
            (feed.name.clone(), cadence.unwrap_or(newsletter.default))
        })
        .collect()
}

/// The holder of a link, if the link is good and its person still there.
pub(super) async fn holder(app: &App, purpose: Purpose, token: &str) -> Result<Option<(Link, Subscriber)>, Failure> {
    let Some(link) = app.publication.keyring.verify(purpose, token, app.publication.clock.now()) else {
        return Ok(None);
    };
    Ok(app.publication.store.subscriber(link.subscriber).await?.map(|subscriber| (link, subscriber)))
}

/// Whether the link of a confirmation has been used: it is good once.
async fn is_used(app: &App, link: &Link) -> Result<bool, Failure> {
    let Some(expires_at) = link.expires_at else { return Ok(false) };
    Ok(app.publication.store.confirmation_used(link.subscriber, expires_at - CONFIRM_WITHIN).await?)
}

/// How to speak to whoever has the link of a confirmation, and whose it is while it is good.
async fn confirming<'a>(
    app: &'a App,
    asked: &Asked,
    token: &str,
) -> Result<(Voice<'a>, Option<(Link, Subscriber)>), Failure> {
    let held = holder(app, Purpose::Confirm, token).await?;
    let voice = asked.voice(app, held.as_ref().map(|(_, subscriber)| subscriber));
    Ok(match held {
        Some((link, subscriber)) if !is_used(app, &link).await? => (voice, Some((link, subscriber))),
        _ => (voice, None),
    })
}

pub(super) async fn ask_confirm(
    State(app): State<Arc<App>>,
    asked: Asked,
    Path(token): Path<String>,
) -> Result<Response, Failure> {
    let (voice, held) = confirming(&app, &asked, &token).await?;
    let Some((link, subscriber)) = held else { return voice.stale() };
    let subscriptions = app.publication.store.subscriptions_of(link.subscriber).await?;
    let pending: Vec<_> =
        subscriptions.into_iter().filter(|one| one.state == SubscriptionState::Pending).map(|one| one.feed).collect();
    if pending.is_empty() {
        return voice.stale();
    }
    let (feeds, address) = (voice.titles(pending), subscriber.address.as_str());
    let text = voice.fill("press_text", [("feeds", feeds.as_str()), ("address", address)]);
    let (heading, label) = (voice.word("press"), voice.word("confirm_button"));
    let button = Some((app.urls.local(&format!("/confirm/{token}")), label.as_str()));
    voice.say(Say { heading: &heading, text: &text, button, ..Say::default() })
}

pub(super) async fn confirm(
    State(app): State<Arc<App>>,
    asked: Asked,
    Path(token): Path<String>,
) -> Result<Response, Failure> {
    let (voice, held) = confirming(&app, &asked, &token).await?;
    let Some((link, _)) = held else { return voice.stale() };
    let now = app.publication.clock.now();
    let feeds = confirm::confirm(&app.publication, link.subscriber, Consent::new(Source::Form, now)).await?;
    if feeds.is_empty() {
        return voice.stale();
    }
    app.poke.notify_one();
    app.publication.store.use_confirmation(link.subscriber, now).await?;
    let feeds = voice.titles(feeds);
    let text = voice.fill("subscribed_text", [("feeds", feeds.as_str())]);
    let preferences = app.urls.local(&app.publication.preferences(link.subscriber));
    let (heading, label) = (voice.word("subscribed"), voice.word("subscribed_choose"));
    let link = Some((preferences, label.as_str()));
    voice.say(Say { heading: &heading, text: &text, link, ..Say::default() })
}
