//! Segments: a selection of subscribers under a name, one file each in `segments/`.
//!
//! What a selection means is said twice: by [`Whom::takes`] here, for one person, and as SQL in `store/segments.rs`, for
//! all. `tests/segments.rs` holds the two against each other. Words are compared without regard to the case of A to Z.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::article::Slug;
use super::attributes::{Attributes, word};
use super::feed::FeedName;
use super::newsletter::Cadence;
use super::subscription::SubscriptionState;
use super::text::one_line;

/// The name of a segment: its file's name, made like a feed's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SegmentName(String);

impl SegmentName {
    /// A name, if `text` is one: lower-case ASCII letters, digits, single hyphens.
    pub fn parse(text: &str) -> Option<Self> {
        Slug::from_text(text).filter(|slug| slug.as_str() == text).map(|slug| Self(slug.as_str().to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A segment as its file defines it.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// The file's name.
    pub name: SegmentName,
    /// Title.
    pub title: String,
    /// Who is in it.
    pub whom: Whom,
}

/// Words, any of which will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words(Vec<String>);

impl Words {
    /// These, as they are compared.
    pub fn new<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> Self {
        Self(words.into_iter().map(|word| one_line(word.as_ref()).to_ascii_lowercase()).collect())
    }

    /// As they are compared: one line each, in small letters.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    fn hold(&self, value: &str) -> bool {
        self.0.iter().any(|word| word.eq_ignore_ascii_case(value))
    }
}

/// A point in time, or so long before a segment is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Then.
    At(DateTime<Utc>),
    /// So long ago.
    Ago(TimeDelta),
}

impl Moment {
    /// When that is, at `now`.
    pub fn at(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(at) => at,
            Self::Ago(time) => now.checked_sub_signed(time).unwrap_or(DateTime::<Utc>::MIN_UTC),
        }
    }
}

/// A stretch of time: from `after` on, up to `before`; what is not given has no end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Within {
    /// From then on.
    pub after: Option<Moment>,
    /// Up to then.
    pub before: Option<Moment>,
}

impl Within {
    /// Whether nothing is asked for.
    pub fn is_always(self) -> bool {
        self.after.is_none() && self.before.is_none()
    }

    fn holds(self, at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
        self.after.is_none_or(|after| at.is_some_and(|at| at >= after.at(now)))
            && self.before.is_none_or(|before| at.is_some_and(|at| at < before.at(now)))
    }
}

/// A stretch of numbers, without its ends.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Between {
    /// Greater than this.
    pub above: Option<f64>,
    /// Less than this.
    pub below: Option<f64>,
}

impl Between {
    fn holds(self, number: f64) -> bool {
        self.above.is_none_or(|above| number > above) && self.below.is_none_or(|below| number < below)
    }
}

/// What is asked of an attribute. A list meets a test when one of its values does.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// It is one of these, written out.
    Is(Words),
    /// It is a number between these.
    Between(Between),
    /// There is one, or there is none.
    Set(bool),
}

/// Who is meant.
#[derive(Debug, Clone, PartialEq)]
pub enum Whom {
    /// Each of these holds.
    All(Vec<Whom>),
    /// At least one of these holds.
    Any(Vec<Whom>),
    /// This does not hold.
    Not(Box<Whom>),
    /// One subscription of theirs is all of this; what is empty does not matter.
    Takes {
        /// Of one of these feeds.
        feeds: Vec<FeedName>,
        /// At one of these cadences.
        cadences: Vec<Cadence>,
        /// In one of these states.
        states: Vec<SubscriptionState>,
        /// Confirmed then.
        confirmed: Within,
    },
    /// Their language, or the publication's where they named none, is one of these.
    Speaks(Words),
    /// Their clock stands in one of these zones; the publication's where they named none.
    Lives(Vec<Tz>),
    /// An attribute of theirs meets a test.
    Has(String, Test),
    /// They came then.
    Joined(Within),
    /// The last mail that a relay accepted for them was then.
    Delivered(Within),
    /// No mail for them was ever accepted.
    NeverDelivered,
    /// So many bounces, hard and soft, came back from their address.
    Bounces(Between),
    /// So many complaints came back from it.
    Complaints(Between),
    /// No mail goes to their address.
    Suppressed(bool),
}

/// What a segment is judged by, besides the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The language of who named none.
    pub language: String,
    /// The time zone of who named none.
    pub time_zone: Tz,
    /// When it is looked at.
    pub now: DateTime<Utc>,
}

/// A subscription, as far as segments ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The feed.
    pub feed: FeedName,
    /// How often.
    pub cadence: Cadence,
    /// Where it stands.
    pub state: SubscriptionState,
    /// When it was confirmed, if it was.
    pub confirmed_at: Option<DateTime<Utc>>,
}

/// A person, as far as segments ask.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// Language tag, if they named one.
    pub language: Option<String>,
    /// Time zone, if they named one.
    pub time_zone: Option<Tz>,
    /// Attributes.
    pub attributes: Attributes,
    /// When they came.
    pub joined_at: DateTime<Utc>,
    /// What they subscribed to.
    pub subscriptions: Vec<Standing>,
    /// When the last mail was accepted for them, if any was.
    pub delivered_at: Option<DateTime<Utc>>,
    /// Bounces, hard and soft.
    pub bounces: u32,
    /// Complaints.
    pub complaints: u32,
    /// Whether no mail goes to their address.
    pub is_suppressed: bool,
}

impl Whom {
    /// Everyone.
    pub const EVERYONE: Self = Self::All(vec![]);

    /// Whether `person` is meant.
    pub fn takes(&self, person: &Person, setting: &Setting) -> bool {
        let now = setting.now;
        match self {
            Self::All(each) => each.iter().all(|whom| whom.takes(person, setting)),
            Self::Any(some) => some.iter().any(|whom| whom.takes(person, setting)),
            Self::Not(whom) => !whom.takes(person, setting),
            Self::Takes { feeds, cadences, states, confirmed } => person.subscriptions.iter().any(|one| {
                (feeds.is_empty() || feeds.contains(&one.feed))
                    && (cadences.is_empty() || cadences.contains(&one.cadence))
                    && (states.is_empty() || states.contains(&one.state))
                    && confirmed.holds(one.confirmed_at, now)
            }),
            Self::Speaks(words) => words.hold(person.language.as_deref().unwrap_or(&setting.language)),
            Self::Lives(zones) => zones.contains(&person.time_zone.unwrap_or(setting.time_zone)),
            Self::Has(name, test) => {
                let mut each = person.attributes.each(name);
                match test {
                    Test::Is(words) => each.filter_map(word).any(|value| words.hold(&value)),
                    Test::Between(between) => {
                        each.any(|value| value.as_f64().is_some_and(|number| between.holds(number)))
                    }
                    Test::Set(is_set) => person.attributes.get(name).is_some() == *is_set,
                }
            }
            Self::Joined(within) => within.holds(Some(person.joined_at), now),
            Self::Delivered(within) => within.holds(person.delivered_at, now),
            Self::NeverDelivered => person.delivered_at.is_none(),
            Self::Bounces(between) => between.holds(f64::from(person.bounces)),
            Self::Complaints(between) => between.holds(f64::from(person.complaints)),
            Self::Suppressed(is_suppressed) => person.is_suppressed == *is_suppressed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person() -> Person {
        let at = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        Person {
            language: None,
            time_zone: None,
            attributes: Attributes::parse(r#"{"city": "Port Example", "visits": 7, "tags": ["keeper", 3]}"#).unwrap(),
            joined_at: at,
            subscriptions: vec![Standing {
                feed: FeedName::parse("news").unwrap(),
                cadence: Cadence::Weekly,
                state: SubscriptionState::Active,
                confirmed_at: Some(at),
            }],
            delivered_at: None,
            bounces: 1,
            complaints: 0,
            is_suppressed: false,
        }
    }

    #[test]
    fn a_selection_takes_who_meets_all_of_it() {
        let person = person();
        let setting = Setting {
            language: "en".into(),
            time_zone: Tz::Europe__Lisbon,
            now: person.joined_at + TimeDelta::days(9),
        };
        let has = |name: &str, test| Whom::Has(name.into(), test);
        let is = |word: &str| Test::Is(Words::new([word]));
        let above = |above| Test::Between(Between { above: Some(above), below: None });
        let takes = |cadences: &[Cadence]| Whom::Takes {
            feeds: vec![FeedName::parse("news").unwrap()],
            cadences: cadences.to_vec(),
            states: vec![],
            confirmed: Within::default(),
        };
        let ago = |days| Some(Moment::Ago(TimeDelta::days(days)));
        for (whom, is_meant) in [
            (Whom::EVERYONE, true),
            (Whom::Any(vec![]), false),
            (has("city", is("PORT example")), true),
            (has("tags", is("3")), true),
            (has("visits", is("7")), true),
            (has("visits", above(6.5)), true),
            (has("visits", above(7.0)), false),
            (has("city", above(0.0)), false),
            (has("plan", Test::Set(false)), true),
            (takes(&[Cadence::Weekly]), true),
            (takes(&[Cadence::Daily]), false),
            (Whom::Not(Box::new(takes(&[Cadence::Daily]))), true),
            (Whom::Speaks(Words::new(["EN"])), true),
            (Whom::Lives(vec![Tz::UTC]), false),
            (Whom::Joined(Within { after: ago(10), before: ago(9) }), false),
            (Whom::Joined(Within { after: ago(9), before: None }), true),
            (Whom::Delivered(Within { after: None, before: ago(0) }), false),
            (Whom::NeverDelivered, true),
            (Whom::Bounces(Between { above: Some(0.0), below: None }), true),
            (Whom::Suppressed(true), false),
        ] {
            assert_eq!(whom.takes(&person, &setting), is_meant, "{whom:?}");
        }
    }
}
