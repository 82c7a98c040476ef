//! Slots that have come become digests. Any number of processes may look: each slot becomes one digest.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::compose::{compose, minute, plan_slot};
use super::{Publication, TaskError, trial};
use crate::domain::digest::{Digest, DigestState};
use crate::domain::feed::Feed;
use crate::domain::newsletter::{Cadence, Hold, Newsletter, Rhythm, Timing};
use crate::store::Clocks;

/// Slots that are due, with the clocks whose readers they are for.
type Due = BTreeMap<DateTime<Utc>, Clocks>;

/// Composes the digest of every slot that came since the last look, lets go what was held until now, and takes up again
/// what was paused until now. Returns those that are new.
///
/// # Errors
/// When the store fails; then the slot is looked at again next time.
pub async fn tick(publication: &Publication) -> Result<Vec<Digest>, TaskError> {
    let now = publication.clock.now();
    publication.store.release_held(now).await?;
    publication.store.resume_due(now).await?;
    trial::look(publication).await?;
    let mut composed = vec![];
    for feed in publication.feeds.iter() {
        let Some(newsletter) = &feed.newsletter else { continue };
        for (cadence, timing) in &newsletter.cadences {
            let since = publication.store.looked_until(&feed.name, *cadence, now).await?;
            composed.extend(look(publication, feed, newsletter, (*cadence, timing), since, now).await?);
            publication.store.set_looked_until(&feed.name, *cadence, now).await?;
        }
    }
    Ok(composed)
}

/// Composes what became due at one cadence in `(since, now]`.
async fn look(
    publication: &Publication,
    feed: &Feed,
    newsletter: &Newsletter,
    (cadence, timing): (Cadence, &Timing),
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Vec<Digest>, TaskError> {
    let due = if timing.rhythm == Rhythm::Instant {
        due_instant(publication, feed, newsletter, now).await?
    } else if let Some(zone) = timing.zone {
        timing.rhythm.last_slot(zone, since, now).map(|slot| (slot, Clocks::All)).into_iter().collect()
    } else {
        let readers = publication.store.clocks(&feed.name, cadence).await?;
        due_slots(publication, newsletter, &readers, cadence, since, now)
    };
    let mut composed = vec![];
    for (slot, clocks) in due {
        let mut plan = plan_slot(publication, feed, newsletter, cadence, slot, clocks).await?;
        // What is to be there at once waits for no trial.
        plan.trial = newsletter.trial(&newsletter.subjects).filter(|_| cadence != Cadence::Instant);
        if timing.rhythm == Rhythm::Instant {
            // Who came to this cadence, or back, after that digest need not wait for the next article.
            plan = plan.for_latecomers(publication).await?;
        }
        if plan.existing.is_some() || plan.readers() == 0 {
            continue;
        }
        let (digest, is_new) = compose(publication, &plan, state(newsletter, plan.key.slot, since, now)).await?;
        if is_new {
            composed.push(digest);
        }
    }
    Ok(composed)
}

/// How the digest of a slot begins. Late is what nobody looked for in time; for whom a slot up to `since` is due now,
/// it was not due then.
fn state(newsletter: &Newsletter, slot: DateTime<Utc>, since: DateTime<Utc>, now: DateTime<Utc>) -> DigestState {
    let late = now - slot;
    if slot > since && late > newsletter.late_after {
        let why = match late.num_hours() {
            0 => format!("its slot was missed by {} minutes", late.num_minutes()),
            hours => format!("its slot was missed by {hours} hours"),
        };
        return DigestState::Held { why, until: None };
    }
    match newsletter.hold {
        Hold::None => DigestState::Sending,
        Hold::For(time) => {
            DigestState::Held { why: "goes out by itself unless it is cancelled".into(), until: Some(now + time) }
        }
        Hold::Approval => DigestState::Held { why: "waits for an editor's yes".into(), until: None },
    }
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
        for cadence in newsletter.cadences.keys() {
            let readers = publication.store.clocks(&feed.name, *cadence).await?;
            for (timing, zone) in clocks(publication, newsletter, &readers, *cadence).into_values() {
                let slot = timing.rhythm.next_slot(zone, now).map(|slot| (slot, feed.name.to_string(), *cadence));
                next = match (next, slot) {
                    (Some(a), Some(b)) => Some(std::cmp::min(a, b)),
                    (a, b) => a.or(b),
                };
            }
        }
    }
    Ok(next)
}

/// A reader's time zone, where they have one, and the hour and day that they prefer.
type ReaderClock = (Option<String>, Option<String>);

/// The clocks that readers of a cadence go by, each with when it is due on it, by its name among [`Clocks`]. A zone that is
/// not known any more is the publication's.
fn clocks(
    publication: &Publication,
    newsletter: &Newsletter,
    readers: &[ReaderClock],
    cadence: Cadence,
) -> HashMap<String, (Timing, Tz)> {
    let own = publication.config.publication.time_zone;
    let Some(timing) = newsletter.cadences.get(&cadence) else { return HashMap::new() };
    let is_moved = newsletter.choose.moves(timing);
    let mut clocks = HashMap::new();
    for (zone, preferred) in readers {
        let zone = zone.as_deref().unwrap_or(own.name());
        let preferred = preferred.as_deref();
        let name = if is_moved { Clocks::name(zone, preferred) } else { zone.to_owned() };
        if !clocks.contains_key(&name)
            && let Some(timing) = newsletter.timing_for(cadence, preferred)
        {
            let zone = timing.zone.unwrap_or_else(|| zone.parse().unwrap_or(own));
            clocks.insert(name, (timing, zone));
        }
    }
    clocks
}

/// The slots in `(since, now]` with the clocks whose readers they are for; of several missed ones the last.
fn due_slots(
    publication: &Publication,
    newsletter: &Newsletter,
    readers: &[ReaderClock],
    cadence: Cadence,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Due {
    let mut names: BTreeMap<DateTime<Utc>, Vec<String>> = BTreeMap::new();
    for (name, (timing, zone)) in clocks(publication, newsletter, readers, cadence) {
        if let Some(slot) = timing.rhythm.last_slot(zone, since, now) {
            names.entry(slot).or_default().push(name);
        }
    }
    let is_moved = newsletter.cadences.get(&cadence).is_some_and(|timing| newsletter.choose.moves(timing));
    let of = |names| if is_moved { Clocks::Preferring(names) } else { Clocks::In(names) };
    names.into_iter().map(|(slot, names)| (slot, of(names))).collect()
}

/// The slot of an instant digest: the release of its newest article, once no other has followed it for a while.
async fn due_instant(
    publication: &Publication,
    feed: &Feed,
    newsletter: &Newsletter,
    now: DateTime<Utc>,
) -> Result<Due, TaskError> {
    let instant = publication.store.readers_who_wait_for_nothing(&feed.name, Some(Cadence::Instant)).await?;
    let Some(oldest) = instant.iter().map(|group| group.cursor).min() else { return Ok(Due::new()) };
    let newest = publication.store.newest_release().await?;
    let waiting = publication.store.released_between(&feed.name, oldest, newest).await?;
    let Some(last) = waiting.iter().map(|released| released.release.at).max() else { return Ok(Due::new()) };
    let is_breaking = |label: &String| label.to_lowercase() == Newsletter::BREAKING;
    let cannot_wait = waiting.iter().any(|released| released.article.label.as_ref().is_some_and(is_breaking));
    // A release that lies ahead is one of a clock that was put back.
    let gathers = (last..last + newsletter.gather).contains(&now);
    if waiting.len() < newsletter.min_articles || (!cannot_wait && gathers) {
        return Ok(Due::new());
    }
    Ok(Due::from([(if last > now { minute(now) } else { last }, Clocks::All)]))
}
