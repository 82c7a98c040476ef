//! Who reads the feeds: counted in memory as they are served, written once a minute as sums of a day.
//!
//! What tells one poller from another is a hash under keys of the system's randomness that are made anew for each day, are
//! never written anywhere and are gone with the day: nothing that is kept leads back to anybody.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::dispatch::Stop;
use super::{Publication, TaskError, fingerprint};
use crate::domain::limits::Network;
use crate::domain::readers::Tally;
use crate::store::{Reads, StoreError};

/// How often the sums are written.
const EVERY: Duration = Duration::from_mins(1);
/// Days that sums are kept: this day a year ago, and a month.
const KEPT_DAYS: u64 = 400;

/// The day that is counted.
struct Day {
    ends_at: DateTime<Utc>,
    keys: RandomState,
    salt: [u8; 32],
    tally: Tally,
    /// What was not written yet of the days before.
    over: Vec<Tally>,
}

impl Day {
    fn begin(now: DateTime<Utc>, zone: Tz) -> Self {
        let day = now.with_timezone(&zone).date_naive();
        let midnight =
            day.checked_add_days(Days::new(1)).unwrap_or(day).and_time(NaiveTime::MIN).and_local_timezone(zone);
        // Where the clock skips midnight the day ends with the hour that there is.
        let ends_at = midnight.earliest().map_or(now + TimeDelta::hours(1), |at| at.to_utc());
        let mut salt = [0; 32];
        // The keys alone are random as well.
        let _ = getrandom::fill(&mut salt);
        Self { ends_at, keys: RandomState::new(), salt, tally: Tally::new(day), over: vec![] }
    }
}

impl std::fmt::Debug for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Day").field("ends_at", &self.ends_at).finish_non_exhaustive()
    }
}

/// Who reads, as this process sees it.
#[derive(Debug)]
pub struct Readers {
    zone: Tz,
    /// What counts: another process beside this one counts others, and one in its place the same.
    place: String,
    day: Mutex<Day>,
}

impl Readers {
    /// Nobody yet.
    pub fn new(publication: &Publication) -> Self {
        let config = &publication.config;
        let host = lettre::transport::smtp::extension::ClientId::default().to_string();
        let place = fingerprint([host, config.listen.to_string(), config.root.display().to_string()]);
        let zone = config.publication.time_zone;
        Self { zone, place, day: Mutex::new(Day::begin(publication.clock.now(), zone)) }
    }

    fn day(&self) -> std::sync::MutexGuard<'_, Day> {
        self.day.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a feed document that was served.
    pub fn note(&self, now: DateTime<Utc>, network: Option<Network>, path: &str, user_agent: &str) {
        let mut day = self.day();
        if now >= day.ends_at {
            let mut next = Day::begin(now, self.zone);
            std::mem::swap(&mut *day, &mut next);
            day.over = next.over;
            day.over.push(next.tally);
        }
        let poller = day.keys.hash_one((&day.salt, network, path, user_agent));
        day.tally.note(poller, path, user_agent);
    }

    /// Writes what changed since the last time.
    ///
    /// # Errors
    /// When the store fails; what is of today is written the next time then.
    pub async fn write(&self, publication: &Publication) -> Result<(), TaskError> {
        let (mut changed, is_over) = {
            let mut day = self.day();
            let over = std::mem::take(&mut day.over);
            let is_over = !over.is_empty();
            let mut changed: Vec<_> = over.into_iter().map(|mut tally| tally.take_changed()).collect();
            changed.push(day.tally.take_changed());
            (changed, is_over)
        };
        changed.retain(|(_, rows)| !rows.is_empty());
        let mut left = changed.into_iter();
        while let Some((day, rows)) = left.next() {
            if let Err(error) = publication.store.add_reads(&day.to_string(), &self.place, &rows).await {
                let mut today = self.day();
                for (day, rows) in std::iter::once((day, rows)).chain(left) {
                    today.tally.give_back(day, rows);
                }
                return Err(error.into());
            }
        }
        if is_over {
            let oldest = publication.clock.now().date_naive() - Days::new(KEPT_DAYS);
            publication.store.forget_reads(&oldest.to_string()).await?;
        }
        Ok(())
    }

    /// Writes every minute until the word to stop. What is served after it is written by another [`Readers::write`].
    pub async fn keep_writing(&self, publication: &Publication, mut stop: Stop) {
        loop {
            tokio::select! {
                () = stop.given() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            if let Err(error) = self.write(publication).await {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "who reads was not written");
            }
        }
    }
}

/// A service that reads for many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceReads {
    /// Its name.
    pub name: String,
    /// The format that it fetches.
    pub format: String,
    /// For how many, as it says.
    pub readers: i64,
}

/// Who read a feed on one day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DayReads {
    /// The day.
    pub day: String,
    /// Readers of services, as these say, and of the others each.
    pub by_feed_reader: i64,
    /// Each service.
    pub services: Vec<ServiceReads>,
    /// Other feed readers by format.
    pub others: BTreeMap<String, i64>,
    /// Browsers.
    pub browsers: i64,
    /// Search engines, monitors, scripts.
    pub robots: i64,
}

/// Who reads a feed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FeedReads {
    /// The feed: `news`, `tags/harbour`.
    pub feed: String,
    /// How many get it by mail; none where it does not come so.
    pub by_mail: Option<i64>,
    /// How many with a feed reader, on the day that had most.
    pub by_feed_reader: i64,
    /// Each day that had any, the newest first.
    pub days: Vec<DayReads>,
}

/// Who reads each feed, or the one named, by mail now and with feed readers in the last `days` days. Feeds that come by
/// mail are there in any case, others where somebody read them; those with most readers first.
///
/// # Errors
/// When the store fails.
pub async fn readers(publication: &Publication, feed: Option<&str>, days: u64) -> Result<Vec<FeedReads>, StoreError> {
    let today = publication.clock.now().with_timezone(&publication.config.publication.time_zone).date_naive();
    let since = today - Days::new(days.saturating_sub(1));
    let mut all: BTreeMap<String, FeedReads> = BTreeMap::new();
    for defined in publication.feeds.iter() {
        all.entry(defined.name.to_string()).or_default().by_mail = defined.newsletter.as_ref().map(|_| 0);
    }
    for (name, _, state, count) in publication.store.subscription_counts().await? {
        if state == "active"
            && let Some(FeedReads { by_mail: Some(readers), .. }) = all.get_mut(&name)
        {
            *readers += count;
        }
    }
    for reads in publication.store.reads_since(&since.to_string()).await? {
        let of_feed = all.entry(reads.feed.clone()).or_default();
        if of_feed.days.last().is_none_or(|day| day.day != reads.day) {
            of_feed.days.push(DayReads { day: reads.day.clone(), ..DayReads::default() });
        }
        if let Some(day) = of_feed.days.last_mut() {
            day.add(reads);
        }
    }
    let mut found: Vec<FeedReads> = all
        .into_iter()
        .filter(|(name, _)| feed.is_none_or(|feed| feed == name))
        .map(|(name, mut reads)| {
            reads.feed = name;
            reads
                .days
                .iter_mut()
                .for_each(|day| day.services.sort_by_key(|service| std::cmp::Reverse(service.readers)));
            reads.by_feed_reader = reads.days.iter().map(|day| day.by_feed_reader).max().unwrap_or_default();
            reads.days.reverse();
            reads
        })
        .collect();
    found.sort_by_key(|reads| std::cmp::Reverse(reads.by_feed_reader + reads.by_mail.unwrap_or_default()));
    Ok(found)
}

impl DayReads {
    fn add(&mut self, reads: Reads) {
        match reads.kind.as_str() {
            "service" => {
                self.by_feed_reader += reads.number;
                self.services.push(ServiceReads { name: reads.name, format: reads.format, readers: reads.number });
            }
            "reader" => {
                self.by_feed_reader += reads.number;
                *self.others.entry(reads.format).or_default() += reads.number;
            }
            "browser" => self.browsers += reads.number,
            _ => self.robots += reads.number,
        }
    }
}
