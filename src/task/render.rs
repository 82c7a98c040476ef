//! A digest rendered: once for all who get the same articles, then patched for each reader.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::compose::{newsletter, plan_now};
use super::present::Presenter;
use super::{Publication, TaskError};
use crate::domain::address::Mailbox;
use crate::domain::article::Released;
use crate::domain::digest::{Digest, DigestId};
use crate::domain::feed::{Feed, FeedName};
use crate::domain::link::{Link, Purpose};
use crate::domain::newsletter::Newsletter;
use crate::domain::subscription::SubscriberId;
use crate::domain::text::one_line;
use crate::mail::message::{self, Kind, Letter};
use crate::problem::Problem;
use crate::store::Claimed;
use crate::template::{Bodies, CompiledDigest, Own};

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
    rendered: Arc<Rendered>,
}

/// What is rendered so far: shared by renderers that work side by side.
#[derive(Debug, Default)]
pub struct Rendered(tokio::sync::Mutex<HashMap<DigestId, Arc<Loaded>>>);

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
        Self::sharing(publication, Arc::default())
    }

    /// A renderer that shares what is rendered with others.
    pub fn sharing(publication: &'a Publication, rendered: Arc<Rendered>) -> Self {
        let presenter = Presenter::new(publication, publication.config.live_urls());
        Self { publication, presenter, rendered }
    }

    /// A reader's links and greeting.
    pub fn own(&self, subscriber: SubscriberId, name: Option<&str>, feed: &FeedName) -> Own {
        let token = |purpose, feed: Option<&FeedName>| {
            self.publication.keyring.sign(&Link { purpose, subscriber, feed: feed.cloned(), expires_at: None })
        };
        let url = |path: &str, token: String| self.presenter.urls.at(&format!("/{path}/{token}"));
        let name = name.map(one_line).filter(|name| !name.is_empty());
        Own {
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
        let reader = self.own(SubscriberId(uuid::Uuid::nil()), None, &feed.name).view();
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
        let mut digests = self.rendered.0.lock().await;
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
        let own = self.own(claimed.subscriber, claimed.name.as_deref(), &loaded.feed.name);
        let to = Mailbox::new(claimed.name.as_deref(), claimed.address.clone());
        let file_stem = self.publication.keyring.message_id(claimed.digest, claimed.subscriber);
        self.message(
            &loaded.feed,
            &loaded.newsletter,
            &to,
            &compiled.subject,
            &compiled.for_reader(&own),
            &own,
            file_stem,
        )
        .map(|prepared| {
            let bounces = self.publication.bounces_to(claimed.subscriber, Some(claimed.digest));
            Some(Prepared { from: bounces.unwrap_or(prepared.from), ..prepared })
        })
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
        own: &Own,
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
                unsubscribe_url: &own.unsubscribe_url,
                unsubscribe_mailto: None,
                archive_url: Some(&self.presenter.urls.feed(&feed.name)),
                help_url: Some(&own.preferences_url),
                feedback_id: Some(&format!("{}:digest:tidings:{}", feed.name, host.replace('.', "-"))),
            },
        };
        Ok(Prepared { from: from.address.as_str().to_owned(), bytes: message::bytes(&letter)?, file_stem })
    }
}

/// A newsletter's message made for one person outside of any digest: for previews and tests.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The message.
    pub message: Prepared,
    /// Its bodies.
    pub bodies: Bodies,
}

/// Makes a sample for `to`, with what is new to anyone, or else the latest articles. Its links are nobody's.
///
/// # Errors
/// When the store fails, the newsletter has a fault, or the feed has no article yet.
pub async fn sample(
    publication: &Publication,
    name: &str,
    latest: Option<usize>,
    to: &Mailbox,
) -> Result<Sample, TaskError> {
    /// What is shown where nothing is new.
    const LATEST: usize = 10;
    let (feed, newsletter) = newsletter(publication, name)?;
    let mut articles = plan_now(publication, feed, newsletter, None, latest).await?.articles;
    if articles.is_empty() {
        articles = publication.store.newest_of(&feed.name, latest.unwrap_or(LATEST)).await?;
    }
    if articles.is_empty() {
        let problem = Problem::new(format!("feeds/{}.toml", feed.name), "this feed has no article yet");
        return Err(problem.hint("write one that it selects, then sync").into());
    }
    let renderer = Renderer::new(publication);
    let compiled = renderer.compile(feed, newsletter, None, &articles)?;
    let own = renderer.own(SubscriberId(uuid::Uuid::nil()), to.name.as_deref(), &feed.name);
    let bodies = compiled.for_reader(&own);
    let file_stem = format!("test-{}", uuid::Uuid::now_v7());
    let message = renderer.message(feed, newsletter, to, &compiled.subject, &bodies, &own, file_stem)?;
    Ok(Sample { message, bodies })
}
