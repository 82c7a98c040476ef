//! What is asked of our hub, and what it asks back (WebSub, W3C Recommendation of 23 January 2018). Pure.
//!
//! A *listener* is a callback that wants to be told of one topic, the address of a feed document. It is told until its
//! lease runs out; whoever asks for it has to show with a challenge that the callback wants it.

use chrono::{DateTime, TimeDelta, Utc};
use url::Url;

use super::notice::wait_after;

/// How long a listener is told that names no time: as §5.1 advises.
pub const LEASE: TimeDelta = TimeDelta::days(10);
/// A shorter lease would be asked for anew all the time.
pub const LEASE_MIN: TimeDelta = TimeDelta::hours(1);
/// A longer one would keep those who are gone.
pub const LEASE_MAX: TimeDelta = TimeDelta::days(30);

/// A secret is shorter than so many bytes (§5.1).
pub const SECRET_BELOW: usize = 200;

/// Longest callback, in bytes: what browsers and servers agree to take.
const MAX_CALLBACK: usize = 2048;

/// For how long what a listener did not take is tried again.
pub const LIFE: TimeDelta = TimeDelta::days(1);

/// Listeners at most, of all topics together: some 30 MB, and minutes of telling.
pub const MOST_LISTENERS: u64 = 100_000;

/// Requests that wait for their challenge at most, to one host and to all.
pub const MOST_WAITING: (u64, u64) = (100, 5000);

/// What somebody wants for a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// To be told, or to be told on.
    Subscribe,
    /// Not to be told any more.
    Unsubscribe,
}

impl Mode {
    /// The word for it in requests and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
        }
    }

    /// The mode that a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Subscribe, Self::Unsubscribe].into_iter().find(|mode| mode.as_str() == word)
    }
}

/// What was asked for, as far as it can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// What for.
    pub mode: Mode,
    /// Of which document, as it was written.
    pub topic: String,
    /// Who is to be told.
    pub callback: Url,
    /// For how long, within our bounds.
    pub lease: TimeDelta,
    /// What it is told is signed with.
    pub secret: Option<String>,
}

impl Wish {
    /// Reads the body of a request (`application/x-www-form-urlencoded`); what it names beside is ignored (§5.1).
    ///
    /// # Errors
    /// What is wrong with it, for whoever asked.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let field = |name: &str| {
            url::form_urlencoded::parse(body).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        let needed = |name: &str| field(name).filter(|value| !value.is_empty()).ok_or(format!("{name} is missing"));
        let mode = needed("hub.mode")?;
        let mode = Mode::parse(&mode).ok_or_else(|| match mode.as_str() {
            "publish" => "hub.mode=publish is not taken: this hub tells of its own publication alone".to_owned(),
            _ => "hub.mode is neither subscribe nor unsubscribe".to_owned(),
        })?;
        let (topic, callback) = (needed("hub.topic")?, needed("hub.callback")?);
        let secret = field("hub.secret").filter(|secret| !secret.is_empty());
        if secret.as_ref().is_some_and(|secret| secret.len() >= SECRET_BELOW) {
            return Err(format!("hub.secret is longer than {} bytes", SECRET_BELOW - 1));
        }
        let lease = match field("hub.lease_seconds").filter(|seconds| !seconds.is_empty()) {
            None => LEASE,
            Some(seconds) if seconds.bytes().all(|byte| byte.is_ascii_digit()) => {
                let seconds = seconds.parse().unwrap_or(i64::MAX);
                TimeDelta::try_seconds(seconds).unwrap_or(LEASE_MAX).clamp(LEASE_MIN, LEASE_MAX)
            }
            Some(_) => return Err("hub.lease_seconds is not a number of seconds".to_owned()),
        };
        Ok(Self { mode, topic, callback: parse_callback(&callback)?, lease, secret })
    }

    /// The host that is going to be asked, whatever its port.
    pub fn host(&self) -> &str {
        self.callback.host_str().unwrap_or_default()
    }

    /// Where the challenge is asked for: the callback with its own query, and ours behind it (§5.3).
    pub fn question(&self, challenge: &str) -> Url {
        let mut url = self.callback.clone();
        let mut query = url.query_pairs_mut();
        query.append_pair("hub.mode", self.mode.as_str());
        query.append_pair("hub.topic", &self.topic);
        query.append_pair("hub.challenge", challenge);
        if self.mode == Mode::Subscribe {
            query.append_pair("hub.lease_seconds", &self.lease.num_seconds().to_string());
        }
        drop(query);
        url
    }
}

/// Where a refusal is told, with its reason (§5.2): the callback with its own query, and ours behind it.
pub fn denial(wish: &Wish, reason: &str) -> Url {
    let mut url = wish.callback.clone();
    url.query_pairs_mut()
        .append_pair("hub.mode", "denied")
        .append_pair("hub.topic", &wish.topic)
        .append_pair("hub.reason", reason);
    url
}

fn parse_callback(text: &str) -> Result<Url, String> {
    let url: Option<Url> = text.parse().ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let mut url = url.ok_or("hub.callback is not an address on the web")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("hub.callback holds a name or password: put what is secret into its path".to_owned());
    }
    if url.as_str().len() > MAX_CALLBACK {
        return Err(format!("hub.callback is longer than {MAX_CALLBACK} bytes"));
    }
    url.set_fragment(None);
    Ok(url)
}

/// What follows from how a listener answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It took it.
    Yes,
    /// It is tried again.
    NotNow,
    /// It wants nothing any more (§7).
    Gone,
}

/// What follows from the status of an answer: redirects are no yes.
pub fn heard(status: u16) -> Heard {
    match status {
        200..=299 => Heard::Yes,
        410 => Heard::Gone,
        _ => Heard::NotNow,
    }
}

/// When what was not taken is tried again, after so many attempts; none where it has been failing for too long. Whoever
/// asks for patience gets it, within reason.
pub fn next_try(
    attempts: u32,
    failing_since: DateTime<Utc>,
    asked: Option<TimeDelta>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let wait = TimeDelta::from_std(wait_after(attempts)).unwrap_or(LIFE);
    let wait = wait.max(asked.unwrap_or_default().min(TimeDelta::hours(6)));
    (now + wait <= failing_since + LIFE).then(|| now + wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(more: &str) -> Result<Wish, String> {
        let body = format!("hub.mode=subscribe&hub.topic=https%3A%2F%2Fa.example%2Ffeed&{more}");
        Wish::parse(body.as_bytes())
    }

    const CALLBACK: &str = "hub.callback=https%3A%2F%2Fb.example%2Fc%3Fa%3D1%2526b%26c%26hub.topic%3Dx";

    #[test]
    fn a_request_is_read_and_its_question_keeps_the_query_of_the_callback() {
        let wish = wish(&format!("{CALLBACK}&hub.secret=s&foreign=1&hub.lease_seconds=86400")).unwrap();
        assert_eq!(
            (wish.mode, wish.topic.as_str(), wish.host()),
            (Mode::Subscribe, "https://a.example/feed", "b.example")
        );
        assert_eq!((wish.lease, wish.secret.as_deref()), (TimeDelta::days(1), Some("s")));
        assert_eq!(
            wish.question("x1").as_str(),
            "https://b.example/c?a=1%26b&c&hub.topic=x&hub.mode=subscribe&hub.topic=https%3A%2F%2Fa.example%2Ffeed\
             &hub.challenge=x1&hub.lease_seconds=86400"
        );
    }

    #[test]
    fn a_lease_is_finite_and_within_bounds() {
        let lease = |seconds: &str| wish(&format!("{CALLBACK}&hub.lease_seconds={seconds}")).unwrap().lease;
        assert_eq!(wish(CALLBACK).unwrap().lease, LEASE);
        assert_eq!((lease(""), lease("0"), lease("59")), (LEASE, LEASE_MIN, LEASE_MIN));
        assert_eq!((lease("864001"), lease("99999999999999999999999")), (TimeDelta::seconds(864_001), LEASE_MAX));
    }

    #[test]
    fn what_is_wrong_with_a_request_is_said() {
        let long = "a".repeat(200);
        for (more, said) in [
            ("", "hub.callback is missing"),
            ("hub.callback=", "hub.callback is missing"),
            ("hub.callback=mailto:a@b.example", "hub.callback is not an address on the web"),
            ("hub.callback=file:///etc", "hub.callback is not an address on the web"),
            ("hub.callback=//b.example/", "hub.callback is not an address on the web"),
            (
                "hub.callback=https://a:b@c.example/",
                "hub.callback holds a name or password: put what is secret into its path",
            ),
            (&format!("hub.callback=https://b.example/{}", "a".repeat(2048)), "hub.callback is longer than 2048 bytes"),
            (&format!("{CALLBACK}&hub.secret={long}"), "hub.secret is longer than 199 bytes"),
            (&format!("{CALLBACK}&hub.lease_seconds=-1"), "hub.lease_seconds is not a number of seconds"),
            (&format!("{CALLBACK}&hub.lease_seconds=1e9"), "hub.lease_seconds is not a number of seconds"),
        ] {
            assert_eq!(wish(more).unwrap_err(), said, "{more}");
        }
        assert!(wish(&format!("{CALLBACK}&hub.secret={}", &long[1..])).is_ok());
        assert_eq!(Wish::parse(b"").unwrap_err(), "hub.mode is missing");
        assert!(Wish::parse(b"hub.mode=publish&hub.url=x").unwrap_err().contains("its own publication alone"));
        assert_eq!(Wish::parse(b"hub.mode=x").unwrap_err(), "hub.mode is neither subscribe nor unsubscribe");
        assert!(Wish::parse(b"\xff%ff&&=;%").is_err());
    }

    #[test]
    fn only_a_yes_is_a_yes() {
        assert!([200, 202, 204, 299].into_iter().all(|status| heard(status) == Heard::Yes));
        assert!([199, 301, 307, 400, 404, 500, 503].into_iter().all(|status| heard(status) == Heard::NotNow));
        assert_eq!(heard(410), Heard::Gone);
    }

    #[test]
    fn what_was_not_taken_is_tried_again_for_a_day() {
        let since: DateTime<Utc> = "2026-11-27T08:00:00Z".parse().unwrap();
        let (mut now, mut attempts) = (since, 1);
        while let Some(at) = next_try(attempts, since, None, now) {
            (now, attempts) = (at, attempts + 1);
        }
        assert!((25..=35).contains(&attempts), "{attempts}");
        assert!(now > since + TimeDelta::hours(22) && now <= since + LIFE, "{now}");
        let asked = |seconds| next_try(1, since, Some(TimeDelta::seconds(seconds)), since).unwrap() - since;
        assert_eq!((asked(1), asked(900)), (TimeDelta::seconds(30), TimeDelta::seconds(900)));
        assert_eq!(asked(1_000_000), TimeDelta::hours(6));
    }
}
