//! Pace: how fast mail may go, as set and as learned from the other side. Pure: the time is an argument.

use std::str::FromStr;
use std::time::{Duration, Instant};

use chrono::NaiveDate;

/// So many messages in so much time: `20/s`, `1200/m`, `50000/h`, `500000/d`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    interval: Duration,
}

impl Rate {
    /// Time between two messages.
    pub fn interval(self) -> Duration {
        self.interval
    }

    /// Messages per second.
    pub fn per_second(self) -> f64 {
        1.0 / self.interval.as_secs_f64()
    }

    /// The share of one of `parts` who keep this rate together.
    #[must_use]
    pub fn shared_by(self, parts: usize) -> Self {
        Self { interval: self.interval * u32::try_from(parts.max(1)).unwrap_or(u32::MAX) }
    }
}

impl FromStr for Rate {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (number, time) = number_per(text).ok_or(())?;
        Ok(Self { interval: (time / number).max(Duration::from_nanos(1)) })
    }
}

/// A number and the time that it is for, as in `100/h`; none is 0.
pub(super) fn number_per(text: &str) -> Option<(u32, Duration)> {
    let (number, unit) = text.split_once('/')?;
    let seconds = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return None,
    };
    let number = number.trim().parse().ok().filter(|number| *number > 0)?;
    Some((number, Duration::from_secs(seconds)))
}

/// Gives out turns at a rate. Turns that nobody took are not saved up, but for a tenth of a second, so that the rate set
/// is the rate got although timers are late.
#[derive(Debug, Clone)]
pub struct Turns {
    interval: Duration,
    next: Option<Instant>,
}

impl Turns {
    const SLACK: Duration = Duration::from_millis(100);

    /// Turns at this rate.
    pub fn new(rate: Rate) -> Self {
        Self { interval: rate.interval, next: None }
    }

    /// The instant of the next turn, which is taken with this.
    pub fn take(&mut self, now: Instant) -> Instant {
        let turn = self.next.map_or(now, |next| next.max(now.checked_sub(Self::SLACK).unwrap_or(now)));
        self.next = Some(turn + self.interval);
        turn.max(now)
    }

    /// How long until there is a turn.
    pub fn wait(&self, now: Instant) -> Duration {
        self.next.map_or(Duration::ZERO, |next| next.saturating_duration_since(now))
    }

    /// Time between two turns.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Turns come at another rate from now on.
    pub fn set(&mut self, rate: Rate) {
        self.interval = rate.interval;
    }
}

/// A pace that the other side asked for by putting mail off: the pauses double with each such answer and shrink with
/// each message that goes well.
#[derive(Debug, Clone, Default)]
pub struct Learned {
    interval: Duration,
    next: Option<Instant>,
}

impl Learned {
    const LEAST: Duration = Duration::from_millis(500);
    const MOST: Duration = Duration::from_mins(1);
    const GONE: Duration = Duration::from_millis(10);

    /// The other side said: not so fast. What it says of several messages at once counts once.
    pub fn put_off(&mut self, now: Instant) {
        if !self.wait(now).is_zero() {
            return;
        }
        self.interval = (self.interval * 2).clamp(Self::LEAST, Self::MOST);
        self.next = Some(now + self.interval * 4);
    }

    /// A message went well.
    pub fn went_well(&mut self) {
        self.interval = self.interval.mul_f64(0.9);
        if self.interval < Self::GONE {
            *self = Self::default();
        }
    }

    /// How long until there is a turn.
    pub fn wait(&self, now: Instant) -> Duration {
        self.next.map_or(Duration::ZERO, |next| next.saturating_duration_since(now))
    }

    /// Time between two messages; zero where the other side asked for nothing.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Takes a turn.
    pub fn take(&mut self, now: Instant) {
        if self.interval > Duration::ZERO {
            self.next = Some(self.next.map_or(now, |next| next.max(now)) + self.interval);
        }
    }
}

/// What a domain of recipients may be asked to take.
#[derive(Debug, Clone, PartialEq)]
pub struct DomainPace {
    /// The domains, in lower case; each has the pace for itself.
    pub domains: Vec<String>,
    /// Messages under way at once.
    pub connections: Option<usize>,
    /// Messages in time.
    pub rate: Option<Rate>,
}

/// A sender that nobody knows yet begins with little and sends half as much again each day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WarmUp {
    /// Messages on the first day.
    pub start: u64,
    /// The first day (UTC).
    pub since: NaiveDate,
    /// How many times as many each following day.
    pub growth: f64,
}

impl WarmUp {
    /// What grows by this much a day does not alarm the big providers.
    pub const GROWTH: f64 = 1.5;

    /// How many messages may go on `day`.
    pub fn allows(&self, day: NaiveDate) -> u64 {
        let days = i32::try_from((day - self.since).num_days().clamp(0, 10_000)).unwrap_or(i32::MAX);
        #[expect(clippy::cast_precision_loss, reason = "beyond 2^52 messages a day the last digits do not matter")]
        let allowed = self.start as f64 * self.growth.powi(days);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is meant")]
        let allowed = allowed as u64;
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    #[test]
    fn rates_are_read() {
        assert_eq!(rate("20/s").interval(), Duration::from_millis(50));
        assert_eq!(rate("60 / m").interval(), Duration::from_secs(1));
        assert_eq!(rate("86400/d").interval(), Duration::from_secs(1));
        for text in ["", "20", "0/s", "/s", "5/y", "-1/s", "1.5/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_rate_set_is_the_rate_got_although_turns_are_taken_late() {
        let start = Instant::now();
        let mut turns = Turns::new(rate("100/s"));
        let mut now = start;
        for _ in 0..1000 {
            // Whoever waits wakes up a little late.
            now = now.max(turns.take(now)) + Duration::from_millis(1);
        }
        let took = (now - start).as_secs_f64();
        assert!((9.95..10.1).contains(&took), "{took}");
    }

    #[test]
    fn turns_that_nobody_took_are_not_saved_up() {
        let start = Instant::now();
        let mut turns = Turns::new(rate("10/s"));
        turns.take(start);
        let later = start + Duration::from_mins(1);
        let at_once = (0..100).filter(|_| turns.take(later) == later).count();
        assert!(at_once <= 2, "{at_once}");
    }

    #[test]
    fn a_learned_pace_slows_down_at_each_complaint_and_recovers() {
        let now = Instant::now();
        let mut learned = Learned::default();
        assert_eq!(learned.wait(now), Duration::ZERO);
        learned.put_off(now);
        let first = learned.wait(now);
        learned.put_off(now);
        assert_eq!(learned.wait(now), first);
        let now = now + first;
        learned.put_off(now);
        assert!(learned.wait(now) > first);
        for _ in 0..100 {
            learned.went_well();
        }
        assert_eq!(learned.wait(now), Duration::ZERO);
    }

    #[test]
    fn a_warm_up_grows_by_the_day() {
        let since = NaiveDate::from_ymd_opt(2026, 11, 24).unwrap();
        let warm_up = WarmUp { start: 200, since, growth: WarmUp::GROWTH };
        let day = |days| since + chrono::Days::new(days);
        assert_eq!([0, 1, 2, 10].map(|days| warm_up.allows(day(days))), [200, 300, 450, 11_533]);
        assert_eq!(warm_up.allows(since - chrono::Days::new(3)), 200);
        assert_eq!(warm_up.allows(day(9_000)), u64::MAX);
    }
}
