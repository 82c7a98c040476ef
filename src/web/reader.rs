//! What the signed links in mail lead to: confirming, leaving, choosing.

use std::sync::Arc;

use axum::Form;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;

use super::reply::{Failure, private};
use super::speech::{Asked, Voice};
use super::{App, missing};
use crate::domain::feed::FeedName;
use crate::domain::link::{Link, Purpose};
use crate::domain::newsletter::Cadence;
use crate::domain::subscription::{Subscriber, SubscriptionState};
use crate::domain::text::{one_line, shorten};
use crate::task::confirm::CONFIRM_WITHIN;
use crate::task::pages::{Say, Shown, preferences_page};

/// Longest name, in characters.
pub(super) const MAX_NAME: usize = 100;

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
async fn holder(app: &App, purpose: Purpose, token: &str) -> Result<Option<(Link, Subscriber)>, Failure> {
    let Some(link) = app.publication.keyring.verify(purpose, token, app.publication.clock.now()) else {
        return Ok(None);
    };
    // A confirmation's link is good once.
    if let (Purpose::Confirm, Some(expires_at)) = (purpose, link.expires_at)
        && app.publication.store.confirmation_used(link.subscriber, expires_at - CONFIRM_WITHIN).await?
    {
        return Ok(None);
    }
    Ok(app.publication.store.subscriber(link.subscriber).await?.map(|subscriber| (link, subscriber)))
}

/// One thing to say to one reader, in the publication's language.
fn say(app: &App, say: Say<'_>) -> Result<Response, Failure> {
    Voice::own(app).say(say)
}

/// What a link that is not good any more leads to.
fn stale(app: &App) -> Result<Response, Failure> {
    Voice::own(app).stale()
}

fn titles(app: &App, names: impl IntoIterator<Item = FeedName>) -> String {
    Voice::own(app).titles(names)
}

pub(super) async fn ask_confirm(
    State(app): State<Arc<App>>,
    asked: Asked,
    Path(token): Path<String>,
) -> Result<Response, Failure> {
    let Some((link, subscriber)) = holder(&app, Purpose::Confirm, &token).await? else {
        return asked.voice(&app, None).stale();
    };
    let voice = asked.voice(&app, Some(&subscriber));
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
    let Some((link, subscriber)) = holder(&app, Purpose::Confirm, &token).await? else {
        return asked.voice(&app, None).stale();
    };
    let voice = asked.voice(&app, Some(&subscriber));
    let now = app.publication.clock.now();
    let feeds = app.publication.store.confirm(link.subscriber, now).await?;
    if feeds.is_empty() {
        return voice.stale();
    }
    app.publication.store.use_confirmation(link.subscriber, now).await?;
    let feeds = voice.titles(feeds.iter().filter_map(|feed| FeedName::parse(feed)));
    let text = voice.fill("subscribed_text", [("feeds", feeds.as_str())]);
    let preferences = Link { purpose: Purpose::Preferences, subscriber: link.subscriber, feed: None, expires_at: None };
    let preferences = app.urls.local(&format!("/preferences/{}", app.publication.keyring.sign(&preferences)));
    let (heading, label) = (voice.word("subscribed"), voice.word("subscribed_choose"));
    let link = Some((preferences, label.as_str()));
    voice.say(Say { heading: &heading, text: &text, link, ..Say::default() })
}

pub(super) async fn ask_leave(State(app): State<Arc<App>>, Path(token): Path<String>) -> Result<Response, Failure> {
    let Some((link, _)) = holder(&app, Purpose::Leave, &token).await? else { return stale(&app) };
    let what = link.feed.map_or_else(|| app.publication.config.publication.title.clone(), |feed| titles(&app, [feed]));
    let text = format!("Press the button, and no more mail comes from {what}.");
    let button = Some((app.urls.local(&format!("/unsubscribe/{token}")), "Unsubscribe"));
    say(&app, Say { heading: "Leave?", text: &text, button, ..Say::default() })
}

/// One click and out (RFC 8058): any POST acts, whatever its body, at once, and answers without a redirect.
pub(super) async fn leave(
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
    _body: Bytes,
) -> Result<Response, Failure> {
    let now = app.publication.clock.now();
    let Some(link) = app.publication.keyring.verify(Purpose::Leave, &token, now) else { return stale(&app) };
    app.publication.store.leave(link.subscriber, link.feed.as_ref(), now).await?;
    let what = link
        .feed
        .as_ref()
        .map_or_else(|| app.publication.config.publication.title.clone(), |feed| titles(&app, [feed.clone()]));
    let text =
        format!("No more mail comes from {what}. The same articles stay readable as a feed, without any address.");
    let feed = link.feed.as_ref().map_or_else(|| app.urls.home(), |feed| app.urls.feed(feed));
    let link = Some((feed, "Read it as a feed"));
    say(&app, Say { heading: "You have left", text: &text, link, ..Say::default() })
}

pub(super) async fn preferences(State(app): State<Arc<App>>, Path(token): Path<String>) -> Result<Response, Failure> {
    let Some((_, subscriber)) = holder(&app, Purpose::Preferences, &token).await? else { return stale(&app) };
    Ok(private(
        preferences_page(&app.publication, &app.presenter(), &app.common, &token, &subscriber, Shown::AsTheyAre)
            .await?,
    ))
}

pub(super) async fn save_preferences(
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
    Form(fields): Fields,
) -> Result<Response, Failure> {
    let Some((link, subscriber)) = holder(&app, Purpose::Preferences, &token).await? else { return stale(&app) };
    let now = app.publication.clock.now();
    let store = &app.publication.store;
    let chosen = chosen(&app, &fields);
    for subscription in store.subscriptions_of(link.subscriber).await? {
        // A feed that the page did not show, such as one whose definition has a fault today, was not unticked.
        let shown = app.publication.feed(&subscription.feed).is_some_and(|feed| feed.newsletter.is_some());
        let kept = chosen.iter().any(|(feed, _)| *feed == subscription.feed);
        if shown && !kept && subscription.state == SubscriptionState::Active {
            store.leave(link.subscriber, Some(&subscription.feed), now).await?;
        }
    }
    for (feed, cadence) in &chosen {
        store.choose(link.subscriber, feed, *cadence, now).await?;
    }
    let name = Some(shorten(&one_line(field(&fields, "name")), MAX_NAME)).filter(|name| !name.is_empty());
    let typed = field(&fields, "time_zone");
    let zone = chrono_tz::TZ_VARIANTS.into_iter().find(|zone| zone.name().eq_ignore_ascii_case(typed));
    let shown = if zone.is_some() || typed.is_empty() {
        Shown::Saved
    } else {
        let typed = shorten(&one_line(typed), MAX_NAME);
        Shown::SavedBut(format!(
            "There is no time zone {typed:?}: choose one such as Europe/Lisbon. The rest is saved."
        ))
    };
    store.set_profile(link.subscriber, name.as_deref(), zone.or(subscriber.time_zone)).await?;
    let Some(subscriber) = store.subscriber(link.subscriber).await? else { return missing(&app) };
    Ok(private(preferences_page(&app.publication, &app.presenter(), &app.common, &token, &subscriber, shown).await?))
}
