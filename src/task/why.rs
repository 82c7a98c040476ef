//! Why somebody got, will get or did not get a mail: every reason there is, in words.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::calendar::describe;
use super::{Publication, TaskError};
use crate::domain::address::EmailAddress;
use crate::domain::delivery::{Attempt, DeliveryState};
use crate::domain::digest::{Digest, DigestState};
use crate::domain::feed::{Feed, FeedName};
use crate::domain::newsletter::{Cadence, Newsletter};
use crate::domain::subscription::{Subscriber, SubscriptionState};
use crate::store::{Ban, Delivery, Taken, WAITS_FOR_PICK};

/// Everything that is known of one address's mail.
#[derive(Debug, Clone, Serialize)]
pub struct Account {
    /// The address, as it was subscribed or else as it was asked for.
    pub address: EmailAddress,
    /// Where its clock stands.
    pub zone: String,
    /// What holds for all its mail.
    pub reasons: Vec<String>,
    /// The ban on it, if there is one.
    pub suppressed: Option<Ban>,
    /// Newsletter by newsletter.
    pub newsletters: Vec<Expected>,
    /// Digest by digest, the newest first.
    pub digests: Vec<Told>,
}

/// What is to be expected of one newsletter.
#[derive(Debug, Clone, Serialize)]
pub struct Expected {
    /// Which.
    pub newsletter: FeedName,
    /// Where the subscription stands; `None` where there is none.
    pub state: Option<SubscriptionState>,
    /// How often, where there is a subscription.
    pub cadence: Option<Cadence>,
    /// When the next slot is.
    pub next_slot: Option<DateTime<Utc>>,
    /// Release number up to which the reader has been served.
    pub cursor: Option<i64>,
    /// Slugs of the articles that wait.
    pub waiting: Vec<String>,
    /// Why a mail comes, and when, or why none does.
    pub reasons: Vec<String>,
}

/// What became of one digest.
#[derive(Debug, Clone, Serialize)]
pub struct Told {
    /// The digest.
    #[serde(flatten)]
    pub digest: Digest,
    /// Where its delivery stands; `None` where there is none.
    pub delivery: Option<&'static str>,
    /// When it is tried next.
    pub next_try_at: Option<DateTime<Utc>>,
    /// Why.
    pub reasons: Vec<String>,
    /// Every attempt, the oldest first.
    pub attempts: Vec<Attempt>,
}

/// Deliveries that are told of where no digest is named.
const NEWEST: i64 = 5;

/// Gives account of `address`; of one digest where given, or else of all newsletters and the newest digests.
///
/// # Errors
/// When the store fails.
pub async fn why(
    publication: &Publication,
    address: &EmailAddress,
    digest: Option<&Digest>,
) -> Result<Account, TaskError> {
    let store = &publication.store;
    let suppressed = store.ban(&publication.keyring.address_hash(&address.key())).await?;
    let mut reasons: Vec<String> = suppressed.iter().map(|ban| banned(publication, ban)).collect();
    let Some(subscriber) = store.subscriber_by_address(&address.key()).await? else {
        reasons.push("nobody is known by this address: it was never subscribed, or was removed".into());
        let zone = publication.config.publication.time_zone.name().to_owned();
        return Ok(Account {
            address: address.clone(),
            zone,
            reasons,
            suppressed,
            newsletters: vec![],
            digests: vec![],
        });
    };
    let mut witness = Witness {
        publication,
        zone: subscriber.time_zone.unwrap_or(publication.config.publication.time_zone),
        taken: store.taken_by(subscriber.id).await?,
        preferred: store.preferences_of(subscriber.id).await?,
        subscriber,
        is_banned: suppressed.is_some(),
    };
    let newsletters = witness.newsletters(digest.map(|digest| &digest.key.newsletter)).await?;
    let digests = witness.digests(digest).await?;
    Ok(Account {
        address: witness.subscriber.address,
        zone: witness.zone.name().to_owned(),
        reasons,
        suppressed,
        newsletters,
        digests,
    })
}

fn banned(publication: &Publication, ban: &Ban) -> String {
    let detail = ban.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    let since = on(publication.config.publication.time_zone, ban.at);
    format!("no mail goes to this address since {since}, for a {}{detail}", ban.cause)
}

/// An instant on somebody's clock.
fn on(zone: Tz, at: DateTime<Utc>) -> String {
    at.with_timezone(&zone).format("%-d %B %Y %H:%M %Z").to_string()
}

/// "one article", "3 articles".
fn articles(number: usize) -> String {
    if number == 1 { "one article".to_owned() } else { format!("{number} articles") }
}

struct Witness<'a> {
    publication: &'a Publication,
    subscriber: Subscriber,
    zone: Tz,
    taken: Vec<Taken>,
    /// The hour and day of their own, feed by feed.
    preferred: Vec<(FeedName, String)>,
    is_banned: bool,
}

impl Witness<'_> {
    fn on(&self, at: DateTime<Utc>) -> String {
        on(self.zone, at)
    }

    async fn newsletters(&self, only: Option<&FeedName>) -> Result<Vec<Expected>, TaskError> {
        let mut names: Vec<&FeedName> = self.taken.iter().map(|taken| &taken.subscription.feed).collect();
        let offered = self.publication.feeds.iter().filter(|feed| feed.newsletter.is_some()).map(|feed| &feed.name);
        names.extend(offered);
        names.extend(only);
        names.retain(|name| only.is_none_or(|only| only == *name));
        names.sort();
        names.dedup();
        let mut newsletters = vec![];
        for name in names {
            let taken = self.taken.iter().find(|taken| taken.subscription.feed == *name);
            newsletters.push(self.expected(name, taken).await?);
        }
        Ok(newsletters)
    }

    async fn expected(&self, name: &FeedName, taken: Option<&Taken>) -> Result<Expected, TaskError> {
        let subscription = taken.map(|taken| &taken.subscription);
        let mut expected = Expected {
            newsletter: name.clone(),
            state: subscription.map(|subscription| subscription.state),
            cadence: subscription.map(|subscription| subscription.cadence),
            next_slot: None,
            cursor: subscription.map(|subscription| subscription.cursor),
            waiting: vec![],
            reasons: vec![],
        };
        let Some(taken) = taken else {
            expected.reasons.push("not subscribed".into());
            return Ok(expected);
        };
        let feed = self.publication.feed(name);
        let Some((feed, newsletter)) = feed.and_then(|feed| Some((feed, feed.newsletter.as_ref()?))) else {
            let what = if feed.is_some() { "has no [newsletter] any more" } else { "is not there, or has a fault" };
            expected.reasons.push(format!("no digest is made: feeds/{name}.toml {what}"));
            return Ok(expected);
        };
        match taken.subscription.state {
            SubscriptionState::Pending => {
                let asked = self.on(taken.created_at);
                expected.reasons.push(match taken.confirmation_sent_at {
                    Some(sent) => format!(
                        "asked for on {asked} and not confirmed: the link in the mail of {} waits to be followed",
                        self.on(sent)
                    ),
                    None => format!("asked for on {asked} and not confirmed: the confirmation has not gone out yet"),
                });
                return Ok(expected);
            }
            SubscriptionState::Ended => {
                let when = taken.ended_at.map(|at| format!(" on {}", self.on(at))).unwrap_or_default();
                expected.reasons.push(format!("left{when}"));
                return Ok(expected);
            }
            SubscriptionState::Paused => expected.reasons.push(match taken.paused_until {
                Some(until) => format!(
                    "paused by the reader until {}: nothing is made until then, and then nothing is missed",
                    self.on(until)
                ),
                None => "paused by the reader: nothing is made until it is taken up again, and then nothing is missed"
                    .to_owned(),
            }),
            SubscriptionState::Active => self.timing(newsletter, taken, &mut expected),
        }
        self.waiting(feed, newsletter, taken, &mut expected).await?;
        Ok(expected)
    }

    fn timing(&self, newsletter: &Newsletter, taken: &Taken, expected: &mut Expected) {
        if self.is_banned {
            expected.reasons.push("subscribed, but the address is suppressed".into());
            return;
        }
        let cadence = taken.subscription.cadence;
        let own = self.preferred.iter().find(|(feed, _)| *feed == taken.subscription.feed);
        let own = own.map(|(_, preferred)| preferred.as_str());
        let Some(timing) = newsletter.timing_for(cadence, own) else {
            let offered: Vec<&str> = newsletter.cadences.keys().map(|cadence| cadence.as_str()).collect();
            expected.reasons.push(format!(
                "subscribed {cadence}, which is not on offer any more: no digest is made until another is chosen ({})",
                offered.join(", ")
            ));
            return;
        };
        let is_own = newsletter.cadences.get(&cadence).is_some_and(|usual| *usual != timing);
        let chosen = if is_own { ", as this reader chose" } else { "" };
        expected.reasons.push(format!("subscribed {cadence}: {}{chosen}", describe(&timing)));
        let clock = timing.zone.unwrap_or(self.zone);
        expected.next_slot = timing.rhythm.next_slot(clock, self.publication.clock.now());
        if let Some(slot) = expected.next_slot {
            expected.reasons.push(format!("the next slot is on {}", self.on(slot)));
        }
    }

    /// What waits for the reader, and what it waits for.
    async fn waiting(
        &self,
        feed: &Feed,
        newsletter: &Newsletter,
        taken: &Taken,
        expected: &mut Expected,
    ) -> Result<(), TaskError> {
        let store = &self.publication.store;
        let (cursor, newest) = (taken.subscription.cursor, store.newest_release().await?);
        let waiting = store.released_between(&feed.name, cursor, newest).await?;
        expected.waiting = waiting.iter().map(|released| released.article.slug.as_str().to_owned()).collect();
        expected.reasons.push(match waiting.len() {
            0 => {
                format!("nothing waits: served up to release {cursor} of {newest}, and nothing of this feed came after")
            }
            few if few < newsletter.min_articles => {
                format!("{} of at least {} wait: a digest is made when there are enough", few, newsletter.min_articles)
            }
            enough => format!("{} will come: what was released after number {cursor}", articles(enough)),
        });
        for delivery in store.deliveries_to(self.subscriber.id, None, 50).await? {
            let stands = matches!(
                delivery.digest.state,
                DigestState::Held { .. } | DigestState::Paused | DigestState::Halted { .. }
            );
            if delivery.digest.key.newsletter == feed.name && stands && !delivery.state.is_final() {
                expected.reasons.push(format!(
                    "before anything else comes the digest of {}, which is {}",
                    self.on(delivery.digest.key.slot),
                    delivery.digest.state
                ));
            }
        }
        Ok(())
    }

    async fn digests(&mut self, digest: Option<&Digest>) -> Result<Vec<Told>, TaskError> {
        let store = &self.publication.store;
        let deliveries = store.deliveries_to(self.subscriber.id, digest.map(|digest| digest.id), NEWEST).await?;
        let mut told = vec![];
        for delivery in deliveries {
            let attempts = store.attempts(delivery.digest.id, self.subscriber.id).await?;
            let is_tried =
                matches!(delivery.state, DeliveryState::Deferred) && delivery.digest.state == DigestState::Sending;
            told.push(Told {
                delivery: Some(delivery.state.as_str()),
                next_try_at: is_tried.then_some(delivery.due_at),
                reasons: self.delivered(&delivery, &attempts),
                attempts,
                digest: delivery.digest,
            });
        }
        if let Some(digest) = digest.filter(|_| told.is_empty()) {
            let reasons = self.left_out(digest).await?;
            told.push(Told { digest: digest.clone(), delivery: None, next_try_at: None, reasons, attempts: vec![] });
        }
        Ok(told)
    }

    /// Why a delivery stands where it does.
    fn delivered(&self, delivery: &Delivery, attempts: &[Attempt]) -> Vec<String> {
        let outcome = delivery.outcome.as_deref().unwrap_or("no reason was kept");
        let last = attempts.last();
        let mut reasons = vec![match delivery.state {
            DeliveryState::Sent => match last {
                Some(attempt) => format!("sent: {} took it on {}", attempt.relay, self.on(attempt.at)),
                None => "sent".to_owned(),
            },
            DeliveryState::Refused => format!("refused for good: {outcome}"),
            DeliveryState::Failed => format!("given up after {} attempts: {outcome}", attempts.len()),
            DeliveryState::Skipped => match outcome {
                "left" => "not sent: the reader left before".to_owned(),
                "suppressed" => "not sent: the address was suppressed before".to_owned(),
                "left or suppressed" => "not sent: the reader left, or the address was suppressed, before".to_owned(),
                "cancelled" => {
                    "not sent: an editor cancelled the digest; its articles come with the next one".to_owned()
                }
                other => format!("not sent: {other}"),
            },
            DeliveryState::Queued if delivery.due_at.timestamp_millis() == WAITS_FOR_PICK => {
                "not sent yet: waits until one of the subjects on trial is picked".to_owned()
            }
            DeliveryState::Queued => "not sent yet: waits for its turn".to_owned(),
            DeliveryState::Claimed => "not sent yet: a sender has it in hand".to_owned(),
            DeliveryState::Deferred => format!("put off: {outcome}"),
        }];
        if delivery.state.is_final() {
            return reasons;
        }
        match &delivery.digest.state {
            DigestState::Sending if delivery.state == DeliveryState::Deferred => {
                reasons.push(format!("the next try is on {}", self.on(delivery.due_at)));
                if let Some(first) = delivery.first_attempt_at {
                    let end = first + self.life(&delivery.digest.key.newsletter);
                    reasons.push(format!("it is given up on {}", self.on(end)));
                }
            }
            DigestState::Sending => {}
            state => reasons.push(format!("the digest is {state}")),
        }
        reasons
    }

    fn life(&self, newsletter: &FeedName) -> TimeDelta {
        let own = self.publication.feed(newsletter).and_then(|feed| feed.newsletter.as_ref()?.life);
        TimeDelta::from_std(own.unwrap_or(self.publication.config.mail.retry.life)).unwrap_or_default()
    }

    /// Why a digest has no delivery for this reader.
    async fn left_out(&self, digest: &Digest) -> Result<Vec<String>, TaskError> {
        let composed = digest.created_at;
        let taken = self.taken.iter().find(|taken| taken.subscription.feed == digest.key.newsletter);
        let Some(taken) = taken else { return Ok(vec!["not for this reader: not subscribed".into()]) };
        let mut reasons = vec![];
        let mut add = |when: bool, reason: String| {
            if when {
                reasons.push(reason);
            }
        };
        let on = |at: Option<DateTime<Utc>>| at.map(|at| self.on(at)).unwrap_or_default();
        add(taken.created_at > composed, format!("subscribed only on {}", self.on(taken.created_at)));
        add(taken.confirmed_at.is_none(), "the subscription was never confirmed".into());
        add(
            taken.confirmed_at.is_some_and(|at| at > composed),
            format!("confirmed only on {}", on(taken.confirmed_at)),
        );
        add(taken.ended_at.is_some_and(|at| at <= composed), format!("had left on {}", on(taken.ended_at)));
        add(taken.subscription.state == SubscriptionState::Paused, "the reader has paused it".into());
        let cadence = taken.subscription.cadence;
        if let Some(other) = digest.key.cadence.filter(|other| *other != cadence) {
            add(true, format!("it is for the readers of another cadence: {other}; this one gets it {cadence}"));
        }
        if let Some(segment) = &digest.key.segment {
            add(true, format!("it is for the segment {segment}; what is new in it comes with the next digest"));
        }
        let ban = self.publication.keyring.address_hash(&self.subscriber.address.key());
        if let Some(ban) = self.publication.store.ban(&ban).await?.filter(|ban| ban.at <= composed) {
            add(true, format!("the address was suppressed: {}", ban.cause));
        }
        for other in self.publication.store.deliveries_to(self.subscriber.id, None, 200).await? {
            let is_of_it = other.digest.key.newsletter == digest.key.newsletter && other.digest.id != digest.id;
            let had = is_of_it
                && digest.cut_off > 0
                && other.digest.cut_off >= digest.cut_off
                && other.digest.created_at <= composed;
            add(had, format!("its articles were in the digest of {}", self.on(other.digest.key.slot)));
            let waited = is_of_it
                && other.digest.created_at <= composed
                && (other.settled_at.is_none_or(|at| at > composed))
                && other.digest.state != DigestState::Sending;
            add(waited && !had, format!("waited for the digest of {} then", self.on(other.digest.key.slot)));
        }
        if reasons.is_empty() {
            reasons.push(
                "it went to readers in other time zones or who prefer another hour, or to those who had enough new articles to read when it was made"
                    .into(),
            );
        }
        Ok(reasons.into_iter().map(|reason| format!("not for this reader: {reason}")).collect())
    }
}
