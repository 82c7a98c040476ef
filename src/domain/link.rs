//! Signed links: what a reader may do without a password, because the link came by mail.
//!
//! A token is `payload ‖ MAC` in base64url (RFC 4648 §5, no padding). The MAC is HMAC-SHA-256 (RFC 2104) cut to
//! 128 bits, over the purpose, the subscriber, the feed and the expiry; so a token serves one purpose only.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::digest::DigestId;
use super::feed::FeedName;
use super::subscription::SubscriberId;
use super::text::hex;

/// Bytes of a MAC: 128 bits.
const MAC_BYTES: usize = 16;
/// Bytes before the feed's name: purpose, subscriber, expiry.
const FIXED_BYTES: usize = 1 + 16 + 4;
/// Bytes of a bounce token's MAC: 96 bits, so that the token leaves room in a local part of 64 characters.
const BOUNCE_MAC_BYTES: usize = 12;
/// Bytes of a bounce token: subscriber, end of the digest's id, MAC.
const BOUNCE_BYTES: usize = 16 + 4 + BOUNCE_MAC_BYTES;
/// RFC 4648 §6 in lower case: some mail servers fold the case of addresses.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// What a link lets its holder do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Confirm what was asked for with the form.
    Confirm,
    /// End one subscription, or all where no feed is named.
    Leave,
    /// See and change the choices.
    Preferences,
    /// Take up again what was left a moment ago.
    Return,
    /// Be forgotten.
    Erase,
    /// Get the mail at another address: the one that the link went to.
    Address,
}

impl Purpose {
    fn byte(self) -> u8 {
        match self {
            Self::Confirm => b'c',
            Self::Leave => b'l',
            Self::Preferences => b'p',
            Self::Return => b'r',
            Self::Erase => b'e',
            Self::Address => b'a',
        }
    }
}

/// Who may do what, until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What for.
    pub purpose: Purpose,
    /// Who.
    pub subscriber: SubscriberId,
    /// With which feed; `None` is all of them.
    pub feed: Option<FeedName>,
    /// Until when, to the minute; `None` is for ever (a mail may be opened years later).
    pub expires_at: Option<DateTime<Utc>>,
}

/// Whose own feed an address leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnFeed {
    /// Whose.
    pub subscriber: SubscriberId,
    /// Which of their addresses it is: the last one holds.
    pub version: u32,
}

/// What stands in the place of a purpose in the address of a reader's own feed.
const OWN_FEED: u8 = b'o';

/// Whose delivery a bounce is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BounceToken {
    /// To whom it went.
    pub subscriber: SubscriberId,
    /// The last four bytes of its digest's id; `None` for what belongs to no digest.
    pub digest_end: Option<[u8; 4]>,
}

impl BounceToken {
    /// Characters of a token.
    pub const CHARACTERS: usize = (BOUNCE_BYTES * 8).div_ceil(5);

    /// Whether this is the digest that the token was made for.
    pub fn is_of(&self, digest: DigestId) -> bool {
        self.digest_end == Some(end_of(digest))
    }
}

/// The last four bytes of a digest's id: random in a UUIDv7, and enough to tell one reader's digests apart.
fn end_of(digest: DigestId) -> [u8; 4] {
    let bytes = digest.0.as_bytes();
    [bytes[12], bytes[13], bytes[14], bytes[15]]
}

/// The keys that sign links: the newest signs, all verify, so that a key can be replaced without breaking old mail.
pub struct Keyring {
    keys: Vec<hmac::Key>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({} keys)", self.keys.len())
    }
}

impl Keyring {
    /// Bytes of a key: 256 bits.
    pub const KEY_BYTES: usize = 32;

    /// The keys given, newest first; `None` for an empty list.
    pub fn new<K: AsRef<[u8]>>(keys: &[K]) -> Option<Self> {
        let keys: Vec<_> = keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.as_ref())).collect();
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// The token of a link.
    pub fn sign(&self, link: &Link) -> String {
        let feed = link.feed.as_ref().map_or("", FeedName::as_str);
        self.token(link.purpose, link.subscriber, link.expires_at, feed)
    }

    /// What a token allows, if it is ours, serves `purpose`, and has not expired at `now`.
    pub fn verify(&self, purpose: Purpose, token: &str, now: DateTime<Utc>) -> Option<Link> {
        let (subscriber, expires_at, feed) = self.open(purpose, token, now)?;
        let feed = if feed.is_empty() { None } else { Some(FeedName::parse(&feed)?) };
        Some(Link { purpose, subscriber, feed, expires_at })
    }

    /// The token by which a subscriber's mail moves to the address with this hash.
    pub fn sign_address(&self, subscriber: SubscriberId, address_hash: &str, expires_at: DateTime<Utc>) -> String {
        self.token(Purpose::Address, subscriber, Some(expires_at), address_hash)
    }

    /// Whose mail a token moves, and the hash of the address that it moves to.
    pub fn verify_address(&self, token: &str, now: DateTime<Utc>) -> Option<(SubscriberId, String)> {
        let (subscriber, _, address_hash) = self.open(Purpose::Address, token, now)?;
        Some((subscriber, address_hash))
    }

    fn token(
        &self,
        purpose: Purpose,
        subscriber: SubscriberId,
        expires_at: Option<DateTime<Utc>>,
        about: &str,
    ) -> String {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + 16 + MAC_BYTES);
        bytes.push(purpose.byte());
        bytes.extend_from_slice(subscriber.0.as_bytes());
        let minutes = expires_at.map_or(0, |at| u32::try_from(at.timestamp() / 60).unwrap_or(u32::MAX));
        bytes.extend_from_slice(&minutes.to_be_bytes());
        bytes.extend_from_slice(about.as_bytes());
        self.sealed(bytes)
    }

    /// The token of a reader's own feed.
    pub fn sign_own_feed(&self, own: OwnFeed) -> String {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + MAC_BYTES);
        bytes.push(OWN_FEED);
        bytes.extend_from_slice(own.subscriber.0.as_bytes());
        bytes.extend_from_slice(&own.version.to_be_bytes());
        self.sealed(bytes)
    }

    /// Whose own feed a token leads to, if it is ours.
    pub fn verify_own_feed(&self, token: &str) -> Option<OwnFeed> {
        let payload = self.unseal(token)?;
        if payload.len() != FIXED_BYTES || payload[0] != OWN_FEED {
            return None;
        }
        let subscriber = SubscriberId(Uuid::from_slice(&payload[1..17]).ok()?);
        Some(OwnFeed { subscriber, version: u32::from_be_bytes(payload[17..].try_into().ok()?) })
    }

    fn sealed(&self, mut payload: Vec<u8>) -> String {
        let mac = self.seal(&payload);
        payload.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(payload)
    }

    /// What a token says, if one of our keys has sealed it.
    fn unseal(&self, token: &str) -> Option<Vec<u8>> {
        let mut bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (payload, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC_BYTES)?)?;
        let genuine = self.is_sealed(payload, mac);
        bytes.truncate(bytes.len() - MAC_BYTES);
        genuine.then_some(bytes)
    }

    /// Who, until when, and about what.
    fn open(
        &self,
        purpose: Purpose,
        token: &str,
        now: DateTime<Utc>,
    ) -> Option<(SubscriberId, Option<DateTime<Utc>>, String)> {
        let payload = self.unseal(token)?;
        if *payload.first()? != purpose.byte() || payload.len() < FIXED_BYTES {
            return None;
        }
        let subscriber = SubscriberId(Uuid::from_slice(&payload[1..17]).ok()?);
        let minutes = u32::from_be_bytes(payload[17..FIXED_BYTES].try_into().ok()?);
        let expires_at = (minutes != 0).then(|| DateTime::from_timestamp(i64::from(minutes) * 60, 0)).flatten();
        if expires_at.is_some_and(|at| at <= now) {
            return None;
        }
        let about = std::str::from_utf8(&payload[FIXED_BYTES..]).ok()?;
        Some((subscriber, expires_at, about.to_owned()))
    }

    /// The MAC of what a room of the domain made up itself; its first byte is no purpose of a link.
    pub(super) fn seal(&self, bytes: &[u8]) -> [u8; MAC_BYTES] {
        let mac = hmac::sign(&self.keys[0], bytes);
        std::array::from_fn(|at| mac.as_ref()[at])
    }

    /// Whether one of our keys made this MAC.
    pub(super) fn is_sealed(&self, bytes: &[u8], mac: &[u8]) -> bool {
        self.keys.iter().any(|key| {
            let expected = hmac::sign(key, bytes);
            aws_lc_rs::constant_time::verify_slices_are_equal(&expected.as_ref()[..MAC_BYTES], mac).is_ok()
        })
    }

    /// The left part of a delivery's Message-ID: the same for every attempt, and no one else's to guess.
    pub fn message_id(&self, digest: DigestId, subscriber: SubscriberId) -> String {
        let mut bytes = Vec::with_capacity(33);
        bytes.push(b'm');
        bytes.extend_from_slice(digest.0.as_bytes());
        bytes.extend_from_slice(subscriber.0.as_bytes());
        hex(&self.lasting(&bytes))
    }

    /// What stands in the envelope sender of a message, so that a bounce says by itself whom it is about: letters and
    /// digits in one case (RFC 4648 §6 without padding).
    pub fn bounce_token(&self, subscriber: SubscriberId, digest: Option<DigestId>) -> String {
        let mut bytes = Vec::with_capacity(BOUNCE_BYTES);
        bytes.extend_from_slice(subscriber.0.as_bytes());
        bytes.extend_from_slice(&digest.map_or([0; 4], end_of));
        let mac = self.lasting(&[b"b", bytes.as_slice()].concat());
        bytes.extend_from_slice(&mac[..BOUNCE_MAC_BYTES]);
        base32(&bytes)
    }

    /// Whom a token is about, in whatever case it came back; `None` when it is not ours.
    pub fn read_bounce_token(&self, token: &str) -> Option<BounceToken> {
        let bytes = unbase32(token).filter(|bytes| bytes.len() == BOUNCE_BYTES)?;
        let (payload, mac) = bytes.split_at(BOUNCE_BYTES - BOUNCE_MAC_BYTES);
        let expected = self.lasting(&[b"b", payload].concat());
        aws_lc_rs::constant_time::verify_slices_are_equal(&expected[..BOUNCE_MAC_BYTES], mac).ok()?;
        let subscriber = SubscriberId(Uuid::from_slice(&payload[..16]).ok()?);
        let digest_end: [u8; 4] = payload[16..].try_into().ok()?;
        Some(BounceToken { subscriber, digest_end: (digest_end != [0; 4]).then_some(digest_end) })
    }

    /// What stands for an address where the address itself must not: in suppressions, after its owner is gone.
    pub fn address_hash(&self, address_key: &str) -> String {
        hex(&self.lasting(&[b"a", address_key.as_bytes()].concat()))
    }

    /// A keyed hash that a new key does not change: made with the oldest.
    fn lasting(&self, bytes: &[u8]) -> [u8; MAC_BYTES] {
        let mac = hmac::sign(&self.keys[self.keys.len() - 1], bytes);
        std::array::from_fn(|at| mac.as_ref()[at])
    }
}

fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity((bytes.len() * 8).div_ceil(5));
    let (mut held, mut bits) = (0_u32, 0);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(BASE32[(held >> bits) as usize & 31]));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(char::from(BASE32[(held << (5 - bits)) as usize & 31]));
    }
    text
}

/// The bytes; `None` where a character does not belong, or bits are left over that [`base32`] would not have written.
fn unbase32(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut held, mut bits) = (0_u32, 0);
    for c in text.bytes() {
        let value = BASE32.iter().position(|known| *known == c.to_ascii_lowercase())?;
        held = (held << 5) | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xFF).ok()?);
            held &= (1 << bits) - 1;
        }
    }
    (bits < 5 && held == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(expires_at: Option<&str>) -> Link {
        Link {
            purpose: Purpose::Leave,
            subscriber: SubscriberId(Uuid::from_u128(7)),
            feed: FeedName::parse("news"),
            expires_at: expires_at.map(|at| at.parse().unwrap()),
        }
    }

    fn now() -> DateTime<Utc> {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn ring(keys: &[[u8; 32]]) -> Keyring {
        Keyring::new(keys).unwrap()
    }

    #[test]
    fn a_token_brings_back_its_link() {
        let ring = ring(&[[1; 32]]);
        for link in [link(None), link(Some("2026-11-25T12:00:00Z")), Link { feed: None, ..link(None) }] {
            assert_eq!(ring.verify(Purpose::Leave, &ring.sign(&link), now()), Some(link));
        }
    }

    #[test]
    fn no_bit_of_a_token_can_be_changed() {
        let ring = ring(&[[1; 32]]);
        let bytes = URL_SAFE_NO_PAD.decode(ring.sign(&link(None))).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(ring.verify(Purpose::Leave, &URL_SAFE_NO_PAD.encode(forged), now()), None);
        }
        for cut in 0..bytes.len() {
            assert_eq!(ring.verify(Purpose::Leave, &URL_SAFE_NO_PAD.encode(&bytes[..cut]), now()), None);
        }
    }

    #[test]
    fn a_token_serves_one_purpose_and_ends_with_its_time() {
        let ring = ring(&[[1; 32]]);
        assert_eq!(ring.verify(Purpose::Preferences, &ring.sign(&link(None)), now()), None);
        assert_eq!(ring.verify(Purpose::Leave, &ring.sign(&link(Some("2026-11-24T12:00:00Z"))), now()), None);
    }

    #[test]
    fn the_token_of_an_own_feed_is_good_for_that_alone() {
        let ring = ring(&[[1; 32]]);
        let own = OwnFeed { subscriber: SubscriberId(Uuid::from_u128(7)), version: 3 };
        let token = ring.sign_own_feed(own);
        assert_eq!(ring.verify_own_feed(&token), Some(own));
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(ring.verify_own_feed(&URL_SAFE_NO_PAD.encode(&forged)), None);
        }
        for purpose in [Purpose::Confirm, Purpose::Leave, Purpose::Preferences] {
            assert_eq!(ring.verify(purpose, &token, now()), None);
            assert_eq!(ring.verify_own_feed(&ring.sign(&Link { purpose, feed: None, ..link(None) })), None);
        }
        assert_eq!(Keyring::new(&[[2; 32]]).unwrap().verify_own_feed(&token), None);
    }

    #[test]
    fn every_purpose_has_tokens_of_its_own() {
        let ring = ring(&[[1; 32]]);
        const ALL: [Purpose; 6] =
            [Purpose::Confirm, Purpose::Leave, Purpose::Preferences, Purpose::Return, Purpose::Erase, Purpose::Address];
        for signed in ALL {
            let token = ring.sign(&Link { purpose: signed, ..link(None) });
            for asked in ALL {
                assert_eq!(ring.verify(asked, &token, now()).is_some(), asked == signed, "{signed:?} as {asked:?}");
            }
            assert_eq!(ring.verify_address(&token, now()).is_some(), signed == Purpose::Address);
        }
    }

    #[test]
    fn a_token_that_moves_mail_is_bound_to_its_address() {
        let (ring, who) = (ring(&[[1; 32]]), SubscriberId(Uuid::from_u128(7)));
        let (one, other) = (ring.address_hash("a@b.example"), ring.address_hash("c@b.example"));
        let until = now() + chrono::TimeDelta::hours(1);
        let token = ring.sign_address(who, &one, until);
        assert_eq!(ring.verify_address(&token, now()), Some((who, one)));
        assert_ne!(token, ring.sign_address(who, &other, until));
        assert_eq!(ring.verify_address(&token, until), None);
        let bytes = URL_SAFE_NO_PAD.decode(token).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(ring.verify_address(&URL_SAFE_NO_PAD.encode(forged), now()), None);
        }
    }

    #[test]
    fn a_bounce_token_brings_back_whom_it_is_about_in_either_case() {
        let ring = ring(&[[1; 32]]);
        let (digest, subscriber) = (DigestId(Uuid::from_u128(0xDEAD_BEEF)), SubscriberId(Uuid::from_u128(2)));
        for digest in [Some(digest), None] {
            let token = ring.bounce_token(subscriber, digest);
            assert_eq!(token.len(), BounceToken::CHARACTERS);
            assert!(token.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{token}");
            let read = ring.read_bounce_token(&token.to_uppercase()).unwrap();
            assert_eq!(read.subscriber, subscriber);
            assert_eq!(digest.is_some_and(|digest| read.is_of(digest)), digest.is_some());
        }
        assert_eq!(BounceToken::CHARACTERS, 52);
    }

    #[test]
    fn no_bit_of_a_bounce_token_can_be_changed() {
        let ring = ring(&[[1; 32]]);
        let token = ring.bounce_token(SubscriberId(Uuid::from_u128(7)), Some(DigestId(Uuid::from_u128(9))));
        for at in 0..token.len() {
            for other in BASE32 {
                let mut forged = token.clone().into_bytes();
                if forged[at] != *other {
                    forged[at] = *other;
                    assert_eq!(ring.read_bounce_token(std::str::from_utf8(&forged).unwrap()), None, "{at}");
                }
            }
            assert_eq!(ring.read_bounce_token(&token[..at]), None);
        }
        for other in [format!("{token}a"), format!("{token}="), token.replace(&token[..1], "1"), String::new()] {
            assert_eq!(ring.read_bounce_token(&other), None, "{other}");
        }
        // Made with another key, or for another purpose.
        assert_eq!(Keyring::new(&[[2; 32]]).unwrap().read_bounce_token(&token), None);
        assert_eq!(ring.read_bounce_token(&ring.sign(&link(None))), None);
    }

    #[test]
    fn base32_is_that_of_the_rfc() {
        for (bytes, text) in [("", ""), ("f", "my"), ("fo", "mzxq"), ("foo", "mzxw6"), ("foobar", "mzxw6ytboi")] {
            assert_eq!(base32(bytes.as_bytes()), text);
            assert_eq!(unbase32(text).as_deref(), Some(bytes.as_bytes()));
        }
        for text in ["m", "mz1q", "mz q", "mzxr", "mzxw6y", "ß"] {
            assert_eq!(unbase32(text), None, "{text}");
        }
    }

    #[test]
    fn an_old_key_still_verifies_and_keeps_message_ids() {
        let (old, both, new) = (ring(&[[1; 32]]), ring(&[[2; 32], [1; 32]]), ring(&[[2; 32]]));
        assert!(both.verify(Purpose::Leave, &old.sign(&link(None)), now()).is_some());
        assert!(new.verify(Purpose::Leave, &old.sign(&link(None)), now()).is_none());
        let (digest, subscriber) = (DigestId(Uuid::from_u128(1)), SubscriberId(Uuid::from_u128(2)));
        assert_eq!(old.message_id(digest, subscriber), both.message_id(digest, subscriber));
    }
}
