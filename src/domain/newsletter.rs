//! Newsletters: the mail side of a feed, its cadences, and the slots at which each is due.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, TimeDelta, TimeZone, Timelike, Utc, Weekday};
use chrono_tz::Tz;
use serde::Serialize;

/// How often a reader wants a newsletter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cadence {
    /// As soon as something is released.
    Instant,
    /// Once a day.
    Daily,
    /// Once a week.
    Weekly,
    /// Once a month.
    Monthly,
}

impl Cadence {
    /// All of them, most frequent first.
    pub const ALL: [Self; 4] = [Self::Instant, Self::Daily, Self::Weekly, Self::Monthly];

    /// The word for it, as in configuration, SQL and URLs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Instant => "instant",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
        }
    }

    /// The cadence that `text` names.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cadence| cadence.as_str() == text)
    }
}

impl fmt::Display for Cadence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// When a cadence is due, on the wall clock of the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rhythm {
    /// When something is released.
    Instant,
    /// Each day at this time.
    Daily(NaiveTime),
    /// Each week on this day, at this time.
    Weekly(Weekday, NaiveTime),
    /// Each month on this day (1 to 31; the month's last where it is shorter), at this time.
    Monthly(u32, NaiveTime),
}

impl Rhythm {
    /// The first slot after `after` for readers in `zone`; `None` for [`Rhythm::Instant`].
    ///
    /// A wall-clock time that a change of clocks skips is due at the first instant after the gap; one that
    /// comes twice is due the first time. So each day, week or month has exactly one slot.
    pub fn next_slot(self, zone: Tz, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let today = after.with_timezone(&zone).date_naive();
        let (mut date, time) = match self {
            Self::Instant => return None,
            Self::Daily(time) => (today, time),
            Self::Weekly(day, time) => (today - Days::new(u64::from(today.weekday().days_since(day))), time),
            Self::Monthly(day, time) => (day_of_month(today, day), time),
        };
        loop {
            let slot = on_the_clock(zone, date, time);
            if slot > after {
                return Some(slot);
            }
            date = match self {
                Self::Weekly(..) => date + Days::new(7),
                Self::Monthly(day, _) => day_of_month(date.with_day(1)? + Months::new(1), day),
                _ => date + Days::new(1),
            };
        }
    }

    /// The last slot in `(after, until]` for readers in `zone`, if any: what was missed meanwhile is one digest.
    pub fn last_slot(self, zone: Tz, after: DateTime<Utc>, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // No rhythm is rarer than monthly, so looking back 40 days finds the last slot without walking a long outage.
        let mut from = after.max(until - TimeDelta::days(40));
        let mut last = None;
        while let Some(slot) = self.next_slot(zone, from).filter(|slot| *slot <= until) {
            last = Some(slot);
            from = slot;
        }
        last
    }
}

fn day_of_month(month: NaiveDate, day: u32) -> NaiveDate {
    (1..=day.clamp(1, 31)).rev().find_map(|day| month.with_day(day)).unwrap_or(month)
}

/// The instant at which clocks in `zone` show `time` on `date`; see [`Rhythm::next_slot`] for gaps and folds.
pub fn on_the_clock(zone: Tz, date: NaiveDate, time: NaiveTime) -> DateTime<Utc> {
    let local = date.and_time(time);
    if let Some(instant) = zone.from_local_datetime(&local).earliest() {
        return instant.with_timezone(&Utc);
    }
    // In a gap. Whole minutes before it exist on the clock; the change comes right after the last of them.
    let mut minutes = (1..=24 * 60).map(|minutes| local - TimeDelta::minutes(minutes));
    let last_before = minutes.find_map(|earlier| zone.from_local_datetime(&earlier).latest());
    last_before.map_or_else(
        || Utc.from_utc_datetime(&local),
        |before| {
            let before = before.with_timezone(&Utc);
            // The seconds of `time` are carried along, so step back to the whole minute.
            before - TimeDelta::seconds(i64::from(time.num_seconds_from_midnight() % 60)) + TimeDelta::minutes(1)
        },
    )
}

/// The mail side of a feed.
#[derive(Debug, Clone, PartialEq)]
pub struct Newsletter {
    /// Subject line: Handlebars over the digest's data.
    pub subject: String,
    /// The cadences on offer.
    pub cadences: BTreeMap<Cadence, Rhythm>,
    /// The cadence of those who do not choose.
    pub default: Cadence,
    /// Fewest articles worth a digest.
    pub min_articles: usize,
    /// Name of the mail template: `templates/mail/NAME.mjml.hbs` and `NAME.txt.hbs`.
    pub template: String,
    /// Sender, where it is not the publication's.
    pub from: Option<super::address::Mailbox>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn seven() -> NaiveTime {
        NaiveTime::from_hms_opt(7, 0, 0).unwrap()
    }

    #[test]
    fn a_daily_slot_keeps_its_hour_on_the_wall_when_clocks_change() {
        let zone = chrono_tz::Europe::Lisbon;
        let daily = Rhythm::Daily(seven());
        assert_eq!(daily.next_slot(zone, at("2026-03-28T07:00:00Z")), Some(at("2026-03-29T06:00:00Z")));
        assert_eq!(daily.next_slot(zone, at("2026-10-24T06:00:00Z")), Some(at("2026-10-25T07:00:00Z")));
    }

    #[test]
    fn a_time_in_a_gap_is_due_right_after_it_and_a_doubled_time_once() {
        let zone = chrono_tz::Europe::Berlin;
        let half_past_two = Rhythm::Daily(NaiveTime::from_hms_opt(2, 30, 0).unwrap());
        assert_eq!(half_past_two.next_slot(zone, at("2026-03-28T12:00:00Z")), Some(at("2026-03-29T01:00:00Z")));
        let first = half_past_two.next_slot(zone, at("2026-10-24T12:00:00Z")).unwrap();
        assert_eq!(first, at("2026-10-25T00:30:00Z"));
        assert_eq!(half_past_two.next_slot(zone, first), Some(at("2026-10-26T01:30:00Z")));
    }

    #[test]
    fn every_day_of_a_decade_has_exactly_one_slot_in_every_zone() {
        for zone in [
            chrono_tz::Pacific::Apia,
            chrono_tz::Australia::Lord_Howe,
            chrono_tz::America::Sao_Paulo,
            chrono_tz::Africa::Cairo,
        ] {
            for minute in [0, 30, 59] {
                let daily = Rhythm::Daily(NaiveTime::from_hms_opt(0, minute, 0).unwrap());
                let (mut at, end) = (at("2010-06-01T00:00:00Z"), at("2020-06-01T00:00:00Z"));
                let mut slots = 0;
                while let Some(slot) = daily.next_slot(zone, at).filter(|slot| *slot < end) {
                    assert!(slot > at);
                    assert!(slot - at < TimeDelta::hours(50));
                    at = slot;
                    slots += 1;
                }
                // Apia skipped 30 December 2011 whole: its slot falls on the moment of the change, which is another day's.
                assert!((3651..=3654).contains(&slots), "{zone} {minute}: {slots}");
            }
        }
    }

    #[test]
    fn a_monthly_slot_on_the_31st_is_the_last_day_of_short_months() {
        let monthly = Rhythm::Monthly(31, seven());
        let mut slot = at("2027-01-31T08:00:00Z");
        let mut days = vec![];
        for _ in 0..4 {
            slot = monthly.next_slot(chrono_tz::UTC, slot).unwrap();
            days.push(slot.date_naive().to_string());
        }
        assert_eq!(days, ["2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31"]);
        let fifth = Rhythm::Monthly(5, seven());
        assert_eq!(fifth.next_slot(chrono_tz::UTC, at("2027-01-31T08:00:00Z")), Some(at("2027-02-05T07:00:00Z")));
    }

    #[test]
    fn a_weekly_slot_falls_on_its_day() {
        let weekly = Rhythm::Weekly(Weekday::Mon, seven());
        assert_eq!(weekly.next_slot(chrono_tz::UTC, at("2026-11-24T12:00:00Z")), Some(at("2026-11-30T07:00:00Z")));
        assert_eq!(weekly.next_slot(chrono_tz::UTC, at("2026-11-23T06:00:00Z")), Some(at("2026-11-23T07:00:00Z")));
    }

    #[test]
    fn after_an_outage_only_the_last_missed_slot_counts() {
        let daily = Rhythm::Daily(seven());
        let (after, until) = (at("2026-01-01T00:00:00Z"), at("2026-11-24T12:00:00Z"));
        assert_eq!(daily.last_slot(chrono_tz::UTC, after, until), Some(at("2026-11-24T07:00:00Z")));
        assert_eq!(daily.last_slot(chrono_tz::UTC, until, until), None);
    }
}
