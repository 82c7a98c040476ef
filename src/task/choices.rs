//! What readers do about their own mail: choose, pause, move it, leave and come back, see what is held of them, be
//! forgotten.

mod pages;

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use serde_json::json;

use super::letters::MOVE_WITHIN;
use super::{Publication, TaskError, hours};
use crate::domain::address::EmailAddress;
use crate::domain::consent::{Consent, Source};
use crate::domain::feed::FeedName;
use crate::domain::link::{Link, Purpose};
use crate::domain::newsletter::Cadence;
use crate::domain::subscription::{MAX_NAME, Subscriber, SubscriberId, SubscriptionState};
use crate::domain::text::{one_line, shorten};
use crate::store::Reason;
use crate::template::words::Value;

pub use pages::{Said, Word, leave_all, left_page, page, titles, what_ends, word_page};

/// How long a mistaken click can be taken back.
pub const BACK_WITHIN: TimeDelta = TimeDelta::hours(24);
/// How long the button to be forgotten works.
pub const ERASE_WITHIN: TimeDelta = TimeDelta::hours(1);
/// The longest pause.
const LONGEST_PAUSE: TimeDelta = TimeDelta::days(366);
/// Longest name or other short text, in characters.
/// Longest text of a reason, in characters.
const MAX_WORDS: usize = 500;
/// The reasons to leave that can be chosen; each has a word `reason_…`.
const REASONS: [&str; 5] = ["too_often", "not_for_me", "never_asked", "feed", "other"];

/// A reader, and the language in which pages speak to them.
#[derive(Debug, Clone)]
pub struct Reader {
    /// The person.
    pub subscriber: Subscriber,
    /// Their language, or the publication's.
    pub language: String,
}

impl Reader {
    /// The person.
    pub fn of(publication: &Publication, subscriber: Subscriber) -> Self {
        let language = language_of(publication, Some(&subscriber));
        Self { subscriber, language }
    }
}

/// In which language pages speak to somebody.
pub fn language_of(publication: &Publication, subscriber: Option<&Subscriber>) -> String {
    let languages = &publication.languages;
    languages.at(languages.of_reader(subscriber.and_then(|subscriber| subscriber.language.as_deref()))).to_owned()
}

/// What somebody wants, as a form says it.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The feeds ticked, with their cadences.
    pub feeds: Vec<(FeedName, Cadence)>,
    /// The hour and the day preferred for each of them, as they are posted.
    pub hours: Vec<(FeedName, String, String)>,
    /// What to call them.
    pub name: String,
    /// The name of a time zone; empty for no change.
    pub time_zone: String,
    /// The tag of a language; empty for no change.
    pub language: String,
    /// The day on which mail comes again, such as `2026-12-01`; empty for no pause, `None` for no change.
    pub pause_until: Option<String>,
}

/// Saves what somebody wants. Returns, in their words, what of it could not be.
///
/// # Errors
/// When the store fails.
pub async fn save(
    publication: &Publication,
    subscriber: &Subscriber,
    wanted: &Wanted,
) -> Result<Vec<String>, TaskError> {
    let store = &publication.store;
    let now = publication.clock.now();
    let consent = Consent::new(Source::Preferences, now);
    let mut faults: Vec<(&str, &str, String)> = vec![];

    let typed = wanted.time_zone.trim();
    let zone = chrono_tz::TZ_VARIANTS.into_iter().find(|zone| zone.name().eq_ignore_ascii_case(typed));
    if zone.is_none() && !typed.is_empty() {
        faults.push(("choices_no_zone", "zone", shorten(&one_line(typed), MAX_NAME)));
    }
    let zone = zone.or(subscriber.time_zone);
    let name = Some(shorten(&one_line(&wanted.name), MAX_NAME)).filter(|name| !name.is_empty());
    store.set_profile(subscriber.id, name.as_deref(), zone).await?;
    let languages = &publication.languages;
    if let Some(place) = languages.find(&wanted.language) {
        // The publication's own stands first, and is nothing to keep.
        let language = Some(languages.at(place)).filter(|_| place > 0);
        store.set_language(subscriber.id, language).await?;
    }

    let clock = zone.unwrap_or(publication.config.publication.time_zone);
    let paused = store.paused_until(subscriber.id).await?;
    let mut until = paused;
    match wanted.pause_until.as_deref().map(str::trim) {
        Some("") => until = None,
        Some(day) => match pause_end(day, clock, now) {
            Some(end) => until = Some(end),
            None => faults.push(("choices_no_day", "day", shorten(&one_line(day), MAX_NAME))),
        },
        None => {}
    }
    let before = store.subscriptions_of(subscriber.id).await?;
    for one in &before {
        // A feed that the page did not show, such as one whose definition has a fault today, was not unticked.
        let shown = publication.feed(&one.feed).is_some_and(|feed| feed.newsletter.is_some());
        let comes = matches!(one.state, SubscriptionState::Active | SubscriptionState::Paused);
        if shown && comes && wanted.feeds.iter().all(|(feed, _)| *feed != one.feed) {
            store.leave(subscriber.id, Some(&one.feed), consent.clone()).await?;
        }
    }
    if until.is_none() && paused.is_some() {
        store.resume(subscriber.id, consent.clone()).await?;
    }
    for (feed, cadence) in &wanted.feeds {
        let rests = before
            .iter()
            .any(|one| one.feed == *feed && one.state == SubscriptionState::Paused && one.cadence == *cadence);
        // What is paused without an end rests on until it is taken up again with its own button.
        if !(rests && paused.is_none() && until.is_none()) {
            store.choose_until(subscriber.id, feed, *cadence, paused.and(until), consent.clone()).await?;
        }
    }
    for (feed, hour, day) in &wanted.hours {
        hours::prefer(publication, subscriber.id, feed, hour, day).await?;
    }
    if let Some(until) = until {
        store.pause(subscriber.id, until, consent).await?;
    }
    let speech =
        publication.templates.speech(&language_of(publication, store.subscriber(subscriber.id).await?.as_ref()));
    Ok(faults.iter().map(|(key, place, value)| speech.word(key, &[(place, Value::Text(value))])).collect())
}

/// The moment at which a day begins on somebody's clock, if it is one to come, within a year.
fn pause_end(day: &str, clock: Tz, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let day: NaiveDate = day.parse().ok()?;
    // Some days begin at one o'clock.
    let begin = (0..3).find_map(|hour| clock.from_local_datetime(&day.and_hms_opt(hour, 0, 0)?).earliest())?;
    let end = begin.with_timezone(&Utc);
    (end > now && end <= now + LONGEST_PAUSE).then_some(end)
}

/// That something typed is no address, in a reader's words.
pub fn no_address(publication: &Publication, reader: &Reader, typed: &str) -> String {
    let typed = shorten(&one_line(typed), MAX_NAME);
    publication.templates.speech(&reader.language).word("choices_address_bad", &[("address", Value::Text(&typed))])
}

/// Asks another address whether somebody's mail may come there. Whether it may already, is somebody else's or is banned
/// makes no difference that could be seen.
///
/// # Errors
/// When the store fails.
pub async fn ask_move(publication: &Publication, who: SubscriberId, to: &EmailAddress) -> Result<(), TaskError> {
    let now = publication.clock.now();
    let hash = publication.keyring.address_hash(&to.key());
    Ok(publication.store.ask_move(who, to, &hash, now - MOVE_WITHIN, now).await?)
}

/// The reader whose mail a token moves, with the address that it moves to, where that is still wished for.
///
/// # Errors
/// When the store fails.
pub async fn asked_move(publication: &Publication, token: &str) -> Result<Option<(Reader, EmailAddress)>, TaskError> {
    let now = publication.clock.now();
    let Some((who, hash)) = publication.keyring.verify_address(token, now) else { return Ok(None) };
    let wished = publication.store.wished_move(who, now - MOVE_WITHIN).await?;
    let wished = wished.filter(|address| publication.keyring.address_hash(&address.key()) == hash);
    let (Some(address), Some(subscriber)) = (wished, publication.store.subscriber(who).await?) else { return Ok(None) };
    Ok(Some((Reader::of(publication, subscriber), address)))
}

/// Moves somebody's mail to the address that has said yes. Returns whether it did.
///
/// # Errors
/// When the store fails.
pub async fn make_move(publication: &Publication, who: SubscriberId, to: &EmailAddress) -> Result<bool, TaskError> {
    let now = publication.clock.now();
    let hash = publication.keyring.address_hash(&to.key());
    let consent = Consent::new(Source::Preferences, now);
    Ok(publication.store.make_move(who, &hash, now - MOVE_WITHIN, consent).await?)
}

/// The token by which somebody who just left can take it back, while that is possible.
///
/// # Errors
/// When the store fails.
pub async fn way_back(
    publication: &Publication,
    who: SubscriberId,
    feed: Option<&FeedName>,
) -> Result<Option<String>, TaskError> {
    let left_at = publication.store.left_at(who, feed).await?;
    let expires_at = left_at.map(|at| at + BACK_WITHIN).filter(|end| *end > publication.clock.now());
    let link = |end| Link { purpose: Purpose::Return, subscriber: who, feed: feed.cloned(), expires_at: Some(end) };
    Ok(expires_at.map(|end| publication.keyring.sign(&link(end))))
}

/// Takes back that somebody left, by the link of [`way_back`]. Returns the feeds that come again.
///
/// # Errors
/// When the store fails.
pub async fn take_back(publication: &Publication, link: &Link) -> Result<Vec<FeedName>, TaskError> {
    let now = publication.clock.now();
    // A token knows its end to the minute, and with that the minute in which they left.
    let Some(end) = link.expires_at else { return Ok(vec![]) };
    let consent = Consent::new(Source::Preferences, now);
    Ok(publication.store.take_back(link.subscriber, link.feed.as_ref(), end - BACK_WITHIN, consent).await?)
}

/// Keeps why somebody left, if what they chose is one of the reasons.
///
/// # Errors
/// When the store fails.
pub async fn give_reason(
    publication: &Publication,
    who: SubscriberId,
    feed: Option<FeedName>,
    reason: &str,
    words: &str,
) -> Result<(), TaskError> {
    let words = shorten(&one_line(words), MAX_WORDS);
    let reason = REASONS.into_iter().find(|known| *known == reason);
    let Some(reason) = reason.or((!words.is_empty()).then_some("other")) else { return Ok(()) };
    let given = Reason { feed, at: publication.clock.now(), reason: reason.to_owned(), words };
    Ok(publication.store.give_reason(who, &given).await?)
}

/// Forgets somebody, as `subscribers erase` does.
///
/// # Errors
/// When the store fails; then nothing is forgotten.
pub async fn erase(publication: &Publication, subscriber: &Subscriber) -> Result<(), TaskError> {
    let hash = publication.keyring.address_hash(&subscriber.address.key());
    publication.store.forget(&hash).await?;
    Ok(())
}

fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// All that is held of somebody.
///
/// # Errors
/// When the store fails.
pub async fn held(publication: &Publication, subscriber: &Subscriber) -> Result<serde_json::Value, TaskError> {
    let store = &publication.store;
    let hash = publication.keyring.address_hash(&subscriber.address.key());
    let subscriptions: Vec<_> = store
        .taken_by(subscriber.id)
        .await?
        .into_iter()
        .map(|taken| {
            json!({
                "feed": taken.subscription.feed,
                "cadence": taken.subscription.cadence,
                "state": taken.subscription.state,
                "cursor": taken.subscription.cursor,
                "created_at": written(taken.created_at),
                "confirmation_sent_at": taken.confirmation_sent_at.map(written),
                "confirmed_at": taken.confirmed_at.map(written),
                "paused_until": taken.paused_until.map(written),
                "ended_at": taken.ended_at.map(written),
                "preferred": taken.preferred,
            })
        })
        .collect();
    let now = publication.clock.now();
    Ok(json!({
        "id": subscriber.id,
        "address": subscriber.address,
        "name": subscriber.name,
        "language": subscriber.language,
        "time_zone": subscriber.time_zone.map(chrono_tz::Tz::name),
        "attributes": store.attributes_of(&[subscriber.id]).await?.remove(&subscriber.id).unwrap_or_default(),
        "asked_address": store.wished_move(subscriber.id, now - MOVE_WITHIN).await?,
        "subscriptions": subscriptions,
        "consents": store.consents_of(subscriber.id).await?,
        "deliveries": store.brought_to(subscriber.id).await?,
        "reports": store.reports_to(subscriber.id, &hash).await?,
        "suppression": store.ban(&hash).await?,
        "reasons": store.reasons(Some(subscriber.id), i64::MAX).await?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_ends_when_its_day_begins_on_the_readers_clock() {
        let now: DateTime<Utc> = "2026-11-24T23:30:00Z".parse().unwrap();
        let end = |day: &str, zone: &str| pause_end(day, zone.parse().unwrap(), now).map(|at| at.to_rfc3339());
        assert_eq!(end("2026-12-01", "Europe/Berlin").as_deref(), Some("2026-11-30T23:00:00+00:00"));
        // There it is the 25th already.
        assert_eq!(end("2026-11-25", "Asia/Tokyo"), None);
        assert_eq!(end("2026-11-25", "UTC").as_deref(), Some("2026-11-25T00:00:00+00:00"));
        // A day that begins at one o'clock.
        assert_eq!(end("2027-03-28", "Asia/Beirut").as_deref(), Some("2027-03-27T22:00:00+00:00"));
        for day in ["2026-11-24", "2027-11-27", "yesterday", "", "2026-02-30", "+262143-01-01"] {
            assert_eq!(end(day, "UTC"), None, "{day}");
        }
    }
}
