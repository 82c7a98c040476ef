//! Slots that have come become digests. Any number of processes may look: each slot becomes one digest.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::compose::{compose, plan_slot};
use super::{Publication, TaskError};
use crate::domain::digest::{Digest, DigestState};
use crate::domain::feed::Feed;
use crate::domain::newsletter::{Cadence, Newsletter, Rhythm};
use crate::store::ReaderGroup;

/// A slot found later than this, after an outage, is held for an editor instead of being sent by itself.
const LATE_AFTER: TimeDelta = TimeDelta::hours(6);
/// How long an instant digest waits for articles that come shortly after one another.
const GATHER: TimeDelta = TimeDelta::minutes(2);
/// The label that does not wait.
const BREAKING: &str = "breaking news";

/// Composes the digest of every slot that came since the last look. Returns those that are new.
///
/// # Errors
/// When the store fails; then the slot is looked at again next time.
pub async fn tick(publication: &Publication) -> Result<Vec<Digest>, TaskError> {
    let now = publication.clock.now();
    let mut composed = vec![];
    for feed in publication.feeds.iter() {
        let Some(newsletter) = &feed.newsletter else { continue };
        for (cadence, rhythm) in &newsletter.cadences {
            let since = publication.store.looked_until(&feed.name, *cadence, now).await?;
            let due = if *rhythm == Rhythm::Instant {
                due_instant(publication, feed, newsletter, now).await?
            } else {
                let readers = publication.store.readers(&feed.name).await?;
                due_slots(*rhythm, zones(publication, &readers, *cadence), since, now)
            };
            for (slot, zones) in due {
                let mut plan = plan_slot(publication, feed, newsletter, *cadence, slot, zones).await?;
                if *rhythm == Rhythm::Instant {
                    // Who came to this cadence, or back, after that digest need not wait for the next article.
                    plan = plan.for_latecomers(publication).await?;
                }
                let slot = plan.key.slot;
                if plan.existing.is_some() || plan.readers() == 0 {
                    continue;
                }
                let state = if now - slot > LATE_AFTER {
                    DigestState::Held { why: format!("its slot was missed by {} hours", (now - slot).num_hours()) }
                } else {
                    DigestState::Sending
                };
                let (digest, is_new) = compose(publication, &plan, state).await?;
                if is_new {
                    composed.push(digest);
                }
            }
            publication.store.set_looked_until(&feed.name, *cadence, now).await?;
        }
    }
    Ok(composed)
}

/// When the next slot of any newsletter comes.
///
/// # Errors
/// When the store fails.
pub async fn next_slot(publication: &Publication) -> Result<Option<(DateTime<Utc>, String, Cadence)>, TaskError> {
    let now = publication.clock.now();
    let mut next = None;
    for feed in publication.feeds.iter() {
        let Some(newsletter) = &feed.newsletter else { continue };
        let readers = publication.store.readers(&feed.name).await?;
        for (cadence, rhythm) in &newsletter.cadences {
            for zone in zones(publication, &readers, *cadence).into_values() {
                let slot = rhythm.next_slot(zone, now).map(|slot| (slot, feed.name.to_string(), *cadence));
                next = match (next, slot) {
                    (Some(a), Some(b)) => Some(std::cmp::min(a, b)),
                    (a, b) => a.or(b),
                };
            }
        }
    }
    Ok(next)
}

/// The zones in which readers of a cadence live, by the names that the store has. One that is not known any more is
/// the publication's.
fn zones(publication: &Publication, readers: &[ReaderGroup], cadence: Cadence) -> HashMap<String, Tz> {
    let own = publication.config.publication.time_zone;
    let of_cadence = readers.iter().filter(|group| group.cadence == cadence);
    let names = of_cadence.map(|group| group.time_zone.as_deref().unwrap_or(own.name()));
    names.map(|name| (name.to_owned(), name.parse().unwrap_or(own))).collect()
}

/// The slots in `(since, now]` with the zones whose readers they are for; of several missed ones the last.
fn due_slots(
    rhythm: Rhythm,
    zones: HashMap<String, Tz>,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> BTreeMap<DateTime<Utc>, Vec<String>> {
    let mut due: BTreeMap<DateTime<Utc>, Vec<String>> = BTreeMap::new();
    for (name, zone) in zones {
        if let Some(slot) = rhythm.last_slot(zone, since, now) {
            due.entry(slot).or_default().push(name);
        }
    }
    due
}

/// The slot of an instant digest: the release of its newest article, once no other has followed it for a while.
async fn due_instant(
    publication: &Publication,
    feed: &Feed,
    newsletter: &Newsletter,
    now: DateTime<Utc>,
) -> Result<BTreeMap<DateTime<Utc>, Vec<String>>, TaskError> {
    let readers = publication.store.readers(&feed.name).await?;
    let zones = zones(publication, &readers, Cadence::Instant);
    let mut instant = readers.iter().filter(|group| group.cadence == Cadence::Instant);
    let Some(oldest) = instant.by_ref().map(|group| group.cursor).min() else { return Ok(BTreeMap::new()) };
    let newest = publication.store.newest_release().await?;
    let waiting = publication.store.released_between(&feed.name, oldest, newest).await?;
    let Some(last) = waiting.iter().map(|released| released.release.at).max() else { return Ok(BTreeMap::new()) };
    let cannot_wait = waiting
        .iter()
        .any(|released| released.article.label.as_ref().is_some_and(|label| label.to_lowercase() == BREAKING));
    if waiting.len() < newsletter.min_articles || (!cannot_wait && now - last < GATHER) {
        return Ok(BTreeMap::new());
    }
    Ok(BTreeMap::from([(last, zones.into_keys().collect())]))
}
