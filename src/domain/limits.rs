//! How often something may be asked for: the form, the hub, a feed; by one network or whatever is told apart, and by all
//! together. Pure: the time is an argument.
//!
//! What is asked for is metered as it comes (GCRA, the leaky bucket of ITU-T I.371): one number for each network.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};

use super::pace::number_per;
use super::subscription::ONE_CONFIRMATION_PER;

/// Confirmations to one address, whatever its alias, in [`CONFIRMATIONS_PER`].
pub const CONFIRMATIONS: usize = 3;
/// See [`CONFIRMATIONS`].
pub const CONFIRMATIONS_PER: TimeDelta = TimeDelta::days(30);

/// When an address may be sent a confirmation again that had its last and its third last at these times.
pub fn next_confirmation(last: DateTime<Utc>, third_last: DateTime<Utc>) -> DateTime<Utc> {
    (last + ONE_CONFIRMATION_PER).max(third_last + CONFIRMATIONS_PER)
}

/// So many in so much time, `30/h`: all at once, or spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    number: u32,
    per_us: i64,
}

impl Allowance {
    /// So many an hour.
    pub const fn per_hour(number: u32) -> Self {
        Self { number, per_us: 3_600_000_000 }
    }

    /// So many times as many in the same time.
    #[must_use]
    pub fn times(self, number: u32) -> Self {
        Self { number: self.number.saturating_mul(number), ..self }
    }

    fn each_us(self) -> i64 {
        (self.per_us / i64::from(self.number)).max(1)
    }
}

impl FromStr for Allowance {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (number, time) = number_per(text).ok_or(())?;
        Ok(Self { number, per_us: i64::try_from(time.as_micros()).map_err(drop)? })
    }
}

/// What is taken to be one visitor: an IPv4 address, or the /64 that a provider gives to one line (RFC 6177 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// The network of an address.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        })
    }
}

/// Whether an address is of this machine or of a network behind a router: nobody's on the internet.
pub fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            // 100.64.0.0/10 is for providers' own networks (RFC 6598).
            address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || address.is_unspecified()
                || (a == 100 && b & 0xC0 == 64)
        }
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unspecified()
                || address.is_unique_local()
                || address.is_unicast_link_local()
        }
    }
}

/// When each of many will have its whole allowance again, in microseconds since 1970; bounded in memory.
#[derive(Debug)]
pub(super) struct Meters<K> {
    full_at: HashMap<K, i64>,
    swept_at: i64,
}

impl<K: Eq + Hash> Meters<K> {
    /// Looking for those that need not be remembered is done no more often than this.
    const SWEEP_US: i64 = 1_000_000;

    /// All at zero.
    pub(super) fn new() -> Self {
        Self { full_at: HashMap::new(), swept_at: 0 }
    }

    /// How long one has to wait, in microseconds: zero or less is not at all.
    pub(super) fn wait(&self, who: &K, allowance: Allowance, now: i64) -> i64 {
        after(allowance, self.full_at.get(who).copied().unwrap_or_default(), now).1
    }

    /// Counts one more, if there is room for it: `most` are remembered.
    pub(super) fn count(&mut self, who: K, allowance: Allowance, most: usize, now: i64) {
        if self.has_room_for(&who, most, now) {
            let full_at = self.full_at.entry(who).or_default();
            *full_at = after(allowance, *full_at, now).0;
        }
    }

    fn has_room_for(&mut self, who: &K, most: usize, now: i64) -> bool {
        if self.full_at.len() < most || self.full_at.contains_key(who) {
            return true;
        }
        if (now - self.swept_at).abs() >= Self::SWEEP_US {
            self.swept_at = now;
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        self.full_at.len() < most
    }
}

/// An allowance for each, and one for all together, bounded in memory.
#[derive(Debug)]
pub struct Limits<K = Network> {
    per_network: Allowance,
    overall: Allowance,
    networks: Meters<K>,
    all: i64,
}

impl<K: Hash + Eq> Limits<K> {
    /// Networks that are remembered at most, some 6 MB; while so many are being counted, further ones have the overall
    /// limit alone.
    pub const MOST_NETWORKS: usize = 100_000;

    /// Meters at zero.
    pub fn new(per_network: Allowance, overall: Allowance) -> Self {
        Self { per_network, overall, networks: Meters::new(), all: 0 }
    }

    /// How long a network (none: one that is not told apart from others) has to wait, if it has to. Counts nothing.
    pub fn wait(&self, network: Option<&K>, now: DateTime<Utc>) -> Option<TimeDelta> {
        let now = now.timestamp_micros();
        let own = network.map_or(0, |network| self.networks.wait(network, self.per_network, now));
        let wait = own.max(after(self.overall, self.all, now).1);
        (wait > 0).then(|| TimeDelta::microseconds(wait))
    }

    /// The same, and one more is counted where nobody has to wait.
    pub fn take(&mut self, network: Option<K>, now: DateTime<Utc>) -> Option<TimeDelta> {
        let wait = self.wait(network.as_ref(), now);
        if wait.is_some() {
            return wait;
        }
        let now = now.timestamp_micros();
        self.all = after(self.overall, self.all, now).0;
        if let Some(network) = network {
            self.networks.count(network, self.per_network, Self::MOST_NETWORKS, now);
        }
        None
    }
}

/// When the allowance is whole again after one more, and how long that one has to wait (none: zero or less).
fn after(allowance: Allowance, full_at: i64, now: i64) -> (i64, i64) {
    // Further off than an allowance takes is what a clock left behind that was ahead and was put back.
    let is_possible = full_at <= now.saturating_add(allowance.per_us.max(allowance.each_us()));
    let full_at = if is_possible { full_at.max(now) } else { now } + allowance.each_us();
    (full_at, full_at - now - allowance.per_us.max(allowance.each_us()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn network(text: &str) -> Network {
        Network::of(text.parse().unwrap())
    }

    #[test]
    fn allowances_are_read() {
        assert_eq!("30/h".parse(), Ok(Allowance::per_hour(30)));
        assert_eq!(" 2 / s".parse::<Allowance>().map(Allowance::each_us), Ok(500_000));
        for text in ["", "30", "0/h", "-1/h", "30/y", "30/h/h", "99999999999/s"] {
            assert_eq!(text.parse::<Allowance>(), Err(()), "{text}");
        }
    }

    #[test]
    fn an_allowance_may_be_used_at_once_and_comes_back_little_by_little() {
        let mut limits = Limits::new("3/h".parse().unwrap(), Allowance::per_hour(1000));
        let home = Some(network("192.0.2.7"));
        for _ in 0..3 {
            assert_eq!(limits.take(home, at(0)), None);
        }
        assert_eq!(limits.take(home, at(0)), Some(TimeDelta::minutes(20)));
        assert_eq!(limits.take(Some(network("192.0.2.8")), at(0)), None, "a neighbour is another");
        assert_eq!(limits.wait(home.as_ref(), at(1199)), Some(TimeDelta::seconds(1)));
        assert_eq!(limits.take(home, at(1200)), None);
        assert_eq!(limits.take(home, at(1200)), Some(TimeDelta::minutes(20)));
        assert_eq!(limits.wait(home.as_ref(), at(1200)), Some(TimeDelta::minutes(20)), "asking costs nothing");
        for _ in 0..3 {
            assert_eq!(limits.take(home, at(100_000)), None);
        }
        assert!(limits.take(home, at(100_000)).is_some());
    }

    #[test]
    fn everyone_together_has_a_limit_and_who_is_refused_does_not_count() {
        let mut limits = Limits::new("1/h".parse().unwrap(), "5/h".parse().unwrap());
        for _ in 0..100 {
            limits.take(Some(network("192.0.2.7")), at(0));
        }
        for host in 1..5 {
            assert_eq!(limits.take(Some(network(&format!("198.51.100.{host}"))), at(0)), None);
        }
        assert_eq!(limits.take(Some(network("198.51.100.9")), at(0)), Some(TimeDelta::minutes(12)));
        assert_eq!(limits.take(None, at(0)), Some(TimeDelta::minutes(12)));
    }

    #[test]
    fn a_line_has_a_64_and_an_address_in_ipv6_clothes_is_itself() {
        assert_eq!(network("2001:db8:1:2::3"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::3"), network("2001:db8:1:3::3"));
        assert_eq!(network("::ffff:192.0.2.7"), network("192.0.2.7"));
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.17.0.2",
            "192.168.0.9",
            "169.254.1.1",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_local(text.parse().unwrap()), "{text}");
        }
        for text in ["192.0.2.1", "100.128.0.1", "2001:db8::1", "172.32.0.1"] {
            assert!(!is_local(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_clock_that_is_put_back_shuts_nobody_out() {
        let mut limits = Limits::new("2/h".parse().unwrap(), Allowance::per_hour(1000));
        limits.take(Some(network("192.0.2.7")), at(1_000_000));
        assert_eq!(limits.take(Some(network("192.0.2.7")), at(0)), None);
        assert_eq!(limits.take(Some(network("192.0.2.7")), at(0)), None);
        assert!(limits.take(Some(network("192.0.2.7")), at(0)).is_some());
    }

    #[test]
    fn memory_is_bounded_and_the_overall_limit_holds_beyond() {
        let mut limits = Limits::new("1/h".parse().unwrap(), "200000/s".parse().unwrap());
        let line = |number: u32| Some(network(&format!("2001:db8:{:x}:{:x}::1", number >> 16, number & 0xFFFF)));
        let most = u32::try_from(<Limits>::MOST_NETWORKS).unwrap();
        for number in 0..most + 1000 {
            assert_eq!(limits.take(line(number), at(0)), None);
        }
        assert_eq!(limits.networks.full_at.len(), <Limits>::MOST_NETWORKS);
        assert!(limits.take(line(7), at(1)).is_some(), "who is remembered is remembered");
        assert_eq!(limits.take(line(most + 5), at(3601)), None);
        assert!(limits.networks.full_at.len() < 10, "and forgotten in time");
    }

    #[test]
    fn an_address_may_be_asked_once_a_day_and_three_times_a_month() {
        let day = 24 * 3600;
        assert_eq!(next_confirmation(at(0), DateTime::UNIX_EPOCH), at(day));
        assert_eq!(next_confirmation(at(2 * day), at(0)), at(30 * day));
        assert_eq!(next_confirmation(at(29 * day + 5), at(0)), at(30 * day + 5));
    }
}
