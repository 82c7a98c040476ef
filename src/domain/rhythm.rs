//! How often a feed elsewhere is asked: as often as something new comes of it, and no more often than its server likes.

use chrono::{DateTime, TimeDelta, Utc};

/// No site is asked more often by itself.
pub const LEAST: TimeDelta = TimeDelta::minutes(5);
/// However seldom something comes, and however long a server asks us to wait.
pub const MOST: TimeDelta = TimeDelta::hours(24);
/// Where nothing is known yet.
const USUAL: TimeDelta = TimeDelta::hours(1);
/// Polls for each new entry: one that comes every day is here within the hour.
const POLLS_PER_ENTRY: i32 = 24;
/// Entries that say how often they come.
pub const LOOKED_AT: usize = 10;

/// What is known of a feed's rhythm.
#[derive(Debug, Clone, Copy)]
pub struct Rhythm<'a> {
    /// As it is configured: then nothing else counts while all goes well.
    pub every: Option<TimeDelta>,
    /// The longest time for which its server or the feed itself says that asking is of no use.
    pub asked_to_wait: Option<TimeDelta>,
    /// Whether what is new comes by itself, from a hub.
    pub is_pushed: bool,
    /// Dates of its newest entries, the newest first.
    pub dates: &'a [DateTime<Utc>],
}

impl Rhythm<'_> {
    /// The wait after a poll that went well at `now`.
    pub fn wait(&self, now: DateTime<Utc>) -> TimeDelta {
        if let Some(every) = self.every {
            return every;
        }
        if self.is_pushed {
            return MOST;
        }
        let oldest = self.dates.iter().take(LOOKED_AT).next_back();
        let number = i32::try_from(self.dates.len().clamp(1, LOOKED_AT)).unwrap_or(1);
        // Until now, so that a feed that fell silent is asked less and less.
        let own = oldest.map_or(USUAL, |oldest| (now - *oldest) / number / POLLS_PER_ENTRY);
        own.max(self.asked_to_wait.unwrap_or(LEAST)).clamp(LEAST, MOST)
    }

    /// The wait after so many polls in a row that failed: twice as long each time, and up to a quarter longer, by `chance`
    /// from 0 to 255; not before a server that named a time wants to be asked again.
    pub fn wait_after_failure(&self, failures: u32, retry_after: Option<TimeDelta>, chance: u8) -> TimeDelta {
        let wait = LEAST * (1 << failures.saturating_sub(1).min(9));
        let wait = wait.min(MOST).max(self.every.unwrap_or(LEAST).min(MOST));
        let more = wait * i32::from(chance) / i32::from(u8::MAX) / 4;
        (wait + more).max(retry_after.unwrap_or(TimeDelta::zero()).min(MOST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(1_000_000 + hours)
    }

    fn rhythm(dates: &[DateTime<Utc>]) -> Rhythm<'_> {
        Rhythm { every: None, asked_to_wait: None, is_pushed: false, dates }
    }

    #[test]
    fn a_feed_is_asked_as_often_as_something_comes_of_it() {
        let every = |hours: i64| (1..=20).map(|number| at(-hours * number)).collect::<Vec<_>>();
        assert_eq!(rhythm(&every(24)).wait(at(0)), TimeDelta::hours(1));
        assert_eq!(rhythm(&every(7 * 24)).wait(at(0)), TimeDelta::hours(7));
        assert_eq!(rhythm(&every(1)).wait(at(0)), LEAST);
        assert_eq!(rhythm(&every(24 * 60)).wait(at(0)), MOST);
        assert_eq!(rhythm(&[]).wait(at(0)), USUAL);
        // It fell silent a month ago.
        assert!(rhythm(&every(24)).wait(at(30 * 24)) > TimeDelta::hours(3));
    }

    #[test]
    fn what_its_server_asks_for_counts_and_what_is_configured_counts_more() {
        let dates = [at(-1)];
        let asked = Rhythm { asked_to_wait: Some(TimeDelta::hours(3)), ..rhythm(&dates) };
        assert_eq!(asked.wait(at(0)), TimeDelta::hours(3));
        let ever = Rhythm { asked_to_wait: Some(TimeDelta::days(3650)), ..rhythm(&dates) };
        assert_eq!(ever.wait(at(0)), MOST);
        let pushed = Rhythm { is_pushed: true, ..asked };
        assert_eq!(pushed.wait(at(0)), MOST);
        assert_eq!(Rhythm { every: Some(TimeDelta::minutes(10)), ..pushed }.wait(at(0)), TimeDelta::minutes(10));
    }

    #[test]
    fn each_failure_doubles_the_wait_and_a_named_time_is_kept() {
        let waits: Vec<i64> = [1, 2, 3, 8, 9, 10, u32::MAX]
            .map(|failures| rhythm(&[]).wait_after_failure(failures, None, 0).num_minutes())
            .into();
        assert_eq!(waits, [5, 10, 20, 640, 1280, 1440, 1440]);
        assert_eq!(rhythm(&[]).wait_after_failure(1, None, 255), TimeDelta::seconds(375));
        let hour = Some(TimeDelta::hours(1));
        assert_eq!(rhythm(&[]).wait_after_failure(1, hour, 255), TimeDelta::hours(1));
        assert_eq!(rhythm(&[]).wait_after_failure(1, Some(TimeDelta::days(999)), 0), MOST);
        assert_eq!(Rhythm { every: hour, ..rhythm(&[]) }.wait_after_failure(1, None, 0), TimeDelta::hours(1));
    }
}
