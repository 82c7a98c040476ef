//! What must hold for any bytes whatever. Each target is a plain function that panics where it does not: `src/main.rs`
//! runs them on stable Rust with a mutator of its own, `fuzz_targets/` under libFuzzer with its sense of coverage.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveTime, TimeDelta, Utc, Weekday};
use tidings::domain::address::{EmailAddress, Mailbox};
use tidings::domain::delivery::{Outcome, TEXT_MAX};
use tidings::domain::feed::FeedName;
use tidings::domain::link::{Keyring, Link, Purpose};
use tidings::domain::newsletter::Rhythm;
use tidings::domain::relay::Secret;
use tidings::domain::subscription::SubscriberId;
use tidings::domain::text::one_line;
use tidings::mail::report::{self, Report};
use tidings::mail::smtp::{Connection, Limits, RelaySettings, Tls};
use tidings::mail::webhook::{mailgun, postmark, sendgrid, ses};
use tidings::problem::printable;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A target.
pub type Target = fn(&[u8]);

/// All of them, by name.
pub const TARGETS: [(&str, Target); 7] = [
    ("address", address),
    ("mailbox", mailbox),
    ("token", token),
    ("slots", slots),
    ("dialogue", dialogue),
    ("report", report),
    ("webhook", webhook),
];

/// What is taken for an address is one line, fits into an envelope, and means the same when it is read again.
pub fn address(bytes: &[u8]) {
    let Ok(address) = EmailAddress::parse(&String::from_utf8_lossy(bytes)) else { return };
    let text = address.as_str();
    assert!(!text.is_empty() && text.len() <= 320, "{text:?}");
    assert!(!text.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>')), "{text:?}");
    assert!(address.domain().is_ascii(), "{text:?}");
    let again = EmailAddress::parse(text).unwrap_or_else(|fault| panic!("{text:?} is not read again: {fault}"));
    assert_eq!(again, address);
    assert_eq!(again.key(), address.key());
    let key = EmailAddress::parse(&address.key()).unwrap_or_else(|fault| panic!("the key of {text:?}: {fault}"));
    assert_eq!(key.key(), address.key(), "{text:?}");
    // No address, only something to count by.
    assert!(!address.alias_key().is_empty(), "{text:?}");
}

/// A name is one line in which nothing deceives: it goes into a header, and onto an editor's screen.
pub fn mailbox(bytes: &[u8]) {
    let Ok(mailbox) = Mailbox::parse(&String::from_utf8_lossy(bytes)) else { return };
    let name = mailbox.name.as_deref().unwrap_or_default();
    assert!(!name.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')), "{name:?}");
    assert_eq!((one_line(name).as_str(), printable(name).as_str()), (name, name));
    assert_eq!(Mailbox::new(mailbox.name.as_deref(), mailbox.address.clone()), mailbox);
    address(mailbox.address.as_str().as_bytes());
}

/// A token that we did not sign, or signed for something else, or that was changed in any bit, allows nothing.
pub fn token(bytes: &[u8]) {
    const PURPOSES: [Purpose; 3] = [Purpose::Confirm, Purpose::Leave, Purpose::Preferences];
    let keyring = Keyring::new(&[[7_u8; 32]]).expect("a key");
    // A whole minute, as tokens have it.
    let now = DateTime::from_timestamp(1_789_999_980, 0).expect("an instant");
    let text = String::from_utf8_lossy(bytes);
    for purpose in PURPOSES {
        assert_eq!(keyring.verify(purpose, &text, now), None);
    }
    let [choice, place, mask, rest @ ..] = bytes else { return };
    let mut subscriber = [0; 16];
    subscriber.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let feed = FeedName::parse(&String::from_utf8_lossy(rest.get(16..).unwrap_or_default()));
    let link = Link {
        purpose: PURPOSES[usize::from(*choice) % 3],
        subscriber: SubscriberId(uuid::Uuid::from_bytes(subscriber)),
        feed,
        expires_at: (*choice > 127).then(|| now + TimeDelta::minutes(1)),
    };
    let signed = keyring.sign(&link);
    assert_eq!(keyring.verify(link.purpose, &signed, now).as_ref(), Some(&link));
    for other in PURPOSES.into_iter().filter(|other| *other != link.purpose) {
        assert_eq!(keyring.verify(other, &signed, now), None);
    }
    if link.expires_at.is_some() {
        assert_eq!(keyring.verify(link.purpose, &signed, now + TimeDelta::minutes(2)), None);
    }
    let mut changed = signed.clone().into_bytes();
    let place = usize::from(*place) % changed.len();
    changed[place] ^= (mask & 0x7f).max(1);
    assert_eq!(keyring.verify(link.purpose, &String::from_utf8_lossy(&changed), now), None, "{signed}");
}

/// Whoever any of our tokens in the corpus is about.
const READER: SubscriberId = SubscriberId(uuid::Uuid::from_u128(7));

fn is_fit(report: &Report) {
    let text = &report.text;
    assert!(text.chars().count() <= TEXT_MAX && !text.chars().any(|c| c.is_control() && c != '\t'), "{text:?}");
    let keyring = Keyring::new(&[[7_u8; 32]]).expect("a key");
    for token in &report.traces.tokens {
        assert!(keyring.read_bounce_token(token).is_none_or(|found| found.subscriber == READER), "{token}");
    }
    for link in &report.traces.links {
        let now = DateTime::from_timestamp(1_789_999_980, 0).expect("an instant");
        assert_eq!(keyring.verify(Purpose::Leave, link, now), None, "{link}");
    }
    if let Some(code) = report.code {
        assert!(matches!(code.0, 2 | 4 | 5), "{code:?}");
    }
}

/// A message that claims to be a report: what is kept of it is fit to keep, it names nobody whom we did not name, it
/// says the same when it comes again, and it is read soon.
pub fn report(bytes: &[u8]) {
    let begun = Instant::now();
    let report = report::read(bytes, None);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    is_fit(&report);
    assert_eq!(report::read(bytes, None), report);
}

/// What somebody posts: unsigned it is refused; signed it is read like any report.
pub fn webhook(bytes: &[u8]) {
    /// HMAC-SHA-256 of the time and the token, by the key "key".
    const SIGNED: &str = r#"{"signature":{"timestamp":"1789999980","token":"token-of-one-request","signature":"7cb18c25838f6a13d0b0b38098a9e38adc4c87c02bd9105753c2eb01002282e5"},"event-data":"#;
    let now = DateTime::from_timestamp(1_789_999_980, 0).expect("an instant");
    let (key, password) = (Secret::new("key"), Secret::new("password"));
    let text = String::from_utf8_lossy(bytes);
    assert!(mailgun::read(bytes, &Secret::new("another"), now).is_err());
    assert!(ses::read(bytes, "arn:aws:sns:eu-west-1:123456789012:bounces", "no certificate").is_err());
    assert!(sendgrid::read(bytes, &text, "1789999980", "no key", now).is_err());
    assert!(postmark::read(bytes, &text, "tidings", &password).is_err());
    let mut signed = SIGNED.as_bytes().to_vec();
    signed.extend_from_slice(bytes);
    signed.push(b'}');
    if let Ok(signed) = mailgun::read(&signed, &key, now) {
        is_fit(&signed.report);
    }
    // "tidings:password".
    if let Ok(report) = postmark::read(bytes, "Basic dGlkaW5nczpwYXNzd29yZA==", "tidings", &password) {
        is_fit(&report);
    }
}

/// The next slot is later, none is passed over, and the last one that was missed is the last indeed.
pub fn slots(bytes: &[u8]) {
    let Some((seed, _)) = bytes.split_first_chunk::<16>() else { return };
    let number = |at: usize| u32::from_be_bytes([seed[at], seed[at + 1], seed[at + 2], seed[at + 3]]);
    let time = NaiveTime::from_num_seconds_from_midnight_opt(number(0) % 86_400 / 60 * 60, 0).expect("a time of day");
    let rhythm = match seed[4] % 3 {
        0 => Rhythm::Daily(time),
        1 => Rhythm::Weekly(Weekday::try_from(seed[5] % 7).expect("a day of the week"), time),
        _ => Rhythm::Monthly(u32::from(seed[5] % 31) + 1, time),
    };
    let zones = chrono_tz::TZ_VARIANTS;
    let zone = zones[usize::from(u16::from_be_bytes([seed[6], seed[7]])) % zones.len()];
    // 1970 to 2106, which is what a clock may show.
    let after: DateTime<Utc> = DateTime::from_timestamp(i64::from(number(8)), 0).expect("an instant");
    let span = TimeDelta::seconds(i64::from(number(12) % (400 * 86_400)));
    let slot = rhythm.next_slot(zone, after).expect("a slot");
    let what = format!("{rhythm:?} in {zone} after {after}");
    assert!(slot > after, "{what}: {slot}");
    assert!(slot - after <= TimeDelta::days(33), "{what}: {slot}");
    let later = rhythm.next_slot(zone, after + span).expect("a slot");
    assert!(later >= slot, "{what}: {slot}, but {later} after {}", after + span);
    match rhythm.last_slot(zone, after, after + span) {
        None => assert!(slot > after + span, "{what}: {slot} was passed over until {}", after + span),
        Some(last) => {
            assert!(after < last && last <= after + span, "{what}: {last}");
            assert_eq!(rhythm.next_slot(zone, last), Some(later), "{what}: {last} is not the last");
        }
    }
}

thread_local! {
    static RUNTIME: RefCell<tokio::runtime::Runtime> = RefCell::new(
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
    );
}

/// A relay that answers with these bytes, a piece (up to each NUL) at a time: the dialogue comes to an end, what is
/// kept of it is fit to keep, and only who says 354 and 250 has taken a message.
pub fn dialogue(bytes: &[u8]) {
    let outcome = RUNTIME.with_borrow(|runtime| runtime.block_on(talk(bytes)));
    let text = match &outcome {
        Outcome::Accepted { reply } => reply,
        Outcome::Refused { text, .. } | Outcome::Deferred { text, .. } | Outcome::Unknown { text } => text,
    };
    assert!(text.chars().count() <= TEXT_MAX && !text.chars().any(|c| c.is_control() && c != '\t'), "{outcome:?}");
    if let Outcome::Accepted { .. } = outcome {
        let has = |code: &[u8]| bytes.windows(code.len()).any(|window| window == code);
        assert!(has(b"3") && has(b"2"), "{outcome:?}");
    }
}

async fn talk(bytes: &[u8]) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let relay = async {
        let Ok((mut stream, _)) = listener.accept().await else { return };
        let mut heard = [0; 4096];
        for piece in bytes.split(|byte| *byte == 0) {
            if stream.write_all(piece).await.is_err() || !matches!(stream.read(&mut heard).await, Ok(1..)) {
                return;
            }
        }
    };
    // Who waits for the other's half of a line waits in vain.
    let short = Duration::from_millis(10);
    let client = async {
        let mut settings = RelaySettings::new("127.0.0.1", port, Tls::None);
        settings.hello = Some("lantern.example".into());
        settings.limits =
            Limits { connect: short, command: short, data: short, block: short, dot: short, farewell: short };
        let mut connection = match Connection::open(&settings).await {
            Ok(connection) => connection,
            Err(outcome) => return outcome,
        };
        let to = EmailAddress::parse("mara@reader.example").expect("an address");
        let first = connection.send("news@lantern.example", &to, b"Subject: a\r\n\r\n.b\r\n").await;
        connection.send("news@lantern.example", &to, b"Subject: c\r\n\r\nd\r\n").await;
        connection.quit().await;
        first
    };
    let both = async {
        tokio::pin!(client);
        tokio::select! {
            outcome = &mut client => outcome,
            () = relay => client.await,
        }
    };
    tokio::time::timeout(Duration::from_secs(10), both).await.expect("the dialogue comes to an end")
}
