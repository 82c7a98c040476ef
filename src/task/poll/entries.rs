//! Which entries of a document become articles, and with which slugs and dates.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use rayon::prelude::*;

use crate::domain::article::{ArticleId, Slug};
use crate::domain::feed::Feed;
use crate::source::remote::{self, Manner, RemoteEntry};
use crate::store::{FileRow, KnownFile};
use crate::task::{fingerprint, sync};

/// An entry with its place in the document, and what stands for it and for how it is made into an article.
pub(super) struct Placed {
    place: i64,
    pub(super) entry: Box<RemoteEntry>,
    content_hash: String,
    pub(super) has_changed: bool,
}

/// Which entries are new or were edited. The newest stand first: what has no date keeps that order.
#[expect(clippy::vec_box, reason = "as they come")]
pub(super) fn placed(
    entries: Vec<Box<RemoteEntry>>,
    known: &HashMap<String, KnownFile>,
    settings: &str,
) -> Vec<Placed> {
    let placed = |(place, entry): (usize, Box<RemoteEntry>)| {
        let place = i64::try_from(place).unwrap_or(i64::MAX);
        let content_hash = fingerprint([format!("{entry:?}"), settings.to_owned()]);
        let before = known.get(&entry.key);
        let has_changed = before.is_none_or(|before| before.withdrawn || before.content_hash != content_hash);
        Placed { place, entry, content_hash, has_changed }
    };
    entries.into_par_iter().enumerate().map(placed).collect()
}

/// Each of these entries with the slug and the date that it gets or has; `others` are the slugs of other sources.
pub(super) fn jobs(
    changed: Vec<Placed>,
    known: &HashMap<String, KnownFile>,
    others: Vec<(String, String)>,
    now: DateTime<Utc>,
) -> (Vec<Job>, Taken) {
    let others: HashSet<String> = others.into_iter().map(|(slug, _)| slug).collect();
    let slugs = known.values().map(|before| before.slug.clone()).chain(others.iter().cloned()).collect();
    let mut taken = Taken { slugs, numbers: HashMap::new() };
    let new = changed.iter().filter(|placed| !known.contains_key(&placed.entry.key)).count();
    let mut ids = ArticleId::several(now, new).into_iter();
    let mut jobs = Vec::with_capacity(changed.len());
    // The oldest first: of two that would like the same slug it has the plain one.
    for Placed { place, entry, content_hash, .. } in changed.into_iter().rev() {
        let before = known.get(&entry.key);
        let own = entry.published.filter(|date| *date <= now);
        let first_seen = before.map(|before| DateTime::from_timestamp_nanos(before.modified_ns));
        let date = own.or(first_seen).unwrap_or(now - TimeDelta::milliseconds(place));
        // What was withdrawn may find its slug taken.
        let had = before.filter(|before| !before.withdrawn || !others.contains(&before.slug));
        let slug = had.and_then(|before| Slug::from_text(&before.slug));
        let wanted = remote::slug(&entry);
        let slug = slug.unwrap_or_else(|| taken.free(&wanted));
        let id = before.map(|before| before.id).or_else(|| ids.next()).unwrap_or_else(|| ArticleId::new(now));
        jobs.push(Job { id, slug, wanted, date, entry, content_hash, is_new: before.is_none() });
    }
    (jobs, taken)
}

/// Slugs that are taken, and the last number that was given to each.
pub(super) struct Taken {
    slugs: HashSet<String>,
    numbers: HashMap<String, u32>,
}

impl Taken {
    /// The slug, with the first number behind it that nobody has where it is taken.
    pub(super) fn free(&mut self, wanted: &Slug) -> Slug {
        let mut slug = wanted.clone();
        while self.slugs.contains(slug.as_str()) {
            // From the last number on: a thousand entries may have the same title.
            let number = self.numbers.entry(wanted.as_str().to_owned()).or_insert(1);
            *number += 1;
            let end = format!("-{number}");
            let room = wanted.as_str().len().min(Slug::MAX - end.len());
            slug = Slug::from_text(&format!("{}{end}", &wanted.as_str()[..room])).unwrap_or(slug);
        }
        self.slugs.insert(slug.as_str().to_owned());
        slug
    }

    /// Slugs that another machine gave meanwhile: whoever of these rows has one gets another, of what it would like.
    pub(super) fn give_others(&mut self, disputed: &[String], rows: &mut [FileRow], wanted: &[Slug]) {
        self.slugs.extend(disputed.iter().cloned());
        for (row, wanted) in rows.iter_mut().zip(wanted) {
            if disputed.iter().any(|slug| slug == row.article.slug.as_str()) {
                row.article.slug = self.free(wanted);
            }
        }
    }
}

/// An entry that is to be an article.
pub(super) struct Job {
    id: ArticleId,
    slug: Slug,
    wanted: Slug,
    date: DateTime<Utc>,
    pub(super) entry: Box<RemoteEntry>,
    content_hash: String,
    is_new: bool,
}

impl Job {
    /// Whether it is new, the slug that it would like, and what is written of it.
    pub(super) fn row(self, manner: &Manner, feeds: &[Feed], language: &str) -> (bool, Slug, FileRow) {
        let article = remote::article(self.id, self.slug, self.date, &self.entry, manner);
        let row = FileRow {
            archive: false,
            aliases: vec![],
            feeds: sync::feeds_of(feeds, language, &article),
            size: article.html.len() as u64,
            // Of an entry the date that it got: none lies ahead, or before 1900.
            modified_ns: self.date.timestamp_nanos_opt().unwrap_or_default(),
            content_hash: self.content_hash,
            article,
        };
        (self.is_new, self.wanted, row)
    }
}
