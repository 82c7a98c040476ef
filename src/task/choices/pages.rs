//! The pages of a reader's choices, in the reader's language.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use chrono_tz::Tz;

use super::{LONGEST_PAUSE, REASONS, Reader, language_of, way_back};
use crate::domain::consent::{Entry, Step};
use crate::domain::feed::FeedName;
use crate::domain::link::{Link, Purpose};
use crate::domain::preference::Preferred;
use crate::domain::subscription::{SubscriberId, SubscriptionState};
use crate::task::letters::MOVE_WITHIN;
use crate::task::pages::{Say, notice_page};
use crate::task::present::Presenter;
use crate::task::{Publication, TaskError, hours, own_feed};
use crate::template::view::{
    ChoiceView, Common, ConsentView, LeftPage, OptionView, OwnFeedView, Page, PauseView, Preferences, ReasonView,
    SubscriberView,
};
use crate::template::words::{DateStyle, Speech, Value};

/// What is said at the top of somebody's choices.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// What was done just now, by its word.
    pub done: Option<&'static str>,
    /// What could not be, in their words.
    pub faults: Vec<String>,
}

/// Somebody's choices. `token` is the link that they came by.
///
/// # Errors
/// When the store fails or the template cannot be rendered.
pub async fn page(
    publication: &Publication,
    presenter: &Presenter<'_>,
    common: &Common,
    token: &str,
    reader: &Reader,
    said: Said,
) -> Result<String, TaskError> {
    let (store, subscriber) = (&publication.store, &reader.subscriber);
    let speech = publication.templates.speech(&reader.language);
    let speaking = in_language(publication, presenter, &reader.language);
    let now = publication.clock.now();
    let subscriptions = store.subscriptions_of(subscriber.id).await?;
    let preferred = store.preferences_of(subscriber.id).await?;
    let choices = publication.feeds.iter().filter(|feed| feed.newsletter.is_some()).map(|feed| {
        let preferred = preferred.iter().find(|(known, _)| *known == feed.name);
        let preferred = preferred.and_then(|(_, text)| Preferred::parse(text)).unwrap_or_default();
        let own = subscriptions.iter().find(|subscription| subscription.feed == feed.name);
        let comes = |state| matches!(state, SubscriptionState::Active | SubscriptionState::Paused);
        ChoiceView {
            feed: feed.name.to_string(),
            title: feed.title.clone(),
            description: feed.description.clone(),
            active: own.is_some_and(|own| comes(own.state)),
            cadences: speaking.cadences(feed, own.map(|own| own.cadence)),
            hours: hours::hours(feed, preferred, &speech),
            days: hours::days(feed, preferred, &speech),
            feed_url: presenter.urls.feed(&feed.name),
        }
    });
    let zone = subscriber.time_zone.unwrap_or(publication.config.publication.time_zone);
    let zones = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
    let until = store.paused_until(subscriber.id).await?;
    let day = |at: DateTime<Utc>| at.with_timezone(&zone).date_naive().to_string();
    let pause = PauseView {
        on: subscriptions.iter().any(|one| one.state == SubscriptionState::Paused),
        until: until.map(|at| speech.date(at.with_timezone(&zone).fixed_offset(), DateStyle::Weekday)),
        until_iso: until.map(day),
        from_iso: day(now + TimeDelta::days(1)),
        to_iso: day(now + LONGEST_PAUSE - TimeDelta::days(1)),
    };
    let mut consents = store.consents_of(subscriber.id).await?;
    consents.reverse();
    let action = presenter.urls.local(&format!("/preferences/{token}/own-feed"));
    let own_feed = OwnFeedView { action, ..own_feed::place(publication, &presenter.urls, subscriber.id).await? };
    let own = Preferences {
        own_feed,
        subscriber: SubscriberView { address: subscriber.address.to_string(), name: subscriber.name.clone() },
        subscriptions: choices.collect(),
        action: presenter.urls.local(&format!("/preferences/{token}")),
        unsubscribe_all_url: leave_all(publication, presenter, subscriber.id),
        said: said.done.map(|key| speech.word(key, &[])),
        error: Some(said.faults.join(" ")).filter(|faults| !faults.is_empty()),
        time_zone: zone.name().to_owned(),
        time_zones: zones.filter(|name| name.contains('/') && !name.starts_with("Etc/")).collect(),
        languages: languages(publication, &reader.language),
        pause,
        asked_address: store.wished_move(subscriber.id, now - MOVE_WITHIN).await?.map(|address| address.to_string()),
        consents: consents.iter().map(|entry| consent(publication, &speech, zone, entry)).collect(),
    };
    let title = speech.word("choices_title", &[]);
    let page = speaking.page("preferences", &title, "", String::new(), None);
    Ok(publication.templates.page("preferences", &Page { common, page, form: None, own })?)
}

/// The same presenter, speaking a reader's language.
fn in_language<'a>(publication: &'a Publication, presenter: &Presenter<'_>, language: &str) -> Presenter<'a> {
    Presenter::new(publication, presenter.urls.clone()).speaking(language)
}

/// Where leaving everything starts.
pub fn leave_all(publication: &Publication, presenter: &Presenter<'_>, who: SubscriberId) -> String {
    let link = Link { purpose: Purpose::Leave, subscriber: who, feed: None, expires_at: None };
    presenter.urls.local(&format!("/unsubscribe/{}", publication.keyring.sign(&link)))
}

/// The languages on offer, each by its name in itself.
fn languages(publication: &Publication, chosen: &str) -> Vec<OptionView> {
    let name = |tag: &str| publication.templates.speech(tag).word("language", &[]);
    let view = |tag: &str| OptionView { value: tag.to_owned(), label: name(tag), chosen: chosen == tag };
    publication.languages.iter().map(view).collect()
}

fn consent(publication: &Publication, speech: &Speech<'_>, zone: Tz, entry: &Entry) -> ConsentView {
    let feed = entry.feed.as_ref().map(|name| title(publication, name));
    let what = match (&feed, entry.cadence) {
        (Some(feed), Some(cadence)) => {
            let often = speech.word(&format!("ledger_often_{cadence}"), &[]);
            speech.word("comma", &[("first", Value::Text(feed)), ("last", Value::Text(&often))])
        }
        (Some(feed), None) => feed.clone(),
        (None, _) => String::new(),
    };
    let values = [("what", Value::Text(&what))];
    let key = format!("ledger_{}", entry.step);
    let text = match entry.step {
        Step::Paused | Step::AddressChanged => speech.word(&key, &[]),
        Step::Resumed if feed.is_none() => speech.word("ledger_resumed_all", &[]),
        _ => speech.word(&key, &values),
    };
    let at = entry.at.with_timezone(&zone).fixed_offset();
    let (day, time) = (speech.date(at, DateStyle::Long), speech.time(at));
    ConsentView {
        date: speech.word("comma", &[("first", Value::Text(&day)), ("last", Value::Text(&time))]),
        date_iso: at.to_rfc3339_opts(SecondsFormat::Secs, true),
        text,
        source: speech.word(&format!("source_{}", entry.source.as_str()), &[]),
    }
}

fn title(publication: &Publication, name: &FeedName) -> String {
    publication.feed(name).map_or_else(|| name.to_string(), |feed| feed.title.clone())
}

/// The titles of feeds in a row, as the language has it.
pub fn titles<'n>(publication: &Publication, language: &str, names: impl IntoIterator<Item = &'n FeedName>) -> String {
    let titles: Vec<String> = names.into_iter().map(|name| title(publication, name)).collect();
    publication.templates.speech(language).names(&titles).unwrap_or_default()
}

/// What a link to leave by is about: its feed, or the publication.
pub fn what_ends(publication: &Publication, feed: Option<&FeedName>) -> String {
    feed.map_or_else(|| publication.config.publication.title.clone(), |feed| title(publication, feed))
}

/// The page after leaving: the feed, the way back, a reason if they like. `token` is the link that they left by, where
/// a reason is asked for.
///
/// # Errors
/// When the store fails or the template cannot be rendered.
pub async fn left_page(
    publication: &Publication,
    presenter: &Presenter<'_>,
    common: &Common,
    who: SubscriberId,
    feed: Option<&FeedName>,
    token: Option<&str>,
) -> Result<String, TaskError> {
    let store = &publication.store;
    let subscriber = store.subscriber(who).await?;
    let language = language_of(publication, subscriber.as_ref());
    let speech = publication.templates.speech(&language);
    let subscriptions = store.subscriptions_of(who).await?;
    let ended = |name: &FeedName| subscriptions.iter().any(|one| one.feed == *name);
    let read_on = publication.feeds.iter().filter(|own| match feed {
        Some(feed) => own.name == *feed,
        None => ended(&own.name),
    });
    let still = subscriptions.iter().any(|one| one.state != SubscriptionState::Ended);
    let reasons = REASONS.map(|value| ReasonView { value, label: speech.word(&format!("reason_{value}"), &[]) });
    let own = LeftPage {
        what: what_ends(publication, feed),
        read_on: read_on.map(|feed| presenter.feed(feed)).collect(),
        back_url: way_back(publication, who, feed).await?.map(|token| presenter.urls.local(&format!("/back/{token}"))),
        reason_url: token
            .filter(|_| subscriber.is_some())
            .map(|token| presenter.urls.local(&format!("/unsubscribe/{token}/reason"))),
        reasons: reasons.into(),
        unsubscribe_all_url: still.then(|| leave_all(publication, presenter, who)),
    };
    let speaking = in_language(publication, presenter, &language);
    let page = speaking.page("notice", &speech.word("left_title", &[]), "", String::new(), None);
    Ok(publication.templates.page("left", &Page { common, page, form: None, own })?)
}

/// One thing to say to a reader in their language, by its words.
#[derive(Debug, Default)]
pub struct Word<'a> {
    /// The heading's word.
    pub heading: &'a str,
    /// The text's word, and what is filled in.
    pub text: (&'a str, Vec<(&'a str, &'a str)>),
    /// Where the button posts to, and its word.
    pub button: Option<(String, &'a str)>,
    /// Where the link leads, and its word.
    pub link: Option<(String, &'a str)>,
}

/// A page that says it.
///
/// # Errors
/// When the template cannot be rendered.
pub fn word_page(
    publication: &Publication,
    presenter: &Presenter<'_>,
    common: &Common,
    language: &str,
    say: Word<'_>,
) -> Result<String, TaskError> {
    let speaking = in_language(publication, presenter, language);
    let speech = speaking.speech();
    let (text, values) = say.text;
    let values: Vec<(&str, Value<'_>)> = values.into_iter().map(|(place, value)| (place, Value::Text(value))).collect();
    let label = |(url, key): (String, &str)| (url, speech.word(key, &[]));
    let (heading, text) = (speech.word(say.heading, &[]), speech.word(text, &values));
    let (button, link) = (say.button.map(label), say.link.map(label));
    let said = Say {
        heading: &heading,
        text: &text,
        button: button.as_ref().map(|(url, label)| (url.clone(), label.as_str())),
        link: link.as_ref().map(|(url, label)| (url.clone(), label.as_str())),
    };
    notice_page(publication, &speaking, common, said)
}
