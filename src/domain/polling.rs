//! How often one poller may ask for one document. Pure: the time is an argument.
//!
//! Who says which version it has is answered with 304 and costs next to nothing; who never does is sent everything again
//! and again. Those alone are kept to an allowance that no reader of news needs.

use chrono::{DateTime, TimeDelta, Utc};

use super::limits::{Allowance, Meters};

/// Who says which version it has may ask so many times as often.
const CONDITIONAL: u32 = 20;

/// The meters of all pollers, bounded in memory.
#[derive(Debug)]
pub struct Polls {
    whole: Allowance,
    conditional: Allowance,
    pollers: Meters<(u64, bool)>,
}

impl Polls {
    /// Pollers that are remembered at most, some 4 MB; while so many are being counted, further ones have no limit.
    pub const MOST_POLLERS: usize = 100_000;

    /// Meters at zero; `whole` is how often one document may be fetched by one poller that does not say what it has.
    pub fn new(whole: Allowance) -> Self {
        Self { whole, conditional: whole.times(CONDITIONAL), pollers: Meters::new() }
    }

    /// Counts a request, by a hash of who asks for which document; how long they have to wait, if they have to.
    pub fn take(&mut self, poller: u64, is_conditional: bool, now: DateTime<Utc>) -> Option<TimeDelta> {
        let (now, who) = (now.timestamp_micros(), (poller, is_conditional));
        let allowance = if is_conditional { self.conditional } else { self.whole };
        let wait = self.pollers.wait(&who, allowance, now);
        if wait > 0 {
            return Some(TimeDelta::microseconds(wait));
        }
        self.pollers.count(who, allowance, Self::MOST_POLLERS, now);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn who_fetches_the_whole_again_and_again_has_to_wait_and_who_asks_for_what_is_new_does_not() {
        let mut polls = Polls::new(Allowance::per_hour(30));
        for _ in 0..30 {
            assert_eq!(polls.take(1, false, at(0)), None);
        }
        assert_eq!(polls.take(1, false, at(0)), Some(TimeDelta::minutes(2)));
        assert_eq!(polls.take(2, false, at(0)), None, "another");
        for _ in 0..600 {
            assert_eq!(polls.take(1, true, at(0)), None);
        }
        assert_eq!(polls.take(1, true, at(0)), Some(TimeDelta::seconds(6)));
        assert_eq!(polls.take(1, false, at(120)), None);
        // Whoever comes every two minutes may do so for ever.
        for minute in (4..10_000).step_by(2) {
            assert_eq!(polls.take(1, false, at(minute * 60)), None);
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut polls = Polls::new(Allowance::per_hour(1));
        for poller in 0..Polls::MOST_POLLERS as u64 + 1000 {
            assert_eq!(polls.take(poller, false, at(0)), None);
        }
        assert!(polls.take(7, false, at(1)).is_some());
        assert_eq!(polls.take(Polls::MOST_POLLERS as u64 + 7, false, at(1)), None);
    }
}
