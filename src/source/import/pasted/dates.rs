//! Dates as pages write them: in words of several languages or in numbers, with weekday and time around them.

use chrono::{NaiveDate, NaiveTime};

use super::words::{self, LANGUAGES, folded};

/// A line that is a date and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dated {
    pub(super) date: NaiveDate,
    pub(super) time: Option<NaiveTime>,
    /// The time is that of UTC, and not of the publication's zone.
    pub(super) is_utc: bool,
    /// It says that the article was edited then.
    pub(super) is_update: bool,
    /// Day and month could be the other way round.
    pub(super) is_unsure: bool,
}

impl Dated {
    /// The date as front matter has it: without a zone where there is a time, so that the publication's is meant.
    pub(super) fn written(self) -> String {
        match self.time {
            Some(time) => format!("{}T{}{}", self.date, time.format("%H:%M:%S"), if self.is_utc { "Z" } else { "" }),
            None => self.date.to_string(),
        }
    }
}

/// Words in a date; a longer text has other things to say.
const MOST_WORDS: usize = 14;

/// The date that `text` is, unless it says anything else.
pub(super) fn parse(text: &str) -> Option<Dated> {
    if !text.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (rest, is_update) = without_prefix(text);
    let words: Vec<&str> =
        rest.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()).collect();
    if words.len() > MOST_WORDS {
        return None;
    }
    let mut is_utc = false;
    let (mut numbers, mut month, mut time, mut whole, mut half) = (Vec::new(), None, None, None, None);
    for word in words {
        let word = word.trim_matches(['(', ')', '|', '•', '·', '–', '—', '-']);
        let plain = folded(word);
        if plain.is_empty() {
            continue;
        }
        if let Some((date, unsure)) = in_numbers(word) {
            whole = Some(whole.map_or((date, unsure), |_| (NaiveDate::MIN, true)));
            if let Some((_, after)) = word.split_once('T') {
                time = time.or(clock(after).map(|(time, _)| time));
                is_utc = after.ends_with('Z');
            }
        } else if let Some(found) = clock(word) {
            time = Some(found.0);
            half = half.or(found.1);
        } else if let Some(found) = month_named(&plain) {
            month = Some(month.map_or(found, |_| 0));
        } else if let Some(number) = day_or_year(word) {
            numbers.push(number);
        } else if matches!(plain.as_str(), "am" | "a.m" | "pm" | "p.m") {
            half = half.or(Some(plain.starts_with('p')));
        } else if !(words::any(|one| one.weekdays, &plain) || words::any(|one| one.in_dates, &plain)) {
            return None;
        }
    }
    let (date, is_unsure) = match (whole, month, numbers.as_slice()) {
        (Some(whole), None, []) => whole,
        (None, Some(month), [day, year]) if *day <= 31 && *year > 31 => (date(*year, month, *day)?, false),
        (None, Some(month), [year, day]) if *day <= 31 && *year > 31 => (date(*year, month, *day)?, false),
        _ => return None,
    };
    if date == NaiveDate::MIN {
        return None;
    }
    Some(Dated { date, time: time.and_then(|time| in_half(time, half)), is_utc, is_update, is_unsure })
}

/// "Updated: March 3, 2024" without its first words, and whether they speak of an edit.
fn without_prefix(text: &str) -> (&str, bool) {
    let lower = text.to_lowercase();
    if lower.len() != text.len() {
        return (text, false); // the offsets would not fit
    }
    let find = |list: fn(&words::Language) -> &'static [&'static str]| {
        words::all(list)
            .filter(|word| lower.starts_with(word))
            .map(str::len)
            .max()
            .filter(|length| text[*length..].starts_with(|c: char| c.is_whitespace() || c == ':'))
    };
    let (published, updated) = (find(|one| one.published), find(|one| one.updated));
    let length = published.max(updated).unwrap_or(0);
    (
        text[length..].trim_start_matches(|c: char| c == ':' || c.is_whitespace()),
        updated.is_some() && updated >= published,
    )
}

fn date(year: u32, month: u32, day: u32) -> Option<NaiveDate> {
    let year = i32::try_from(year).ok().filter(|year| (1700..=2200).contains(year))?;
    NaiveDate::from_ymd_opt(year, month, day)
}

fn month_named(word: &str) -> Option<u32> {
    let found = LANGUAGES.iter().find_map(|language| language.months.iter().position(|names| names.contains(&word)))?;
    u32::try_from(found + 1).ok()
}

/// `3`, `3.`, `3rd`, `1er`, `2024`.
fn day_or_year(word: &str) -> Option<u32> {
    let end = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let (digits, rest) = word.split_at(end);
    let fits = matches!(rest.to_lowercase().as_str(), "" | "." | "º" | "°" | "st" | "nd" | "rd" | "th" | "er" | "/");
    (fits && (1..=4).contains(&digits.len())).then(|| digits.parse().ok())?
}

/// `2024-03-03`, `2024-03-03T09:00:00Z`, `03.03.2024`, `3/3/2024`, and whether day and month may be swapped.
fn in_numbers(word: &str) -> Option<(NaiveDate, bool)> {
    let word = word.split('T').next().unwrap_or(word).trim_end_matches('.');
    let separator = word.chars().find(|c| matches!(c, '-' | '.' | '/'))?;
    let mut parts = word.split(separator).map(|part| part.parse::<u32>().ok());
    let (first, second, third) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() {
        return None;
    }
    if first > 31 {
        return Some((date(first, second, third)?, false));
    }
    if second > 12 {
        return Some((date(third, first, second)?, false)); // the American order
    }
    // With points it is the day that comes first, everywhere; with slashes it depends on who writes.
    Some((date(third, second, first)?, separator != '.' && first <= 12 && first != second))
}

/// `09:30`, `9.30h`, `9:30am`, and whether it says am or pm.
fn clock(word: &str) -> Option<(NaiveTime, Option<bool>)> {
    let lower = word.to_lowercase();
    let (digits, half) = match lower.strip_suffix("pm").or(lower.strip_suffix("p.m.")) {
        Some(digits) => (digits, Some(true)),
        None => match lower.strip_suffix("am").or(lower.strip_suffix("a.m.")) {
            Some(digits) => (digits, Some(false)),
            None => (lower.trim_end_matches(['h', 'z']), None),
        },
    };
    let (hour, rest) = digits.split_once(':').or_else(|| digits.split_once('h'))?;
    let minute = rest.get(..2)?;
    let is_rest = rest[2..].is_empty() || (rest[2..].starts_with(':') && rest.len() == 5);
    let time = NaiveTime::from_hms_opt(hour.parse().ok()?, minute.parse().ok()?, 0)?;
    is_rest.then_some((time, half))
}

fn in_half(time: NaiveTime, half: Option<bool>) -> Option<NaiveTime> {
    use chrono::Timelike as _;
    let hour = match half {
        Some(true) if time.hour() < 12 => time.hour() + 12,
        Some(false) if time.hour() == 12 => 0,
        _ => time.hour(),
    };
    NaiveTime::from_hms_opt(hour, time.minute(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Option<String> {
        parse(text).map(Dated::written)
    }

    #[test]
    fn every_way_of_writing_a_day_is_the_same_day() {
        for text in [
            "Sunday, March 3, 2024",
            "March 3rd, 2024",
            "3 March 2024",
            "2024-03-03",
            "03.03.2024",
            "3/3/2024",
            "2024/03/03",
            "Sonntag, 3. März 2024",
            "So., 03.03.2024",
            "dimanche 3 mars 2024",
            "domingo, 3 de marzo de 2024",
            "Published: March 3, 2024",
            "Publié le 3 mars 2024",
            "Sun, 3 Mar 2024",
        ] {
            assert_eq!(written(text).as_deref(), Some("2024-03-03"), "{text}");
        }
        assert_eq!(written("1er mars 2024").as_deref(), Some("2024-03-01"));
        assert_eq!(written("13/3/2024").as_deref(), Some("2024-03-13"));
        assert_eq!(written("3/13/2024").as_deref(), Some("2024-03-13"));
    }

    #[test]
    fn a_time_beside_it_is_kept() {
        for text in ["March 3, 2024 at 9:30 PM", "3. März 2024, 21:30 Uhr", "3 mars 2024 à 21h30"] {
            assert_eq!(written(text).as_deref(), Some("2024-03-03T21:30:00"), "{text}");
        }
        assert_eq!(written("2024-03-03T21:30:00Z").as_deref(), Some("2024-03-03T21:30:00Z"));
        assert_eq!(
            written("2024-03-03T21:30:00+01:00").as_deref(),
            Some("2024-03-03"),
            "no time rather than a wrong one"
        );
        assert_eq!(written("March 3, 2024, 12:05 a.m.").as_deref(), Some("2024-03-03T00:05:00"));
    }

    #[test]
    fn an_edit_and_a_doubt_are_said() {
        assert!(parse("Last updated: 3 March 2024").unwrap().is_update);
        assert!(parse("Aktualisiert am 3. März 2024").unwrap().is_update);
        assert!(parse("3/4/2024").unwrap().is_unsure);
        assert!(!parse("3.4.2024").unwrap().is_unsure);
    }

    #[test]
    fn what_says_more_or_less_is_no_date() {
        for text in [
            "",
            "2024",
            "March",
            "3 March",
            "In March 2024 the light failed",
            "31 February 2024",
            "1. Origins",
            "99.99.2024",
            "12 March 2024 3 April 2024",
            "2024-03-03 2024-03-04",
            "Room 3, 2024",
        ] {
            assert_eq!(written(text), None, "{text}");
        }
    }
}
