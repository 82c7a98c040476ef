//! Passes of the sign-up form: what stands in the place of a captcha.
//!
//! A form without a pass is not refused: its answer brings one, for this address, this text that is agreed to and this
//! hour. A pass is good when its form comes again with a number that took some computing to find (a script does that, at
//! once), or later than a machine would wait (a person who presses the one button of a page). Nothing is kept: the MAC
//! says that it is ours.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};

use super::link::Keyring;

/// How long a pass is good.
pub const PASS_LIFE: TimeDelta = TimeDelta::days(1);
/// How long a pass rests where no work was done for it: a person reads a page before pressing its button.
pub const PASS_RESTS: TimeDelta = TimeDelta::seconds(2);
/// Clocks of several machines may differ by so much.
const LENIENCE: TimeDelta = TimeDelta::minutes(1);
/// Bytes of the time: milliseconds since 1970, until the year 10889.
const TIME_BYTES: usize = 6;

/// What somebody asks for, as far as a pass is bound to it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The address as its key.
    pub address_key: &'a str,
    /// Version of the text that they agreed to.
    pub consent: &'a str,
}

/// What a form may do that comes with a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All.
    Good,
    /// Nothing yet: the pass is ours and has not rested, and no work was done.
    Early,
    /// Nothing: there is no pass, or it is another's, or too old.
    Bad,
}

impl Keyring {
    /// A pass, issued at `now`.
    pub fn pass(&self, asked: Asked<'_>, now: DateTime<Utc>) -> String {
        let mut bytes = now.timestamp_millis().to_be_bytes()[8 - TIME_BYTES..].to_vec();
        let mac = self.seal(&sealed(&bytes, asked));
        bytes.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a form may do that has this pass and this number; `work` is how many zero bits the number has to bring.
    pub fn judge(&self, pass: &str, number: &str, work: u32, asked: Asked<'_>, now: DateTime<Utc>) -> Verdict {
        let issued = self.issued(pass, asked);
        let Some(age) = issued.map(|issued| now - issued).filter(|age| *age >= -LENIENCE && *age < PASS_LIFE) else {
            return Verdict::Bad;
        };
        if is_worked(pass, number, work) || age >= PASS_RESTS { Verdict::Good } else { Verdict::Early }
    }

    fn issued(&self, pass: &str, asked: Asked<'_>) -> Option<DateTime<Utc>> {
        let bytes = URL_SAFE_NO_PAD.decode(pass).ok()?;
        let (time, mac) = bytes.split_at_checked(TIME_BYTES)?;
        if !self.is_sealed(&sealed(time, asked), mac) {
            return None;
        }
        let millis = time.iter().fold(0_i64, |millis, byte| millis << 8 | i64::from(*byte));
        DateTime::from_timestamp_millis(millis)
    }
}

/// What the MAC is of. No address has a NUL in it, so the parts cannot be moved against one another.
fn sealed(time: &[u8], asked: Asked<'_>) -> Vec<u8> {
    [b"f", time, asked.consent.as_bytes(), &[0], asked.address_key.as_bytes()].concat()
}

/// Whether the SHA-256 of `pass:number` begins with so many zero bits. A script tries twice to the power of `work` numbers
/// until it finds one.
pub fn is_worked(pass: &str, number: &str, work: u32) -> bool {
    if number.is_empty() || number.len() > 20 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [pass, ":", number] {
        context.update(part.as_bytes());
    }
    let hash = context.finish();
    let first = hash.as_ref().first_chunk().map_or(u64::MAX, |bytes| u64::from_be_bytes(*bytes));
    first.leading_zeros() >= work
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked<'_> = Asked { address_key: "mara@quill.example", consent: "12ab" };

    fn ring(key: u8) -> Keyring {
        Keyring::new(&[[key; 32]]).unwrap()
    }

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_800_000_000_000 + millis).unwrap()
    }

    fn worked(pass: &str, work: u32) -> String {
        (0..1_000_000).map(|number: u64| number.to_string()).find(|number| is_worked(pass, number, work)).unwrap()
    }

    #[test]
    fn a_pass_is_earned_by_work_or_by_waiting_and_lives_a_day() {
        let ring = ring(1);
        let pass = ring.pass(ASKED, at(0));
        let number = worked(&pass, 8);
        let judge = |number: &str, millis| ring.judge(&pass, number, 8, ASKED, at(millis));
        assert_eq!(judge("", 0), Verdict::Early);
        assert_eq!(judge("", 1999), Verdict::Early);
        assert_eq!(judge("", 2000), Verdict::Good);
        assert_eq!(judge(&number, 0), Verdict::Good);
        assert_eq!(judge(&number, -30_000), Verdict::Good, "another machine's clock");
        assert_eq!(judge(&number, -61_000), Verdict::Bad);
        let day = 24 * 3600 * 1000;
        assert_eq!(judge(&number, day - 1), Verdict::Good);
        assert_eq!(judge(&number, day), Verdict::Bad);
    }

    #[test]
    fn a_pass_is_for_one_address_and_one_text_and_no_bit_of_it_can_be_changed() {
        let ring1 = ring(1);
        let pass = ring1.pass(ASKED, at(0));
        let judge = |pass: &str, asked| ring1.judge(pass, "", 8, asked, at(5000));
        assert_eq!(judge(&pass, ASKED), Verdict::Good);
        for asked in [
            Asked { address_key: "other@quill.example", ..ASKED },
            Asked { consent: "12", address_key: "abmara@quill.example" },
            Asked { consent: "", ..ASKED },
        ] {
            assert_eq!(judge(&pass, asked), Verdict::Bad, "{asked:?}");
        }
        let bytes = URL_SAFE_NO_PAD.decode(&pass).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(judge(&URL_SAFE_NO_PAD.encode(forged), ASKED), Verdict::Bad, "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert_eq!(judge(&URL_SAFE_NO_PAD.encode(&bytes[..cut]), ASKED), Verdict::Bad, "cut at {cut}");
        }
        for text in ["", "x", "=", "not base64 at all \u{0}", &format!("{pass}A"), &format!("{pass}=")] {
            assert_eq!(judge(text, ASKED), Verdict::Bad, "{text:?}");
        }
        assert_eq!(ring(2).judge(&pass, "", 8, ASKED, at(5000)), Verdict::Bad);
    }

    #[test]
    fn work_is_a_number_and_counts_for_its_pass_alone() {
        let ring = ring(1);
        let (pass, other) = (ring.pass(ASKED, at(0)), ring.pass(ASKED, at(1)));
        let number = worked(&pass, 12);
        assert!(is_worked(&pass, &number, 12) && !is_worked(&other, &number, 12));
        for text in ["", "-1", "1e9", " 1", "123456789012345678901", "٣"] {
            assert!(!is_worked(&pass, text, 0), "{text:?}");
        }
        assert!(is_worked(&pass, "0", 0));
        // printf 'abc:0' | sha256sum begins with 5: of its bits the first alone is zero.
        assert!(is_worked("abc", "0", 1) && !is_worked("abc", "0", 2));
    }
}
