//! Newsletters: the mail side of a feed, its cadences, and the slots at which each is due.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{
    DateTime, Datelike, Days, LocalResult, Months, NaiveDate, NaiveTime, TimeDelta, TimeZone, Timelike, Utc, Weekday,
};
use chrono_tz::Tz;
use serde::Serialize;

use super::brakes::Share;
use super::cron::CronLine;
use super::preference::{Choose, Preferred};
use super::trial::Trial;

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

/// When a cadence is due, on a wall clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rhythm {
    /// When something is released.
    Instant,
    /// Each day at this time.
    Daily(NaiveTime),
    /// Each week on this day, at this time.
    Weekly(Weekday, NaiveTime),
    /// Each month on this day (1 to 31; the month's last where it is shorter), at this time.
    Monthly(u32, NaiveTime),
    /// When a cron line says so.
    Cron(CronLine),
}

impl Rhythm {
    /// The first slot after `after` on clocks in `zone`; `None` for [`Rhythm::Instant`].
    ///
    /// A wall-clock time that a change of clocks skips is due at the first instant after the gap; one that
    /// comes twice is due the first time. So each day, week or month has exactly one slot, and of the times of a cron
    /// line that lie in one gap there is one.
    pub fn next_slot(&self, zone: Tz, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let local = after.with_timezone(&zone).naive_local();
        let today = local.date();
        let (mut date, time) = match self {
            Self::Instant => return None,
            Self::Cron(line) => {
                // No time up to this one is due later: the clock's times and their instants have the same order.
                let mut next = line.next(local)?;
                while on_the_clock(zone, next.date(), next.time()) <= after {
                    next = line.next(next)?;
                }
                return Some(on_the_clock(zone, next.date(), next.time()));
            }
            Self::Daily(time) => (today, *time),
            Self::Weekly(day, time) => (today - Days::new(u64::from(today.weekday().days_since(*day))), *time),
            Self::Monthly(day, time) => (day_of_month(today, *day), *time),
        };
        loop {
            let slot = on_the_clock(zone, date, time);
            if slot > after {
                return Some(slot);
            }
            date = match self {
                Self::Weekly(..) => date + Days::new(7),
                Self::Monthly(day, _) => day_of_month(date.with_day(1)? + Months::new(1), *day),
                _ => date + Days::new(1),
            };
        }
    }

    /// The last slot in `(after, until]` on clocks in `zone`, if any: what was missed meanwhile is one digest.
    pub fn last_slot(&self, zone: Tz, after: DateTime<Utc>, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // Most of the time there is none, and the next one is soon found.
        let mut last = self.next_slot(zone, after).filter(|slot| *slot <= until)?;
        if let Self::Cron(line) = self {
            let local = until.with_timezone(&zone).naive_local();
            // The second time round, what the clock has yet to show came the first time.
            let fold = match zone.from_local_datetime(&local) {
                LocalResult::Ambiguous(first, second) => second.signed_duration_since(first),
                _ => TimeDelta::zero(),
            };
            let mut shown = line.previous(local + fold);
            while let Some(time) = shown {
                let slot = on_the_clock(zone, time.date(), time.time());
                if slot <= until {
                    return Some(slot);
                }
                shown = line.previous(time - TimeDelta::seconds(1));
            }
            return Some(last);
        }
        // No other rhythm is rarer than monthly, so looking back 40 days finds the last slot without walking a long
        // outage.
        let recent = self.next_slot(zone, after.max(until - TimeDelta::days(40))).filter(|slot| *slot <= until);
        last = recent.unwrap_or(last);
        while let Some(slot) = self.next_slot(zone, last).filter(|slot| *slot <= until) {
            last = slot;
        }
        Some(last)
    }
}

impl fmt::Display for Rhythm {
    /// As in "daily at 07:00".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instant => f.write_str("as soon as something is released"),
            Self::Daily(at) => write!(f, "each day at {}", at.format("%H:%M")),
            Self::Weekly(day, at) => write!(f, "each {} at {}", day_name(*day), at.format("%H:%M")),
            Self::Monthly(day, at) => write!(f, "each month on day {day} at {}", at.format("%H:%M")),
            Self::Cron(line) => write!(f, "cron {}", line.as_str()),
        }
    }
}

/// A day of the week, in English.
pub fn day_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "Monday",
        Weekday::Tue => "Tuesday",
        Weekday::Wed => "Wednesday",
        Weekday::Thu => "Thursday",
        Weekday::Fri => "Friday",
        Weekday::Sat => "Saturday",
        Weekday::Sun => "Sunday",
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

/// A cadence on offer: its rhythm, and whose clock it goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// When it is due.
    pub rhythm: Rhythm,
    /// The zone of the clock for everyone; `None` is each reader's own.
    pub zone: Option<Tz>,
}

/// What a composed digest waits for before it goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Hold {
    /// Nothing.
    None,
    /// This long, so that an editor can look at it and cancel it.
    #[serde(serialize_with = "seconds")]
    For(TimeDelta),
    /// An editor's yes, however long that takes.
    Approval,
}

fn seconds<S: serde::Serializer>(time: &TimeDelta, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(time.num_seconds())
}

/// The mail side of a feed.
#[derive(Debug, Clone, PartialEq)]
pub struct Newsletter {
    /// Subject line: Handlebars over the digest's data.
    pub subject: String,
    /// The cadences on offer.
    pub cadences: BTreeMap<Cadence, Timing>,
    /// The cadence of those who do not choose.
    pub default: Cadence,
    /// Fewest articles worth a digest.
    pub min_articles: usize,
    /// Name of its own mail template, if it has one: `templates/mail/NAME.mjml.hbs` and `NAME.txt.hbs`.
    pub template: Option<String>,
    /// Sender, where it is not the publication's.
    pub from: Option<super::address::Mailbox>,
    /// How long an instant digest waits for articles that come shortly after one another.
    pub gather: TimeDelta,
    /// A slot that is found later than this, after an outage, is held for an editor.
    pub late_after: TimeDelta,
    /// What a digest waits for before it goes out.
    pub hold: Hold,
    /// How long after its first attempt a message of it is given up; `None` is `mail.life`.
    pub life: Option<std::time::Duration>,
    /// Whether each digest has a page once it is out.
    pub archive: bool,
    /// Whether a reader who confirms gets a welcome.
    pub welcome: bool,
    /// What of its slots is left to its readers.
    pub choose: Choose,
    /// Subjects that each scheduled digest tries; none is no trial.
    pub subjects: Vec<String>,
    /// On how many of its readers.
    pub test_share: Share,
    /// For how long the others wait.
    pub test_for: TimeDelta,
}

impl Newsletter {
    /// How long an instant digest gathers where nothing else is said.
    pub const GATHER: TimeDelta = TimeDelta::minutes(2);
    /// From when on a slot is late where nothing else is said.
    pub const LATE_AFTER: TimeDelta = TimeDelta::hours(6);
    /// A trial of these subjects, as this newsletter has its trials.
    pub fn trial(&self, subjects: &[String]) -> Option<Trial> {
        (subjects.len() >= Trial::LEAST).then(|| Trial {
            subjects: subjects.to_vec(),
            share: self.test_share,
            length: self.test_for,
            until: None,
            picked: None,
        })
    }

    /// The label that does not wait for others to gather, in lower case.
    pub const BREAKING: &str = "breaking news";
    /// The template of digests.
    pub const DIGEST: &str = "digest";
    /// The template of a digest that brings one article at once.
    pub const ALERT: &str = "alert";

    /// When a cadence is due for readers with this preference, as far as there is one and it is theirs to have.
    pub fn timing_for(&self, cadence: Cadence, preferred: Option<&str>) -> Option<Timing> {
        let timing = self.cadences.get(&cadence)?;
        let preferred = preferred.filter(|_| self.choose.moves(timing)).and_then(Preferred::parse);
        let rhythm = preferred.map(|preferred| preferred.within(self.choose).moved(&timing.rhythm));
        Some(Timing { rhythm: rhythm.unwrap_or_else(|| timing.rhythm.clone()), zone: timing.zone })
    }

    /// The template of a digest of so many articles at this cadence, where it has one.
    pub fn template_for(&self, cadence: Option<Cadence>, articles: usize) -> &str {
        match &self.template {
            Some(own) => own,
            None if articles == 1 && cadence == Some(Cadence::Instant) => Self::ALERT,
            None => Self::DIGEST,
        }
    }
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
    fn a_cron_line_keeps_to_the_same_rules() {
        let zone = chrono_tz::Europe::Berlin;
        let line = |text| Rhythm::Cron(CronLine::parse(text).unwrap());
        let slots = |rhythm: &Rhythm, from: &str, to: &str| {
            let (mut from, to) = (at(from), at(to));
            let next = std::iter::from_fn(|| {
                from = rhythm.next_slot(zone, from).filter(|slot| *slot <= to)?;
                Some(from.format("%H:%M").to_string())
            });
            next.collect::<Vec<_>>()
        };
        let half_hours = line("*/30 * * * *");
        // 02:00 and 02:30 lie in the gap and are one; the hour that comes twice counts the first time.
        assert_eq!(
            slots(&half_hours, "2026-03-29T00:00:00Z", "2026-03-29T02:00:00Z"),
            ["00:30", "01:00", "01:30", "02:00"]
        );
        assert_eq!(slots(&half_hours, "2026-10-24T23:30:00Z", "2026-10-25T02:00:00Z"), ["00:00", "00:30", "02:00"]);
        assert_eq!(
            half_hours.last_slot(zone, at("2026-10-20T00:00:00Z"), at("2026-10-25T01:15:00Z")),
            Some(at("2026-10-25T00:30:00Z"))
        );
        assert_eq!(half_hours.last_slot(zone, at("2026-10-25T00:30:00Z"), at("2026-10-25T01:45:00Z")), None);
        let leap = line("0 7 29 2 *");
        assert_eq!(
            leap.last_slot(zone, at("2021-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z")),
            Some(at("2024-02-29T06:00:00Z"))
        );
        assert_eq!(leap.last_slot(zone, at("2024-03-01T00:00:00Z"), at("2027-01-01T00:00:00Z")), None);
    }

    #[test]
    fn after_an_outage_only_the_last_missed_slot_counts() {
        let daily = Rhythm::Daily(seven());
        let (after, until) = (at("2026-01-01T00:00:00Z"), at("2026-11-24T12:00:00Z"));
        assert_eq!(daily.last_slot(chrono_tz::UTC, after, until), Some(at("2026-11-24T07:00:00Z")));
        assert_eq!(daily.last_slot(chrono_tz::UTC, until, until), None);
    }
}
