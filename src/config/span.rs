//! A length of time as an editor writes it: `90s`, `15m`, `4h`, `7d`, `2w`, or several of them as in `1h30m`.

use std::str::FromStr;
use std::time::Duration;

use chrono::TimeDelta;

/// What to write where a length of time is not understood.
pub(super) const SPAN_HINT: &str = "write a number with s, m, h, d or w, such as 15m or 4h";

/// A length of time of a second or more, a century at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(Duration);

impl Span {
    const MAX: Duration = Duration::from_hours(24 * 365 * 100);

    pub(super) fn duration(self) -> Duration {
        self.0
    }

    pub(super) fn delta(self) -> TimeDelta {
        TimeDelta::from_std(self.0).unwrap_or(TimeDelta::MAX)
    }
}

impl FromStr for Span {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut sum = Duration::ZERO;
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(())?;
            let number: u64 = rest[..digits].parse().map_err(|_| ())?;
            let unit = rest[digits..].chars().next().ok_or(())?;
            let seconds = match unit {
                's' => 1,
                'm' => 60,
                'h' => 3600,
                'd' => 24 * 3600,
                'w' => 7 * 24 * 3600,
                _ => return Err(()),
            };
            sum = sum.checked_add(Duration::from_secs(number.checked_mul(seconds).ok_or(())?)).ok_or(())?;
            rest = rest[digits + 1..].trim_start();
        }
        (sum >= Duration::from_secs(1) && sum <= Self::MAX).then_some(Self(sum)).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read() {
        let seconds = |text: &str| text.parse::<Span>().ok().map(|span| span.duration().as_secs());
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("1h30m"), Some(5400));
        assert_eq!(seconds(" 2d 4h "), Some(52 * 3600));
        assert_eq!(seconds("2w"), Some(14 * 24 * 3600));
        for text in ["", "15", "m", "15 m", "0s", "-1h", "1.5h", "1y", "99999999999999999999s", "90000w"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
