//! A cron line as the rhythm of a cadence: five fields on the wall clock, POSIX with names, ranges, steps and lists.
//!
//! Only the calendar is croner's: what becomes of a time that a change of clocks skips or repeats is decided in
//! [`super::newsletter`], alike for every rhythm.

use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Weekday};
use croner::parser::{CronParser, Seconds, Year};

/// A cron line that comes due some day.
#[derive(Clone, PartialEq, Eq)]
pub struct CronLine {
    text: String,
    cron: Box<croner::Cron>,
}

impl CronLine {
    /// Reads `minute hour day month weekday`, or a nickname such as `@weekly`.
    ///
    /// # Errors
    /// What is wrong with it, in words: no cron line, or one that never comes due, such as 30 February.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let fields = text.split(' ').count();
        if !text.starts_with('@') && fields != 5 {
            return Err(format!("a cron line has 5 fields, this one {fields}"));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(&text).map_err(|error| error.to_string().trim_end_matches('.').to_owned())?;
        let line = Self { text, cron: Box::new(cron) };
        // Leap years are eight years apart at most (1896 to 1904, 2096 to 2104).
        match line.next(DateTime::UNIX_EPOCH.naive_utc()) {
            Some(_) => Ok(line),
            None => Err("no such day ever comes".to_owned()),
        }
    }

    /// The line, its fields one blank apart.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What it means, in English: "At 07:00, on every weekday from Monday to Friday."
    pub fn describe(&self) -> String {
        self.cron.describe().trim_end_matches('.').to_owned()
    }

    /// Its days of the week and the times of each of them, where every week has the same and these are few.
    pub fn in_week(&self) -> Option<(Vec<Weekday>, Vec<NaiveTime>)> {
        /// More times than these nobody would read.
        const MOST_TIMES: usize = 6;
        let mut fields = self.text.split(' ');
        let (minute, hour, day, month, weekday) =
            (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let is_plain = |field: &str| field.bytes().all(|byte| byte.is_ascii_digit() || byte == b',');
        let is_weekly = !weekday.contains(['#', 'l', 'L']) && day == "*" && month == "*";
        if !is_plain(minute) || !is_plain(hour) || !is_weekly {
            return None;
        }
        // Any Monday.
        let (begin, end) = (NaiveDate::from_ymd_opt(2024, 1, 1)?, NaiveDate::from_ymd_opt(2024, 1, 8)?);
        let (mut days, mut times) = (vec![], vec![]);
        let mut next = self.next(begin.and_time(NaiveTime::MIN) - chrono::TimeDelta::seconds(1))?;
        while next.date() < end {
            if !days.contains(&next.weekday()) {
                days.push(next.weekday());
            }
            if !times.contains(&next.time()) {
                times.push(next.time());
            }
            if times.len() > MOST_TIMES {
                return None;
            }
            next = self.next(next)?;
        }
        Some((days, times))
    }

    /// The first time after `after` that a wall clock shows which never changes.
    pub(super) fn next(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        self.cron.find_next_occurrence(&after.and_utc(), false).ok().map(|at| at.naive_utc())
    }

    /// The last such time at or before `until`.
    pub(super) fn previous(&self, until: NaiveDateTime) -> Option<NaiveDateTime> {
        self.cron.find_previous_occurrence(&until.and_utc(), true).ok().map(|at| at.naive_utc())
    }
}

impl fmt::Debug for CronLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CronLine({:?})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> NaiveDateTime {
        text.parse().unwrap()
    }

    #[test]
    fn a_line_names_its_times() {
        let line = CronLine::parse(" 0 7  * * mon-fri ").unwrap();
        assert_eq!(line.as_str(), "0 7 * * mon-fri");
        assert_eq!(line.next(at("2026-11-27T07:00:00")), Some(at("2026-11-30T07:00:00")));
        assert_eq!(line.previous(at("2026-11-29T12:00:00")), Some(at("2026-11-27T07:00:00")));
        let leap = CronLine::parse("30 6 29 2 *").unwrap();
        assert_eq!(leap.next(at("2026-11-24T00:00:00")), Some(at("2028-02-29T06:30:00")));
        assert_eq!(leap.next(at("2096-03-01T00:00:00")), Some(at("2104-02-29T06:30:00")));
        assert!(CronLine::parse("@weekly").is_ok());
    }

    #[test]
    fn a_line_that_is_the_same_each_week_says_its_days_and_times() {
        let week = |line: &str| {
            let (days, times) = CronLine::parse(line).unwrap().in_week()?;
            let times: Vec<String> = times.iter().map(|at| at.format("%H:%M").to_string()).collect();
            Some((days, times.join(" ")))
        };
        let all = [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun];
        assert_eq!(week("0 7 * * *"), Some((all.to_vec(), "07:00".into())));
        assert_eq!(week("30 7,18 * * mon-fri"), Some((all[..5].to_vec(), "07:30 18:30".into())));
        assert_eq!(week("0 9 * * 0"), Some((vec![Weekday::Sun], "09:00".into())));
        for line in ["0 7 1 * *", "0 7 * 3 *", "0 * * * *", "*/5 7 * * *", "0 7 * * mon#1", "0,5,10,15 7,8 * * *"] {
            assert_eq!(week(line), None, "{line}");
        }
    }

    #[test]
    fn what_never_comes_due_and_what_is_no_line_is_refused() {
        for (text, what) in [
            ("0 0 30 2 *", "no such day ever comes"),
            ("0 0 31 4,6,9,11 *", "no such day ever comes"),
            ("", "a cron line has 5 fields"),
            ("0 7 * *", "a cron line has 5 fields, this one 4"),
            ("0 0 7 * * mon", "a cron line has 5 fields, this one 6"),
        ] {
            let fault = CronLine::parse(text).unwrap_err();
            assert!(fault.contains(what), "{text}: {fault}");
        }
        for text in
            ["60 7 * * *", "0 24 * * *", "0 7 0 * *", "0 7 * 13 *", "0 7 * * 8", "a b c d e", "@never", "*/0 * * * *"]
        {
            assert!(CronLine::parse(text).is_err(), "{text}");
        }
    }
}
