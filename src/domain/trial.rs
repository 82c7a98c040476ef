//! Subjects on trial: some readers of a digest get one, some another, and what wins goes to the rest.
//!
//! Nobody's opens or clicks are watched, so what tells subjects apart is what readers do by themselves: leave, complain,
//! or have mail refused for what is in it. Pure counts and hashes, no clock.

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::brakes::Share;
use super::digest::DigestId;
use super::subscription::SubscriberId;

/// Subjects that are tried on a part of the readers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trial {
    /// Templates, from [`Trial::LEAST`] to [`Trial::MOST`] of them; A is the first.
    pub subjects: Vec<String>,
    /// How many of the readers get one of them before the others get any.
    pub share: Share,
    /// How long the others wait.
    #[serde(rename = "for_seconds", serialize_with = "seconds")]
    pub length: TimeDelta,
    /// When it ends; none before the digest is being sent.
    pub until: Option<DateTime<Utc>>,
    /// Which subject the others get; frozen once it is known.
    pub picked: Option<usize>,
}

fn seconds<S: serde::Serializer>(time: &TimeDelta, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(time.num_seconds())
}

/// To what part of a trial a reader belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Gets this subject.
    Tried(usize),
    /// Waits for the one that is picked.
    Rest,
}

/// What became of one subject.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Reception {
    /// Readers who were sent it.
    pub sent: u64,
    /// Of these, who left, complained, or whose provider refused it for its content.
    pub lost: u64,
}

impl Trial {
    /// One subject is no trial.
    pub const LEAST: usize = 2;
    /// More would need more readers than most lists have.
    pub const MOST: usize = 5;
    /// Of a thousand readers two hundred: enough to see a bad subject, few enough to save the others from it.
    pub const SHARE: Share = Share::millionths(200_000);
    /// Who complains or leaves does so soon after reading.
    pub const LENGTH: TimeDelta = TimeDelta::hours(2);

    /// To what part a reader of a digest belongs: the same on every machine and retry, another for each digest.
    pub fn part(&self, of: DigestId, who: SubscriberId) -> Part {
        let hash = digest(&SHA256, &[*of.0.as_bytes(), *who.0.as_bytes()].concat());
        let number =
            |at: usize| hash.as_ref()[at..at + 8].iter().fold(0_u64, |all, byte| (all << 8) | u64::from(*byte));
        // The first half of the hash says whether, the second which.
        let place = (u128::from(number(0)) * 1_000_000) >> 64;
        if place < u128::from(self.share.as_millionths()) {
            let subjects = self.subjects.len().max(1) as u64;
            Part::Tried(usize::try_from(number(8) % subjects).unwrap_or(0))
        } else {
            Part::Rest
        }
    }

    /// The subject of those who were not on trial, as far as it is known: A before.
    pub fn subject(&self) -> &str {
        self.subjects.get(self.picked.unwrap_or(0)).map_or("", String::as_str)
    }
}

/// What people call a subject by its place.
pub fn letter(place: usize) -> char {
    char::from(b'A' + u8::try_from(place.min(25)).unwrap_or(25))
}

/// The place of the subject that people call so.
pub fn place(letter: &str) -> Option<usize> {
    match letter.as_bytes() {
        [letter] if letter.is_ascii_alphabetic() => Some(usize::from(letter.to_ascii_uppercase() - b'A')),
        _ => None,
    }
}

/// The subject that lost fewest of its readers, if that is more than chance; otherwise A.
///
/// More than chance is what a test of two proportions holds for so with 95 % certainty: with fewer readers than it takes
/// to see a difference, nothing tells the subjects apart.
pub fn winner(results: &[Reception]) -> usize {
    let Some(first) = results.first() else { return 0 };
    let better = |(place, other): (usize, &Reception)| is_clearly_better(other, first).then(|| (rate(other), place));
    let better = results.iter().enumerate().skip(1).filter_map(better);
    better.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(0, |(_, place)| place)
}

#[expect(clippy::cast_precision_loss, reason = "rates of readers need not be exact")]
fn rate(result: &Reception) -> f64 {
    if result.sent == 0 { 1.0 } else { result.lost as f64 / result.sent as f64 }
}

#[expect(clippy::cast_precision_loss, reason = "rates of readers need not be exact")]
fn is_clearly_better(one: &Reception, than: &Reception) -> bool {
    /// The 97.5th percentile of the normal distribution.
    const CERTAIN: f64 = 1.96;
    if one.sent == 0 || than.sent == 0 {
        return false;
    }
    let (n, m) = (one.sent as f64, than.sent as f64);
    let both = (one.lost + than.lost) as f64 / (n + m);
    let deviation = (both * (1.0 - both) * (1.0 / n + 1.0 / m)).sqrt();
    deviation > 0.0 && (rate(than) - rate(one)) / deviation >= CERTAIN
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn trial(share: u32, subjects: usize) -> Trial {
        Trial {
            subjects: (0..subjects).map(|number| number.to_string()).collect(),
            share: Share::millionths(share),
            length: Trial::LENGTH,
            until: None,
            picked: None,
        }
    }

    fn parts(trial: &Trial, digest: u128) -> Vec<Part> {
        let who = |number| SubscriberId(Uuid::from_u128(number));
        (0..10_000).map(|number| trial.part(DigestId(Uuid::from_u128(digest)), who(number))).collect()
    }

    #[test]
    fn a_share_of_the_readers_is_tried_in_equal_parts_and_others_for_each_digest() {
        let trial = trial(200_000, 2);
        let first = parts(&trial, 1);
        assert_eq!(first, parts(&trial, 1), "the same each time");
        let of = |part| first.iter().filter(|known| **known == part).count();
        for part in [Part::Tried(0), Part::Tried(1)] {
            assert!((900..1100).contains(&of(part)), "{}", of(part));
        }
        assert_eq!(of(Part::Tried(0)) + of(Part::Tried(1)) + of(Part::Rest), 10_000);
        let both = first.iter().zip(parts(&trial, 2)).filter(|(a, b)| **a != Part::Rest && *b != Part::Rest).count();
        assert!((300..500).contains(&both), "4 % are tried twice: {both}");
    }

    #[test]
    fn everyone_or_nobody_may_be_tried() {
        assert!(parts(&trial(1_000_000, 3), 1).iter().all(|part| *part != Part::Rest));
        assert!(parts(&trial(0, 3), 1).iter().all(|part| *part == Part::Rest));
    }

    #[test]
    fn the_subject_that_loses_clearly_fewer_readers_wins_and_a_otherwise() {
        let winner = |results: &[(u64, u64)]| {
            super::winner(
                &results.iter().map(|(sent, lost)| Reception { sent: *sent, lost: *lost }).collect::<Vec<_>>(),
            )
        };
        assert_eq!(winner(&[(1000, 30), (1000, 5)]), 1);
        assert_eq!(winner(&[(1000, 5), (1000, 30)]), 0);
        assert_eq!(winner(&[(1000, 3), (1000, 2)]), 0, "chance");
        assert_eq!(winner(&[(1000, 0), (1000, 0)]), 0, "nothing tells them apart");
        assert_eq!(winner(&[(10, 1), (10, 0)]), 0, "too few readers");
        assert_eq!(winner(&[(1000, 60), (1000, 20), (1000, 5)]), 2, "the best of those that are better");
        assert_eq!(winner(&[(0, 0), (1000, 0)]), 0);
        assert_eq!(winner(&[]), 0);
    }

    #[test]
    fn subjects_are_called_by_letters() {
        assert_eq!((letter(0), letter(4)), ('A', 'E'));
        assert_eq!((place("A"), place("b"), place("AB"), place("1"), place("")), (Some(0), Some(1), None, None, None));
    }
}
