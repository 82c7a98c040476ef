//! What a digest would bring to whom, said before it is done, and then done once.

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use serde::Serialize;

use super::{Publication, TaskError};
use crate::domain::article::Released;
use crate::domain::digest::{Digest, DigestKey, DigestState};
use crate::domain::feed::{Feed, FeedName};
use crate::domain::newsletter::{Cadence, Newsletter};
use crate::domain::segment::Segment;
use crate::domain::trial::Trial;
use crate::problem::{Problem, did_you_mean};
use crate::store::{Clocks, NewDigest, ReaderGroup};

/// Articles in a newsletter's very first digest, where everything there is belongs to the archive.
const FIRST_DIGEST: usize = 10;

/// What a digest would do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The newsletter's feed.
    pub feed: Feed,
    /// Newsletter, cadence, slot.
    pub key: DigestKey,
    /// Release number up to which it brings articles.
    pub cut_off: i64,
    /// Its articles, in the order of release.
    pub articles: Vec<Released>,
    /// Only readers whose cursor is at least this: its articles begin there. Who takes an old subscription up again
    /// between the plan and the digest waits for the next one.
    pub cursor_from: i64,
    /// Only readers whose cursor is below this; `None` is every reader, with every article.
    pub cursor_below: Option<i64>,
    /// Only readers on these clocks.
    pub clocks: Clocks,
    /// Only readers in this segment.
    pub segment: Option<Segment>,
    /// The readers, by cadence, zone, preference and cursor.
    pub groups: Vec<ReaderGroup>,
    /// How the articles were chosen.
    pub choice: Choice,
    /// The digest, if there is one already.
    pub existing: Option<Digest>,
    /// An editor's words at the top.
    pub note: Option<String>,
    /// Subjects that are tried on a part of the readers.
    pub trial: Option<Trial>,
}

/// How the articles of a digest were chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// What each reader has not had yet.
    New,
    /// The latest ones: nothing is new and the newsletter has never been sent.
    First,
    /// The latest ones, because an editor said so.
    Latest,
    /// Those that an editor picked by hand.
    Picked,
}

impl Plan {
    /// How many readers get it.
    pub fn readers(&self) -> u64 {
        self.groups.iter().map(|group| group.readers).sum()
    }

    /// Where there is such a digest and readers who had not joined or come back when it was composed, they get one of
    /// their own, in this minute's slot: whoever has had the articles is not among them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn for_latecomers(mut self, publication: &Publication) -> Result<Self, TaskError> {
        if self.choice == Choice::New && self.existing.is_some() && self.readers() > 0 {
            self.key.slot = minute(publication.clock.now());
            self.existing = publication.store.digest_by_key(&self.key).await?;
        }
        Ok(self)
    }
}

/// The feed of this name with its newsletter.
///
/// # Errors
/// A name that is not known, or a feed that is not sent by mail, with what was probably meant.
pub fn newsletter<'a>(publication: &'a Publication, name: &str) -> Result<(&'a Feed, &'a Newsletter), TaskError> {
    let known: Vec<&str> =
        publication.feeds.iter().filter(|feed| feed.newsletter.is_some()).map(|feed| feed.name.as_str()).collect();
    let feed = FeedName::parse(name).and_then(|name| publication.feed(&name));
    if let Some((feed, newsletter)) = feed.and_then(|feed| Some((feed, feed.newsletter.as_ref()?))) {
        return Ok((feed, newsletter));
    }
    let problem = match feed {
        Some(feed) => Problem::new(format!("feeds/{}.toml", feed.name), "this feed has no newsletter")
            .hint("give it a section [newsletter]"),
        None => {
            Problem::new(name, "there is no such newsletter").hint(match did_you_mean(name, known.iter().copied()) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("known here: {}", known.join(", ")),
            })
        }
    };
    Err(problem.into())
}

/// Plans a digest that an editor sends now, to the readers of one cadence or of every cadence, all or those of a segment.
///
/// It brings what each reader has not had yet. Its slot is the release of its newest article, so that sending twice
/// is sending once; where that one was sent to others, this minute. With `latest`, everyone gets at least that many of the newest articles; its slot is this minute.
///
/// # Errors
/// When the store fails.
pub async fn plan_now(
    publication: &Publication,
    feed: &Feed,
    newsletter: &Newsletter,
    cadence: Option<Cadence>,
    segment: Option<&Segment>,
    latest: Option<usize>,
) -> Result<Plan, TaskError> {
    let store = &publication.store;
    let now = publication.clock.now();
    let cut_off = store.newest_release().await?;
    let mut groups = readers(publication, feed, segment).await?;
    groups.retain(|group| cadence.is_none_or(|cadence| group.cadence == cadence));
    let oldest = groups.iter().map(|group| group.cursor).min().unwrap_or(cut_off);
    let mut articles = store.released_between(&feed.name, oldest, cut_off).await?;
    let never_sent = store.digests(Some(&feed.name), 1).await?.is_empty();
    let (choice, latest) = match latest {
        Some(latest) => (Choice::Latest, latest),
        None if articles.is_empty() && never_sent => (Choice::First, FIRST_DIGEST),
        None => (Choice::New, 0),
    };
    let cursor_below = if choice == Choice::New {
        Some(threshold(&articles, newsletter.min_articles))
    } else {
        for released in store.newest_of(&feed.name, latest).await? {
            if !articles.iter().any(|known| known.article.id == released.article.id) {
                articles.push(released);
            }
        }
        articles.sort_by_key(|released| released.release.number);
        None
    };
    groups.retain(|group| cursor_below.is_none_or(|below| group.cursor < below));
    if articles.is_empty() {
        groups.clear();
    }
    let slot = match choice {
        Choice::Latest | Choice::Picked => minute(now),
        Choice::New | Choice::First => articles.iter().map(|released| released.release.at).max().unwrap_or(now),
    };
    let key = DigestKey { newsletter: feed.name.clone(), cadence, slot, segment: segment.map(|one| one.name.clone()) };
    let existing = store.digest_by_key(&key).await?;
    let cursor_from = if choice == Choice::New { oldest } else { 0 };
    let plan = Plan {
        feed: feed.clone(),
        key,
        cut_off,
        articles,
        cursor_from,
        cursor_below,
        clocks: Clocks::All,
        segment: segment.cloned(),
        groups,
        choice,
        existing,
        note: None,
        trial: None,
    };
    plan.for_latecomers(publication).await
}

/// Plans a digest of articles that an editor picked by their slugs, to the readers of one cadence or of every cadence.
///
/// The cursors stay where they are: what is new among these articles comes with the next digest as well. The same
/// articles with the same note to the same readers are the same digest, whenever they are sent.
///
/// # Errors
/// When the store fails, or no public article has one of the slugs.
pub async fn plan_picked(
    publication: &Publication,
    feed: &Feed,
    cadence: Option<Cadence>,
    segment: Option<&Segment>,
    slugs: &[String],
    note: Option<&str>,
) -> Result<Plan, TaskError> {
    let store = &publication.store;
    let wanted: Vec<&str> = slugs.iter().map(String::as_str).collect();
    let mut found = store.by_slugs(&wanted).await?;
    let mut faults = vec![];
    let mut articles: Vec<Released> = vec![];
    for slug in wanted {
        match found.remove(slug) {
            Some(released) => articles.push(released),
            None if articles.iter().any(|released| released.article.slug.as_str() == slug) => {}
            None => faults.push(
                Problem::new(slug, "there is no public article with this slug")
                    .hint("write the last part of its address, and a comma between two"),
            ),
        }
    }
    if !faults.is_empty() {
        return Err(TaskError::Problems(faults));
    }
    articles.sort_by_key(|released| released.release.number);
    let mut groups = readers(publication, feed, segment).await?;
    groups.retain(|group| cadence.is_none_or(|cadence| group.cadence == cadence));
    let slot = minute(publication.clock.now());
    let key = DigestKey { newsletter: feed.name.clone(), cadence, slot, segment: segment.map(|one| one.name.clone()) };
    let mut existing = store.digest_by_key(&key).await?;
    let ids: Vec<_> = articles.iter().map(|released| released.article.id).collect();
    for digest in store.digests(Some(&feed.name), 50).await? {
        let is_alike = digest.cut_off == 0
            && digest.key.cadence == cadence
            && digest.key.segment == key.segment
            && digest.note.as_deref() == note;
        if existing.is_some() || !is_alike || digest.state == DigestState::Cancelled {
            continue;
        }
        let had = store.articles_of(digest.id).await?;
        existing = had.iter().map(|released| released.article.id).eq(ids.iter().copied()).then_some(digest);
    }
    Ok(Plan {
        feed: feed.clone(),
        key,
        // Below every cursor: none is moved.
        cut_off: 0,
        articles,
        cursor_from: 0,
        cursor_below: None,
        clocks: Clocks::All,
        segment: segment.cloned(),
        groups,
        choice: Choice::Picked,
        existing,
        note: note.map(str::to_owned),
        trial: None,
    })
}

/// Plans the digest of a slot, for the readers of `cadence` on these clocks.
///
/// # Errors
/// When the store fails.
pub async fn plan_slot(
    publication: &Publication,
    feed: &Feed,
    newsletter: &Newsletter,
    cadence: Cadence,
    slot: DateTime<Utc>,
    clocks: Clocks,
) -> Result<Plan, TaskError> {
    let store = &publication.store;
    let cut_off = store.newest_release().await?;
    let own_zone = publication.config.publication.time_zone.name();
    let mut groups = store.readers_who_wait_for_nothing(&feed.name, Some(cadence)).await?;
    groups.retain(|group| {
        let zone = group.time_zone.as_deref().unwrap_or(own_zone);
        clocks.hold(zone, group.preferred.as_deref())
    });
    let oldest = groups.iter().map(|group| group.cursor).min().unwrap_or(cut_off);
    let articles = store.released_between(&feed.name, oldest, cut_off).await?;
    let below = threshold(&articles, newsletter.min_articles);
    groups.retain(|group| group.cursor < below);
    let key = DigestKey { newsletter: feed.name.clone(), cadence: Some(cadence), slot, segment: None };
    let existing = store.digest_by_key(&key).await?;
    Ok(Plan {
        feed: feed.clone(),
        key,
        cut_off,
        articles,
        cursor_from: oldest,
        cursor_below: Some(below),
        clocks,
        segment: None,
        groups,
        choice: Choice::New,
        existing,
        note: None,
        trial: None,
    })
}

/// The readers of a newsletter who do not wait for a digest that stands still; only those of a segment where given.
async fn readers(
    publication: &Publication,
    feed: &Feed,
    segment: Option<&Segment>,
) -> Result<Vec<ReaderGroup>, TaskError> {
    Ok(match segment {
        None => publication.store.readers_who_wait_for_nothing(&feed.name, None).await?,
        Some(segment) => publication.store.readers_in(&feed.name, &segment.whom, &publication.setting()).await?,
    })
}

/// Where the clocks of readers stand, in words: their zone, and the hour that they prefer where that moves their slots.
pub fn clock_name(newsletter: Option<&Newsletter>, group: &ReaderGroup, own_zone: &str) -> String {
    let zone = group.time_zone.as_deref().unwrap_or(own_zone);
    let is_moved = newsletter.is_some_and(|newsletter| {
        newsletter.cadences.get(&group.cadence).is_some_and(|timing| newsletter.choose.moves(timing))
    });
    match group.preferred.as_deref().filter(|_| is_moved) {
        Some(preferred) => format!("{zone} {preferred}"),
        None => zone.to_owned(),
    }
}

/// The minute in which `now` lies: the slot of a digest that nothing else gives one.
pub(super) fn minute(now: DateTime<Utc>) -> DateTime<Utc> {
    now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(now)
}

/// The cursor below which a reader has at least `least` of these articles to read; 0 where nobody has.
fn threshold(articles: &[Released], least: usize) -> i64 {
    articles.len().checked_sub(least.max(1)).map_or(0, |at| articles[at].release.number)
}

/// Composes a planned digest: one delivery for each reader exists before the first message leaves.
/// Returns it, and whether it is new.
///
/// # Errors
/// When the store fails; then there is no digest.
pub async fn compose(publication: &Publication, plan: &Plan, state: DigestState) -> Result<(Digest, bool), TaskError> {
    let new = NewDigest {
        key: plan.key.clone(),
        segment: plan.segment.as_ref().map(|segment| (segment.whom.clone(), publication.setting())),
        cut_off: plan.cut_off,
        articles: plan.articles.iter().map(|released| (released.article.id, released.release.number)).collect(),
        cursor_from: plan.cursor_from,
        cursor_below: plan.cursor_below,
        clocks: plan.clocks.clone(),
        default_zone: publication.config.publication.time_zone.name().to_owned(),
        state,
        note: plan.note.clone(),
        trial: plan.trial.clone(),
        day: plan.key.slot.with_timezone(&publication.config.publication.time_zone).date_naive().to_string(),
    };
    Ok(publication.store.compose(&new, publication.clock.now()).await?)
}
