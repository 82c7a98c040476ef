//! What a digest would bring to whom, said before it is done, and then done once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::present::Presenter;
use super::{Publication, TaskError};
use crate::domain::address::Mailbox;
use crate::domain::article::Released;
use crate::domain::digest::{Digest, DigestId, DigestKey, DigestState};
use crate::domain::feed::{Feed, FeedName};
use crate::domain::link::{Link, Purpose};
use crate::domain::newsletter::{Cadence, Newsletter};
use crate::domain::subscription::SubscriberId;
use crate::domain::text::one_line;
use crate::mail::message::{self, Kind, Letter};
use crate::problem::{Problem, did_you_mean};
use crate::store::{Claimed, NewDigest, ReaderGroup};
use crate::template::{Bodies, CompiledDigest, Slots};

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
    /// Only readers whose cursor is below this; `None` is every reader, with every article.
    pub cursor_below: Option<i64>,
    /// Only readers in these zones.
    pub zones: Option<Vec<String>>,
    /// The readers, by cadence, zone and cursor.
    pub groups: Vec<ReaderGroup>,
    /// How the articles were chosen.
    pub choice: Choice,
    /// The digest, if there is one already.
    pub existing: Option<Digest>,
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
}

impl Plan {
    /// How many readers get it.
    pub fn readers(&self) -> u64 {
        self.groups.iter().map(|group| group.readers).sum()
    }

    /// The articles that a reader with this cursor gets.
    pub fn articles_for(&self, cursor: i64) -> &[Released] {
        let from = if self.cursor_below.is_some() { cursor } else { -1 };
        let first = self.articles.partition_point(|released| released.release.number <= from);
        &self.articles[first..]
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

/// Plans a digest that an editor sends now, to the readers of one cadence or of every cadence.
///
/// It brings what each reader has not had yet. Its slot is the release of its newest article, so that sending twice
/// is sending once. With `latest`, everyone gets at least that many of the newest articles; its slot is this minute.
///
/// # Errors
/// When the store fails.
pub async fn plan_now(
    publication: &Publication,
    feed: &Feed,
    newsletter: &Newsletter,
    cadence: Option<Cadence>,
    latest: Option<usize>,
) -> Result<Plan, TaskError> {
    let store = &publication.store;
    let now = publication.clock.now();
    let cut_off = store.newest_release().await?;
    let mut groups = store.readers(&feed.name).await?;
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
        Choice::Latest => {
            now - TimeDelta::seconds(now.timestamp() % 60) - TimeDelta::milliseconds(now.timestamp_millis() % 1000)
        }
        Choice::New | Choice::First => articles.iter().map(|released| released.release.at).max().unwrap_or(now),
    };
    let key = DigestKey { newsletter: feed.name.clone(), cadence, slot };
    let existing = store.digest_by_key(&key).await?;
    Ok(Plan { feed: feed.clone(), key, cut_off, articles, cursor_below, zones: None, groups, choice, existing })
}

/// Plans the digest of a slot, for the readers of `cadence` whose clocks stand in `zones`.
///
/// # Errors
/// When the store fails.
pub async fn plan_slot(
    publication: &Publication,
    feed: &Feed,
    newsletter: &Newsletter,
    cadence: Cadence,
    slot: DateTime<Utc>,
    zones: Vec<String>,
) -> Result<Plan, TaskError> {
    let store = &publication.store;
    let cut_off = store.newest_release().await?;
    let own_zone = publication.config.publication.time_zone.name();
    let mut groups = store.readers(&feed.name).await?;
    groups.retain(|group| {
        group.cadence == cadence && zones.iter().any(|zone| zone == group.time_zone.as_deref().unwrap_or(own_zone))
    });
    let oldest = groups.iter().map(|group| group.cursor).min().unwrap_or(cut_off);
    let articles = store.released_between(&feed.name, oldest, cut_off).await?;
    let below = threshold(&articles, newsletter.min_articles);
    groups.retain(|group| group.cursor < below);
    let key = DigestKey { newsletter: feed.name.clone(), cadence: Some(cadence), slot };
    let existing = store.digest_by_key(&key).await?;
    Ok(Plan {
        feed: feed.clone(),
        key,
        cut_off,
        articles,
        cursor_below: Some(below),
        zones: Some(zones),
        groups,
        choice: Choice::New,
        existing,
    })
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
        cut_off: plan.cut_off,
        articles: plan.articles.iter().map(|released| (released.article.id, released.release.number)).collect(),
        cursor_below: plan.cursor_below,
        zones: plan.zones.clone(),
        default_zone: publication.config.publication.time_zone.name().to_owned(),
        state,
    };
    Ok(publication.store.compose(&new, publication.clock.now()).await?)
}

/// One message, ready for a relay.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Envelope sender.
    pub from: String,
    /// The message's bytes.
    pub bytes: Vec<u8>,
    /// Its Message-ID without the host: a file's name in the outbox.
    pub file_stem: String,
}

/// Renders a feed's digest for one reader, once for all who get the same articles.
#[derive(Debug)]
pub struct Renderer<'a> {
    publication: &'a Publication,
    presenter: Presenter<'a>,
    digests: tokio::sync::Mutex<HashMap<DigestId, Arc<Loaded>>>,
}

#[derive(Debug)]
struct Loaded {
    digest: Digest,
    feed: Feed,
    newsletter: Newsletter,
    articles: Vec<Released>,
    /// By the number of articles skipped at the beginning.
    compiled: Mutex<HashMap<usize, Arc<CompiledDigest>>>,
}

impl<'a> Renderer<'a> {
    /// A renderer with nothing rendered yet.
    pub fn new(publication: &'a Publication) -> Self {
        let presenter = Presenter::new(publication, publication.config.live_urls());
        Self { publication, presenter, digests: tokio::sync::Mutex::default() }
    }

    /// A reader's links and greeting.
    pub fn slots(&self, subscriber: SubscriberId, name: Option<&str>, feed: &FeedName) -> Slots {
        let token = |purpose, feed: Option<&FeedName>| {
            self.publication.keyring.sign(&Link { purpose, subscriber, feed: feed.cloned(), expires_at: None })
        };
        let url = |path: &str, token: String| self.presenter.urls.at(&format!("/{path}/{token}"));
        let name = name.map(one_line).filter(|name| !name.is_empty());
        Slots {
            greeting: name.map_or_else(|| "Hello,".to_owned(), |name| format!("Hello {name},")),
            unsubscribe_url: url("unsubscribe", token(Purpose::Leave, Some(feed))),
            preferences_url: url("preferences", token(Purpose::Preferences, None)),
        }
    }

    /// A digest of `articles`, compiled for every reader who gets just these.
    ///
    /// # Errors
    /// A template or subject that cannot be rendered, by file and line.
    pub fn compile(
        &self,
        feed: &Feed,
        newsletter: &Newsletter,
        digest: Option<&Digest>,
        articles: &[Released],
    ) -> Result<CompiledDigest, Problem> {
        let now = self.publication.clock.now();
        let reader = self.slots(SubscriberId(uuid::Uuid::nil()), None, &feed.name).view();
        let mut view = self.presenter.digest(feed, digest, articles, reader, now);
        let templates = &self.publication.templates;
        view.digest.subject = templates.subject(&newsletter.subject, &format!("feeds/{}.toml", feed.name), &view)?;
        if !templates.has_mail(&newsletter.template) {
            let file = format!("templates/mail/{}.mjml.hbs", newsletter.template);
            return Err(Problem::new(
                file,
                format!("there is no such template, which feeds/{}.toml asks for", feed.name),
            )
            .hint("write it and its .txt.hbs, or leave `template` out for the one that is built in"));
        }
        CompiledDigest::compile(templates, &newsletter.template, view)
    }

    async fn loaded(&self, id: DigestId) -> Result<Option<Arc<Loaded>>, TaskError> {
        let mut digests = self.digests.lock().await;
        if let Some(loaded) = digests.get(&id) {
            return Ok(Some(Arc::clone(loaded)));
        }
        let Some(digest) = self.publication.store.digest(id).await? else { return Ok(None) };
        let (feed, newsletter) = newsletter(self.publication, digest.key.newsletter.as_str())?;
        let articles = self.publication.store.articles_of(id).await?;
        let loaded = Arc::new(Loaded {
            digest,
            feed: feed.clone(),
            newsletter: newsletter.clone(),
            articles,
            compiled: Mutex::default(),
        });
        digests.insert(id, Arc::clone(&loaded));
        Ok(Some(loaded))
    }

    /// The message of a claimed delivery; `None` where nothing is left to bring, since articles were withdrawn.
    ///
    /// # Errors
    /// When the store fails, or a template, a subject or the newsletter itself has a fault.
    pub async fn prepare(&self, claimed: &Claimed) -> Result<Option<Prepared>, TaskError> {
        let Some(loaded) = self.loaded(claimed.digest).await? else { return Ok(None) };
        let skipped = loaded.articles.partition_point(|released| released.release.number <= claimed.cursor_from);
        if skipped == loaded.articles.len() {
            return Ok(None);
        }
        let compiled = {
            let mut all = loaded.compiled.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(compiled) = all.get(&skipped) {
                Arc::clone(compiled)
            } else {
                let articles = &loaded.articles[skipped..];
                let compiled = self.compile(&loaded.feed, &loaded.newsletter, Some(&loaded.digest), articles)?;
                let compiled = Arc::new(compiled);
                all.insert(skipped, Arc::clone(&compiled));
                compiled
            }
        };
        let slots = self.slots(claimed.subscriber, claimed.name.as_deref(), &loaded.feed.name);
        let to = Mailbox::new(claimed.name.as_deref(), claimed.address.clone());
        let file_stem = self.publication.keyring.message_id(claimed.digest, claimed.subscriber);
        self.message(
            &loaded.feed,
            &loaded.newsletter,
            &to,
            &compiled.subject,
            &compiled.for_reader(&slots),
            &slots,
            file_stem,
        )
        .map(Some)
    }

    /// A digest as a message to one person.
    ///
    /// # Errors
    /// When a value does not fit into its header.
    #[expect(clippy::too_many_arguments, reason = "a message is made of just these")]
    pub fn message(
        &self,
        feed: &Feed,
        newsletter: &Newsletter,
        to: &Mailbox,
        subject: &str,
        bodies: &Bodies,
        slots: &Slots,
        file_stem: String,
    ) -> Result<Prepared, TaskError> {
        let config = &self.publication.config;
        let host = config.host();
        let from = newsletter.from.as_ref().unwrap_or(&config.mail.from);
        let list_id = format!("{}.{host}", feed.name);
        let letter = Letter {
            from,
            reply_to: config.mail.reply_to.as_ref(),
            to,
            subject,
            text: &bodies.text,
            html: &bodies.html,
            message_id: &format!("{file_stem}@{host}"),
            date: self.publication.clock.now(),
            kind: Kind::Digest {
                list_id: (&feed.title, &list_id),
                unsubscribe_url: &slots.unsubscribe_url,
                unsubscribe_mailto: None,
                archive_url: Some(&self.presenter.urls.feed(&feed.name)),
                help_url: Some(&slots.preferences_url),
                feedback_id: Some(&format!("{}:digest:tidings:{}", feed.name, host.replace('.', "-"))),
            },
        };
        Ok(Prepared { from: from.address.as_str().to_owned(), bytes: message::bytes(&letter)?, file_stem })
    }
}
