//! The hour and the day that a reader prefers, where a newsletter leaves them to its readers.

use std::fmt;

use chrono::{NaiveTime, Weekday};

use super::newsletter::{Rhythm, Timing};

/// What of its slots a newsletter leaves to its readers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Choose {
    /// At which hour.
    pub hour: bool,
    /// On which day of the week, or of the month.
    pub day: bool,
}

impl Choose {
    /// Whether a reader's preference moves the slots of this cadence: they have one time of day, on the reader's own clock.
    pub fn moves(self, timing: &Timing) -> bool {
        timing.zone.is_none()
            && match timing.rhythm {
                Rhythm::Daily(_) => self.hour,
                Rhythm::Weekly(..) | Rhythm::Monthly(..) => self.hour || self.day,
                Rhythm::Instant | Rhythm::Cron(_) => false,
            }
    }
}

/// The day that a reader prefers. One of the month is for monthly slots, one of the week for weekly ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Day {
    /// Of the week.
    Week(Weekday),
    /// Of the month, 1 to 31; a shorter month uses its last day.
    Month(u32),
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Week(day) => f.write_str(&day.to_string().to_lowercase()),
            Self::Month(day) => write!(f, "{day}"),
        }
    }
}

/// What a reader prefers, as far as they say: what they leave open is as the newsletter has it. Written `07:00`,
/// `mon 07:00`, `15 07:00`, `mon`; equal ones are written alike, so that readers are grouped by the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Preferred {
    /// On which day.
    pub day: Option<Day>,
    /// From 0 to 23.
    pub hour: Option<u32>,
}

impl Preferred {
    /// What `text` says; `None` where it is not one of those that are written.
    pub fn parse(text: &str) -> Option<Self> {
        let mut preferred = Self::default();
        for part in text.split_whitespace() {
            if part.contains(':') {
                let time = NaiveTime::parse_from_str(part, "%H:%M").ok()?;
                preferred.hour = Some(chrono::Timelike::hour(&time));
            } else if let Ok(day) = part.parse::<u32>() {
                preferred.day = Some(Day::Month(day));
            } else {
                preferred.day = Some(Day::Week(part.parse().ok()?));
            }
        }
        let day_is = !matches!(preferred.day, Some(Day::Month(day)) if !(1..=31).contains(&day));
        Some(preferred).filter(|preferred| day_is && preferred.to_string() == text)
    }

    /// As far as it is left to readers.
    #[must_use]
    pub fn within(self, choose: Choose) -> Self {
        Self { day: self.day.filter(|_| choose.day), hour: self.hour.filter(|_| choose.hour) }
    }

    /// A rhythm with what is preferred in the place of its own.
    pub fn moved(self, rhythm: &Rhythm) -> Rhythm {
        let time = |own: NaiveTime| self.hour.and_then(|hour| NaiveTime::from_hms_opt(hour, 0, 0)).unwrap_or(own);
        match (rhythm, self.day) {
            (Rhythm::Daily(at), _) => Rhythm::Daily(time(*at)),
            (Rhythm::Weekly(_, at), Some(Day::Week(day))) => Rhythm::Weekly(day, time(*at)),
            (Rhythm::Weekly(day, at), _) => Rhythm::Weekly(*day, time(*at)),
            (Rhythm::Monthly(_, at), Some(Day::Month(day))) => Rhythm::Monthly(day, time(*at)),
            (Rhythm::Monthly(day, at), _) => Rhythm::Monthly(*day, time(*at)),
            (Rhythm::Instant | Rhythm::Cron(_), _) => rhythm.clone(),
        }
    }
}

impl fmt::Display for Preferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.day, self.hour) {
            (Some(day), Some(hour)) => write!(f, "{day} {hour:02}:00"),
            (Some(day), None) => write!(f, "{day}"),
            (None, Some(hour)) => write!(f, "{hour:02}:00"),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cron::CronLine;

    fn preferred(text: &str) -> Preferred {
        Preferred::parse(text).unwrap()
    }

    fn at(hour: u32, minute: u32) -> NaiveTime {
        NaiveTime::from_hms_opt(hour, minute, 0).unwrap()
    }

    #[test]
    fn what_is_written_is_read_as_it_was_and_nothing_else_is() {
        for text in ["", "07:00", "00:00", "23:00", "mon", "sun 18:00", "1", "31 06:00"] {
            assert_eq!(preferred(text).to_string(), text);
        }
        for text in ["7:00", "07:30", "24:00", "monday", "Mon", "0", "32", "07:00 mon", " 07:00", "mon  07:00", "x"] {
            assert_eq!(Preferred::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_rhythm_is_moved_as_far_as_it_is_said_and_left_to_readers() {
        let (hour, day, both) =
            (Choose { hour: true, day: false }, Choose { hour: false, day: true }, Choose { hour: true, day: true });
        let weekly = Rhythm::Weekly(Weekday::Mon, at(7, 30));
        let moved = |text: &str, choose, rhythm: &Rhythm| preferred(text).within(choose).moved(rhythm);
        assert_eq!(moved("fri 18:00", both, &weekly), Rhythm::Weekly(Weekday::Fri, at(18, 0)));
        assert_eq!(moved("fri 18:00", day, &weekly), Rhythm::Weekly(Weekday::Fri, at(7, 30)));
        assert_eq!(moved("fri 18:00", hour, &weekly), Rhythm::Weekly(Weekday::Mon, at(18, 0)));
        assert_eq!(moved("15", both, &weekly), weekly, "a day of the month is for monthly slots");
        assert_eq!(moved("fri 18:00", both, &Rhythm::Daily(at(7, 0))), Rhythm::Daily(at(18, 0)));
        assert_eq!(moved("15 18:00", both, &Rhythm::Monthly(1, at(7, 0))), Rhythm::Monthly(15, at(18, 0)));
        let cron = Rhythm::Cron(CronLine::parse("0 7 * * mon-fri").unwrap());
        assert_eq!(moved("18:00", both, &cron), cron);
        assert!(both.moves(&Timing { rhythm: weekly.clone(), zone: None }));
        assert!(!both.moves(&Timing { rhythm: weekly, zone: Some(chrono_tz::UTC) }), "one clock for all");
        assert!(!day.moves(&Timing { rhythm: Rhythm::Daily(at(7, 0)), zone: None }));
    }
}
