//! How far the digests that are being sent have come, by whichever processes.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Publication;
use super::dispatch::Counts;
use crate::domain::digest::{DigestId, DigestState, Tally};
use crate::store::StoreError;

/// How often whoever cannot see a bar is told.
pub const EVERY: Duration = Duration::from_secs(10);

/// Where the digests that are being sent stand, all taken together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Progress {
    /// Deliveries.
    pub total: u64,
    /// Those that have an outcome, or were put off.
    pub done: u64,
    /// Accepted.
    pub sent: u64,
    /// Put off, to be tried again.
    pub deferred: u64,
    /// Refused.
    pub refused: u64,
    /// Outcomes per second since the look before.
    pub per_second: f64,
    /// Until none is left that was not tried, if it goes on like this.
    pub left: Option<Duration>,
}

/// The way of what is being sent. It knows by the store what every process does, and between two looks at it by counts
/// what this one does.
pub struct Course<'a> {
    publication: &'a Publication,
    counts: &'a Counts,
    /// Being sent, or just done.
    digests: BTreeSet<DigestId>,
    looked_at: Instant,
    /// As the store had it then, and what was counted then.
    seen: Progress,
    counted: Counted,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    sent: u64,
    others: u64,
    deferred: u64,
    refused: u64,
}

impl Counted {
    fn of(counts: &Counts) -> Self {
        let number = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        Self {
            sent: number(&counts.sent),
            others: number(&counts.others),
            deferred: number(&counts.deferred),
            refused: number(&counts.refused),
        }
    }
}

impl<'a> Course<'a> {
    /// Looks where everything stands before it begins.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn begin(publication: &'a Publication, counts: &'a Counts) -> Result<Self, StoreError> {
        let mut course = Self {
            publication,
            counts,
            digests: BTreeSet::new(),
            looked_at: Instant::now(),
            seen: Progress::default(),
            counted: Counted::default(),
        };
        course.look().await?;
        course.seen = Progress { per_second: 0.0, left: None, ..course.seen };
        Ok(course)
    }

    /// Looks into the store.
    ///
    /// # Errors
    /// When the store fails; then what was seen before still holds.
    pub async fn look(&mut self) -> Result<Progress, StoreError> {
        let store = &self.publication.store;
        let newest = store.digests(None, 50).await?;
        self.digests.extend(newest.iter().filter(|one| one.state == DigestState::Sending).map(|one| one.id));
        let mut tallies = vec![];
        for digest in &self.digests {
            tallies.push(store.tally(*digest).await?);
        }
        let took = self.looked_at.elapsed();
        self.looked_at = Instant::now();
        self.counted = Counted::of(self.counts);
        self.seen = progress(&tallies, self.seen.done, took);
        Ok(self.seen)
    }

    /// What was seen last and was counted since.
    pub fn now(&self) -> Progress {
        let (now, then) = (Counted::of(self.counts), self.counted);
        let sent = now.sent - then.sent;
        Progress {
            done: (self.seen.done + sent + (now.others - then.others)).min(self.seen.total),
            sent: self.seen.sent + sent,
            deferred: self.seen.deferred + (now.deferred - then.deferred),
            refused: self.seen.refused + (now.refused - then.refused),
            ..self.seen
        }
    }
}

fn progress(tallies: &[Tally], before: u64, took: Duration) -> Progress {
    let sum = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum::<u64>();
    let total = sum(|tally| tally.total());
    let waiting = sum(|tally| tally.queued);
    let done = total - waiting;
    #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
    let per_second = done.saturating_sub(before) as f64 / took.as_secs_f64().max(0.001);
    #[expect(clippy::cast_precision_loss, reason = "nor the time that is left")]
    let left = (per_second > 0.0 && waiting > 0)
        .then(|| Duration::try_from_secs_f64((waiting as f64 / per_second).ceil()).ok())
        .flatten();
    let (sent, deferred, refused) = (sum(|tally| tally.sent), sum(|tally| tally.deferred), sum(|tally| tally.refused));
    Progress { total, done, sent, deferred, refused, per_second, left }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_off_is_done_for_now_and_the_rest_takes_as_long_as_it_took() {
        let tally = Tally { queued: 600, sent: 350, deferred: 30, refused: 15, failed: 3, skipped: 2 };
        let seen = progress(&[tally, Tally { sent: 100, ..Tally::default() }], 300, Duration::from_secs(10));
        let left = Some(Duration::from_secs(30));
        let expected =
            Progress { total: 1100, done: 500, sent: 450, deferred: 30, refused: 15, per_second: 20.0, left };
        assert_eq!(seen, expected);
        assert_eq!(progress(&[tally], 400, Duration::from_secs(10)).left, None, "nothing moves");
    }
}
