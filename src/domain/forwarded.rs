//! Who a visitor is behind proxies: `X-Forwarded-For`, and `Forwarded` (RFC 7239 §5.2).
//!
//! Anyone can write these headers. Only what a trusted proxy added counts: the list is read from its end, and the first
//! address that is no trusted proxy's is the visitor's.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// A range of addresses: `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    start: IpAddr,
    bits: u8,
}

impl FromStr for Range {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = text.trim().split_once('/').map_or((text.trim(), None), |(a, bits)| (a, Some(bits)));
        let start: IpAddr = address.parse().map_err(|_| ())?;
        let most = if start.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| ()))?;
        if bits <= most { Ok(Self { start, bits }) } else { Err(()) }
    }
}

impl Range {
    /// Whether an address lies in it.
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.start, address.to_canonical()) {
            (IpAddr::V4(start), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                start.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(start), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                start.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// The visitor's address: the peer's own, unless that is a trusted proxy.
///
/// `forwarded_for` and `forwarded` are the values of the two headers, in their order. A proxy writes one of them and may
/// let the other pass as the visitor sent it: where they say different things, neither is believed.
pub fn visitor(peer: IpAddr, trusted: &[Range], forwarded_for: &[&str], forwarded: &[&str]) -> IpAddr {
    let entries = |values: &[&str]| values.iter().flat_map(|value| value.split(',')).map(str::to_owned).collect();
    let by_x: Option<Vec<String>> = (!forwarded_for.is_empty()).then(|| entries(forwarded_for));
    let by_rfc: Option<Vec<String>> = (!forwarded.is_empty()).then(|| entries(forwarded));
    let by_x = by_x.map(|entries| last_untrusted(peer, trusted, &entries, address));
    let by_rfc = by_rfc.map(|entries| last_untrusted(peer, trusted, &entries, |element| address(node(element)?)));
    match (by_x, by_rfc) {
        (Some(one), Some(other)) if one != other => peer,
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => peer,
    }
}

fn last_untrusted(
    peer: IpAddr,
    trusted: &[Range],
    entries: &[String],
    read: impl Fn(&str) -> Option<IpAddr>,
) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|range| range.holds(address));
    let mut at = peer;
    for entry in entries.iter().rev() {
        if !is_trusted(at) {
            break;
        }
        // What is no address, such as "unknown", ends what is known.
        let Some(next) = read(entry) else { break };
        at = next;
    }
    at
}

/// `for=` of an element, without its quotation marks.
fn node(element: &str) -> Option<&str> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    Some(value.trim().trim_matches('"'))
}

/// An address, with its port where one is written.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, trusted: &[&str], forwarded_for: &[&str], forwarded: &[&str]) -> String {
        let trusted: Vec<Range> = trusted.iter().map(|range| range.parse().unwrap()).collect();
        visitor(peer.parse().unwrap(), &trusted, forwarded_for, forwarded).to_string()
    }

    #[test]
    fn ranges_hold_what_lies_in_them() {
        let holds = |range: &str, address: &str| range.parse::<Range>().unwrap().holds(address.parse().unwrap());
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("192.0.2.7", "192.0.2.7") && !holds("192.0.2.7", "192.0.2.8"));
        assert!(holds("0.0.0.0/0", "203.0.113.9") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("2001:db8::/32", "2001:db8:9::1") && !holds("2001:db8::/32", "2001:db9::1"));
        assert!(holds("::/0", "2001:db9::1") && holds("127.0.0.0/8", "::ffff:127.0.0.1"));
        for text in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/-1", "10.0.0.0/8/8", "localhost"] {
            assert_eq!(text.parse::<Range>(), Err(()), "{text}");
        }
    }

    #[test]
    fn a_header_from_a_peer_that_is_not_trusted_is_ignored() {
        assert_eq!(seen("203.0.113.9", &[], &["198.51.100.1"], &["for=198.51.100.1"]), "203.0.113.9");
        assert_eq!(seen("203.0.113.9", &["10.0.0.0/8"], &["198.51.100.1"], &[]), "203.0.113.9");
    }

    #[test]
    fn the_last_address_that_is_not_a_proxys_is_the_visitors() {
        let proxies = ["10.0.0.0/8", "127.0.0.1"];
        for (forwarded_for, forwarded, visitor) in [
            (vec!["198.51.100.1"], vec![], "198.51.100.1"),
            (vec!["1.2.3.4, 198.51.100.1"], vec![], "198.51.100.1"),
            (vec!["1.2.3.4", "198.51.100.1, 10.9.9.9"], vec![], "198.51.100.1"),
            (vec!["198.51.100.1:4711"], vec![], "198.51.100.1"),
            (vec!["[2001:db8::7]:4711"], vec![], "2001:db8::7"),
            (vec!["2001:db8::7"], vec![], "2001:db8::7"),
            (vec!["::ffff:198.51.100.1"], vec![], "198.51.100.1"),
            (
                vec![],
                vec!["for=192.0.2.60;proto=http;by=10.0.0.1, For=\"[2001:db8:cafe::17]:4711\""],
                "2001:db8:cafe::17",
            ),
            (vec![], vec!["for=_hidden, for=10.1.1.1"], "10.1.1.1"),
            (vec!["unknown"], vec![], "10.0.0.1"),
            (vec!["nonsense\u{1}, 198.51.100.1"], vec![], "198.51.100.1"),
            (vec![""], vec![], "10.0.0.1"),
            (vec!["10.0.0.9"], vec![], "10.0.0.9"),
            (vec!["198.51.100.1"], vec!["for=198.51.100.1"], "198.51.100.1"),
            // Written by the visitor, and passed on by a proxy that writes the other.
            (vec!["198.51.100.1"], vec!["for=1.2.3.4"], "10.0.0.1"),
            (vec![], vec![], "10.0.0.1"),
        ] {
            assert_eq!(
                seen("10.0.0.1", &proxies, &forwarded_for, &forwarded),
                visitor,
                "{forwarded_for:?} {forwarded:?}"
            );
        }
    }
}
