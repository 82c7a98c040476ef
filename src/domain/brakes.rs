//! When a digest stops by itself: too many refusals, or too many complaints. Pure counts, no clock.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::digest::Tally;

/// A part of a whole, in millionths: `0.1%` is 1,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "f64")]
pub struct Share(u32);

impl Share {
    /// So many millionths.
    pub const fn millionths(number: u32) -> Self {
        Self(number)
    }

    /// How many millionths.
    pub const fn as_millionths(self) -> u32 {
        self.0
    }

    /// Whether `part` of `whole` is more than this.
    fn is_exceeded(self, part: u64, whole: u64) -> bool {
        u128::from(part) * 1_000_000 > u128::from(self.0) * u128::from(whole)
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        Self::from(share.0) / 1_000_000.0
    }
}

impl FromStr for Share {
    type Err = ();

    /// Reads `5%` or `0.1%`, to four places.
    fn from_str(text: &str) -> Result<Self, ()> {
        let number = text.trim().strip_suffix('%').ok_or(())?.trim_end();
        let (whole, places) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        if !is_number(whole) || !is_number(places) || places.len() > 4 {
            return Err(());
        }
        let whole: u32 = whole.parse().map_err(|_| ())?;
        let places: u32 = format!("{places:0<4}").parse().map_err(|_| ())?;
        let millionths = whole.checked_mul(10_000).and_then(|whole| whole.checked_add(places)).ok_or(())?;
        (millionths <= 1_000_000).then_some(Self(millionths)).ok_or(())
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 10_000, self.0 % 10_000) {
            (whole, 0) => write!(f, "{whole} %"),
            (whole, places) => write!(f, "{whole}.{} %", format!("{places:04}").trim_end_matches('0')),
        }
    }
}

/// From what on a digest stops by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brakes {
    /// More of those who had an outcome than this refused for good.
    pub refusals: Share,
    /// More of those who were sent it than this complained.
    pub complaints: Share,
    /// Fewer outcomes than this prove nothing.
    pub at_least: u64,
}

impl Default for Brakes {
    /// 0.1 % of complaints is what Gmail's guidelines for senders ask to stay below; 5 % of refusals is a choice of ours:
    /// a list that is kept up loses far fewer between two digests.
    fn default() -> Self {
        Self { refusals: Share::millionths(50_000), complaints: Share::millionths(1_000), at_least: 100 }
    }
}

/// Why a digest that stands like this has to stop, if it has to.
///
/// Refusals are counted among the deliveries that a relay took or refused for good; complaints among those that it took.
/// What was put off, given up or skipped says nothing of the list.
pub fn brake(tally: &Tally, complaints: u64, brakes: &Brakes) -> Option<String> {
    let (refused, answered) = (tally.refused, tally.sent + tally.refused);
    if answered >= brakes.at_least.max(1) && brakes.refusals.is_exceeded(refused, answered) {
        return Some(format!("{refused} of {answered} addresses refused it, which is more than {}", brakes.refusals));
    }
    let sent = tally.sent;
    if sent >= brakes.at_least.max(1) && brakes.complaints.is_exceeded(complaints, sent) {
        return Some(format!("{complaints} of {sent} readers complained, which is more than {}", brakes.complaints));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_and_written() {
        for (text, millionths, written) in [
            ("5%", 50_000, "5 %"),
            ("0.1%", 1_000, "0.1 %"),
            (" 12.3456 % ", 123_456, "12.3456 %"),
            ("100%", 1_000_000, "100 %"),
            ("0%", 0, "0 %"),
        ] {
            let share: Share = text.parse().unwrap();
            assert_eq!((share, share.to_string().as_str()), (Share::millionths(millionths), written));
        }
        for text in ["", "5", "%", "-1%", "101%", "0.00001%", "1.%", ".5%", "5%%", "99999999999%", "1e2%"] {
            assert_eq!(text.parse::<Share>(), Err(()), "{text}");
        }
    }

    fn tally(sent: u64, refused: u64) -> Tally {
        Tally { sent, refused, ..Tally::default() }
    }

    #[test]
    fn a_digest_stops_above_five_in_a_hundred_refusals_and_not_before_a_hundred_outcomes() {
        let why = |tally: Tally| brake(&tally, 0, &Brakes::default());
        assert_eq!(why(tally(94, 5)), None, "99 outcomes prove nothing");
        assert_eq!(why(tally(0, 99)), None);
        assert_eq!(why(tally(95, 5)), None, "5 % is not more than 5 %");
        let stopped = why(tally(94, 6)).unwrap();
        assert_eq!(stopped, "6 of 100 addresses refused it, which is more than 5 %");
        assert_eq!(why(tally(950_000, 50_000)), None);
        assert!(why(tally(949_999, 50_001)).is_some());
        let open = Tally { queued: 1_000_000, deferred: 1_000_000, failed: 1_000, skipped: 1_000, ..tally(94, 5) };
        assert_eq!(why(open), None, "what has no answer does not count");
    }

    #[test]
    fn a_digest_stops_above_one_complaint_in_a_thousand() {
        let why = |sent, complaints| brake(&tally(sent, 0), complaints, &Brakes::default());
        assert_eq!(why(1_000, 1), None);
        assert_eq!(why(1_000, 2).unwrap(), "2 of 1000 readers complained, which is more than 0.1 %");
        assert_eq!(why(99, 50), None);
        assert!(why(100, 1).is_some());
        assert!(why(u64::MAX, u64::MAX).is_some());
    }

    #[test]
    fn a_whole_hundred_percent_never_stops() {
        let off = Share::millionths(1_000_000);
        let brakes = Brakes { refusals: off, complaints: off, at_least: 0 };
        assert_eq!(brake(&tally(0, 500), 0, &brakes), None);
        assert_eq!(brake(&tally(5, 0), 5, &brakes), None);
        assert_eq!(brake(&Tally::default(), 0, &Brakes { at_least: 0, ..Brakes::default() }), None);
    }
}
