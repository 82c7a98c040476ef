//! The slots to come, with their readers, and what another configuration would make of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::compose::clock_name;
use super::{Publication, TaskError};
use crate::config::{Config, load_feed, load_feeds};
use crate::domain::feed::{Feed, FeedName};
use crate::domain::newsletter::{Cadence, Hold, Newsletter, Rhythm, Timing};
use crate::domain::preference::Choose;
use crate::problem::Problem;
use crate::store::ReaderGroup;

/// One slot to come.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Coming {
    /// When.
    pub slot: DateTime<Utc>,
    /// Of which newsletter.
    pub newsletter: FeedName,
    /// At which cadence.
    pub cadence: Cadence,
    /// How many readers, by the name of their zone, with the hour that they prefer where it moves their slots.
    pub readers: BTreeMap<String, u64>,
}

/// Readers whom no slot serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slotless {
    /// Of which newsletter.
    pub newsletter: FeedName,
    /// At which cadence.
    pub cadence: Cadence,
    /// How many.
    pub readers: u64,
    /// Whether that cadence is on offer: `instant` is, and needs no slot.
    pub is_offered: bool,
}

/// The slots of some time, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Calendar {
    /// The slots.
    pub slots: Vec<Coming>,
    /// Who gets mail without one, or no mail.
    pub slotless: Vec<Slotless>,
    /// Who has paused.
    pub resting: Vec<Resting>,
}

/// Readers of a newsletter who have paused it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resting {
    /// Which.
    pub newsletter: FeedName,
    /// How many.
    pub readers: u64,
    /// When the first of them gets it again by itself.
    pub first_until: Option<DateTime<Utc>>,
}

/// Feeds as they are defined somewhere, with the zone of readers who named none.
#[derive(Debug, Clone)]
pub struct Definitions {
    /// The feeds.
    pub feeds: Vec<Feed>,
    /// The publication's zone.
    pub zone: Tz,
}

impl Definitions {
    /// Those that are in force.
    pub fn of(publication: &Publication) -> Self {
        Self { feeds: publication.feeds.to_vec(), zone: publication.config.publication.time_zone }
    }

    /// Those at `path`: the folder of a publication, a folder of definitions, or one definition beside those in force.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn at(
        publication: &Publication,
        path: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Vec<Problem>> {
        let mut definitions = Self::of(publication);
        if path.is_file() {
            let feed = load_feed(&publication.config, path)?;
            definitions.feeds.retain(|known| known.name != feed.name);
            definitions.feeds.push(feed);
            return Ok(definitions);
        }
        let config = if path.join("config.toml").is_file() {
            Config::load(path, environment)?
        } else {
            Config { feeds: path.to_owned(), ..(*publication.config).clone() }
        };
        let (feeds, problems) = load_feeds(&config);
        if problems.is_empty() { Ok(Self { feeds, zone: config.publication.time_zone }) } else { Err(problems) }
    }
}

/// What comes in the `time` from now on, with the readers that there are now; of one newsletter only where given.
///
/// # Errors
/// When the store fails.
pub async fn coming(
    publication: &Publication,
    definitions: &Definitions,
    only: Option<&FeedName>,
    time: TimeDelta,
) -> Result<Calendar, TaskError> {
    let now = publication.clock.now();
    let until = now + time;
    let mut slots: BTreeMap<(DateTime<Utc>, FeedName, Cadence), BTreeMap<String, u64>> = BTreeMap::new();
    let (mut slotless, mut resting) = (vec![], vec![]);
    for feed in definitions.feeds.iter().filter(|feed| only.is_none_or(|only| feed.name == *only)) {
        let Some(newsletter) = &feed.newsletter else { continue };
        let mut readers: BTreeMap<(Cadence, String), (ReaderGroup, u64)> = BTreeMap::new();
        for group in publication.store.readers(&feed.name).await? {
            let name = clock_name(Some(newsletter), &group, definitions.zone.name());
            let number = group.readers;
            readers.entry((group.cadence, name)).or_insert((group, 0)).1 += number;
        }
        let (paused, first_until) = publication.store.paused(&feed.name).await?;
        if paused > 0 {
            resting.push(Resting { newsletter: feed.name.clone(), readers: paused, first_until });
        }
        let mut without: BTreeMap<Cadence, u64> = BTreeMap::new();
        for ((cadence, name), (group, readers)) in readers {
            let timing = newsletter.timing_for(cadence, group.preferred.as_deref());
            let Some(Timing { rhythm, zone: fixed }) = timing.filter(|timing| timing.rhythm != Rhythm::Instant) else {
                *without.entry(cadence).or_default() += readers;
                continue;
            };
            let zone = group.time_zone.and_then(|zone| zone.parse().ok());
            let clock = fixed.or(zone).unwrap_or(definitions.zone);
            let mut after = now;
            while let Some(slot) = rhythm.next_slot(clock, after).filter(|slot| *slot <= until) {
                *slots.entry((slot, feed.name.clone(), cadence)).or_default().entry(name.clone()).or_default() +=
                    readers;
                after = slot;
            }
        }
        slotless.extend(without.into_iter().map(|(cadence, readers)| Slotless {
            newsletter: feed.name.clone(),
            cadence,
            readers,
            is_offered: newsletter.cadences.contains_key(&cadence),
        }));
    }
    let coming = |((slot, newsletter, cadence), readers)| Coming { slot, newsletter, cadence, readers };
    Ok(Calendar { slots: slots.into_iter().map(coming).collect(), slotless, resting })
}

/// A setting of a newsletter that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Of which newsletter.
    pub newsletter: FeedName,
    /// Which.
    pub key: String,
    /// As it is in force; `None` where it is not.
    pub before: Option<String>,
    /// As it would be.
    pub after: Option<String>,
}

/// What other definitions would alter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Settings.
    pub settings: Vec<Change>,
    /// Slots, or readers of slots, that would be no more.
    pub gone: Vec<Coming>,
    /// Those that would be new.
    pub new: Vec<Coming>,
    /// Who would get no mail at their cadence, and gets it now.
    pub left_without: Vec<Slotless>,
}

/// What `then` would alter in the `time` from now on.
///
/// # Errors
/// When the store fails.
pub async fn difference(
    publication: &Publication,
    then: &Definitions,
    only: Option<&FeedName>,
    time: TimeDelta,
) -> Result<Difference, TaskError> {
    let now = Definitions::of(publication);
    let before = coming(publication, &now, only, time).await?;
    let after = coming(publication, then, only, time).await?;
    let (old, new) = (apart(&before.slots), apart(&after.slots));
    let had = |row: &&Slotless| {
        !row.is_offered
            && before
                .slotless
                .iter()
                .all(|had| had.is_offered || (&had.newsletter, had.cadence) != (&row.newsletter, row.cadence))
    };
    Ok(Difference {
        settings: changes(&now.feeds, &then.feeds, only),
        gone: together(old.difference(&new)),
        new: together(new.difference(&old)),
        left_without: after.slotless.iter().filter(had).cloned().collect(),
    })
}

type Single = (DateTime<Utc>, FeedName, Cadence, String, u64);

fn apart(slots: &[Coming]) -> BTreeSet<Single> {
    let single = |coming: &Coming| {
        let Coming { slot, newsletter, cadence, readers } = coming.clone();
        readers.into_iter().map(move |(zone, readers)| (slot, newsletter.clone(), cadence, zone, readers))
    };
    slots.iter().flat_map(single).collect()
}

fn together<'a>(singles: impl Iterator<Item = &'a Single>) -> Vec<Coming> {
    let mut slots: Vec<Coming> = vec![];
    for (slot, newsletter, cadence, zone, readers) in singles {
        let same = |last: &&mut Coming| (last.slot, &last.newsletter, last.cadence) == (*slot, newsletter, *cadence);
        if let Some(last) = slots.last_mut().filter(same) {
            last.readers.insert(zone.clone(), *readers);
        } else {
            let readers = BTreeMap::from([(zone.clone(), *readers)]);
            slots.push(Coming { slot: *slot, newsletter: newsletter.clone(), cadence: *cadence, readers });
        }
    }
    slots
}

fn changes(now: &[Feed], then: &[Feed], only: Option<&FeedName>) -> Vec<Change> {
    let settings = |feeds: &[Feed]| -> BTreeMap<(FeedName, String), String> {
        let of_feed = |feed: &Feed| {
            let all = feed.newsletter.as_ref().map(settings).unwrap_or_default();
            let name = feed.name.clone();
            all.into_iter().map(move |(key, value)| ((name.clone(), key), value)).collect::<Vec<_>>()
        };
        feeds.iter().filter(|feed| only.is_none_or(|only| feed.name == *only)).flat_map(of_feed).collect()
    };
    let (old, mut new) = (settings(now), settings(then));
    let mut changes = vec![];
    for ((newsletter, key), before) in old {
        let after = new.remove(&(newsletter.clone(), key.clone()));
        if after.as_ref() != Some(&before) {
            changes.push(Change { newsletter, key, before: Some(before), after });
        }
    }
    let added = |((newsletter, key), after)| Change { newsletter, key, before: None, after: Some(after) };
    changes.extend(new.into_iter().map(added));
    changes.sort_by(|a, b| (&a.newsletter, &a.key).cmp(&(&b.newsletter, &b.key)));
    changes
}

/// When and on whose clock, in words.
pub fn describe(timing: &Timing) -> String {
    match (&timing.rhythm, timing.zone) {
        (Rhythm::Instant, _) => timing.rhythm.to_string(),
        (rhythm, None) => format!("{rhythm}, on the reader's clock"),
        (rhythm, Some(zone)) => format!("{rhythm}, on the clock of {}", zone.name()),
    }
}

/// A newsletter's settings, each in words.
fn settings(newsletter: &Newsletter) -> Vec<(String, String)> {
    let span = |time: TimeDelta| match (time.num_hours(), time.num_minutes() % 60, time.num_seconds() % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, 0) => format!("{minutes}m"),
        (hours, 0, 0) => format!("{hours}h"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    };
    let hold = match newsletter.hold {
        Hold::None => "none".to_owned(),
        Hold::For(time) => span(time),
        Hold::Approval => "approval".to_owned(),
    };
    let mut all: Vec<(String, String)> =
        newsletter.cadences.iter().map(|(cadence, timing)| (format!("cadences.{cadence}"), describe(timing))).collect();
    let mut add = |key: &str, value: String| all.push((key.to_owned(), value));
    add("subject", newsletter.subject.clone());
    add("default", newsletter.default.to_string());
    add("min_articles", newsletter.min_articles.to_string());
    add("template", newsletter.template.clone().unwrap_or_else(|| Newsletter::DIGEST.to_owned()));
    add("gather", span(newsletter.gather));
    add("late_after", span(newsletter.late_after));
    add("hold", hold);
    if !newsletter.subjects.is_empty() {
        add("subjects", newsletter.subjects.join(" | "));
        add("test_share", f64::from(newsletter.test_share).to_string());
        add("test_for", span(newsletter.test_for));
    }
    if newsletter.choose != Choose::default() {
        let words = [("hour", newsletter.choose.hour), ("day", newsletter.choose.day)];
        let words: Vec<&str> = words.iter().filter(|(_, is_left)| *is_left).map(|(word, _)| *word).collect();
        add("choose", words.join(", "));
    }
    if newsletter.welcome {
        add("welcome", "true".into());
    }
    if !newsletter.archive {
        add("archive", "false".into());
    }
    if let Some(from) = &newsletter.from {
        add("from", from.address.to_string());
    }
    if let Some(life) = newsletter.life.and_then(|life| TimeDelta::from_std(life).ok()) {
        add("life", span(life));
    }
    all
}
