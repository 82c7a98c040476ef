//! Dates as people write them in front matter (RFC 3339 and its relatives) to instants.
//!
//! What bears no zone is meant in the publication's own; this module knows nothing of files.

use chrono::{DateTime, Datelike, Duration, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;

/// The instant that `written` names: a date, or a date and time with or without a zone.
///
/// `2026-03-02`, `2026-03-02T09:00:00.5+01:00`, `2026-03-02 09:00:00 +0100`, `2026-03-02 09:00`. `None` for
/// anything else, and for years outside 1 to 9999, which RFC 3339 cannot write.
pub(super) fn parse(written: &str, zone: Tz) -> Option<DateTime<Utc>> {
    let written = written.trim();
    let date = calendar_date(written.get(..10)?)?;
    let rest = &written[10..];
    let clock = rest.strip_prefix(['T', 't', ' ']).map(str::trim_start);
    let at = match clock {
        None if rest.is_empty() => first_instant(date.and_time(NaiveTime::MIN), zone),
        None => None,
        Some(clock) => {
            let end = clock.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.')).unwrap_or(clock.len());
            let local = date.and_time(time_of_day(&clock[..end])?);
            match clock[end..].trim_start() {
                "" => first_instant(local, zone),
                offset => local.checked_sub_signed(Duration::minutes(offset_minutes(offset)?)).map(|utc| utc.and_utc()),
            }
        }
    }?;
    (1..=9999).contains(&at.year()).then_some(at)
}

/// `2026-03-02`, exactly.
pub(super) fn calendar_date(written: &str) -> Option<NaiveDate> {
    let bytes = written.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    NaiveDate::from_ymd_opt(
        i32::try_from(number(&written[..4])?).ok()?,
        number(&written[5..7])?,
        number(&written[8..])?,
    )
}

/// The first instant at which the clocks of `zone` show `local`, or show a later time where they leap over it.
fn first_instant(local: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    /// The longest leap on record is a whole day (Samoa left out 30 December 2011).
    const LONGEST_GAP_MINUTES: i64 = 26 * 60;
    (0..=LONGEST_GAP_MINUTES)
        .map_while(|minutes| local.checked_add_signed(Duration::minutes(minutes)))
        .find_map(|local| zone.from_local_datetime(&local).earliest())
        .map(|at| at.with_timezone(&Utc))
}

fn time_of_day(written: &str) -> Option<NaiveTime> {
    let mut parts = written.split(':');
    let (hour, minute) = (number(parts.next()?)?, number(parts.next()?)?);
    let seconds = parts.next().unwrap_or("0");
    if parts.next().is_some() {
        return None;
    }
    let (second, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // RFC 3339 §5.7 permits second 60; the instant after it is the same to everyone but astronomers.
    let second = number(second)?;
    let leap = u32::from(second == 60);
    let milliseconds = number(&format!("{fraction:0<3}")[..3])?;
    NaiveTime::from_hms_milli_opt(hour, minute, second - leap, milliseconds)
}

/// Minutes east of UTC: `Z`, `UTC`, `GMT`, `+01:00`, `+0100`, `-05`.
fn offset_minutes(written: &str) -> Option<i64> {
    if ["Z", "UTC", "GMT"].iter().any(|name| written.eq_ignore_ascii_case(name)) {
        return Some(0);
    }
    let (sign, digits) = match written.as_bytes().first()? {
        b'+' => (1, &written[1..]),
        b'-' => (-1, &written[1..]),
        _ => return None,
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() == 4 && digits.is_ascii() => digits.split_at(2),
        None => (digits, "0"),
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then(|| sign * i64::from(hours * 60 + minutes))
}

/// One to four digits and nothing else.
fn number(digits: &str) -> Option<u32> {
    ((1..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(written: &str) -> Option<String> {
        parse(written, chrono_tz::Europe::Lisbon).map(|at| at.to_rfc3339())
    }

    #[test]
    fn every_way_of_writing_a_date_names_the_same_instant() {
        for written in [
            "2026-03-02T09:00:00+01:00",
            "2026-03-02 09:00:00 +0100",
            "2026-03-02T08:00:00Z",
            "2026-03-02t08:00:00.000z",
            "2026-03-02 08:00",
            "2026-03-02 08:00:00",
            "2026-03-02T03:00-05",
            " 2026-03-02 08:00:00 UTC ",
        ] {
            assert_eq!(at(written).as_deref(), Some("2026-03-02T08:00:00+00:00"), "{written}");
        }
        assert_eq!(at("2026-07-02").as_deref(), Some("2026-07-01T23:00:00+00:00"));
    }

    #[test]
    fn what_is_not_a_date_is_none() {
        for written in [
            "",
            "03/02/2026",
            "2026-02-30",
            "2026-13-01",
            "2026-03-02T25:00",
            "2026-03-02T09:60",
            "2026-03-02Z",
            "2026-03-02T",
            "2026-03-02T09",
            "2026-03-02T09:00:00+25:00",
            "2026-03-02T09:00:00 soon",
            "2026-03-02T09:00:00.+01:00",
            "0000-01-01",
            "9999-12-31T23:59:59-23:00",
            "２０２６-03-02",
            "2026-3-2",
        ] {
            assert_eq!(at(written), None, "{written}");
        }
    }

    #[test]
    fn a_time_that_the_clocks_skip_is_the_first_instant_after_it() {
        // Lisbon: 01:00 becomes 02:00 on 29 March 2026.
        assert_eq!(at("2026-03-29 01:30").as_deref(), Some("2026-03-29T01:00:00+00:00"));
        assert_eq!(at("2026-03-29 02:00").as_deref(), Some("2026-03-29T01:00:00+00:00"));
    }

    #[test]
    fn a_time_that_the_clocks_show_twice_is_the_earlier() {
        // Lisbon: 02:00 becomes 01:00 on 25 October 2026.
        assert_eq!(at("2026-10-25 01:30").as_deref(), Some("2026-10-25T00:30:00+00:00"));
    }
}
