//! A digest rendered: once for all who get the same articles, then patched for each reader.
//!
//! Whoever comes first to a digest, or to a group of its readers, loads or compiles it; others who want the same wait
//! for that and nobody else does.

mod sample;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

pub use self::sample::{Sample, sample, sample_of};

use super::compose::newsletter;
use super::present::Presenter;
use super::{Publication, TaskError, fit};
use crate::domain::address::Mailbox;
use crate::domain::article::{ArticleId, Released};
use crate::domain::attributes::Attributes;
use crate::domain::digest::{Digest, DigestId};
use crate::domain::feed::{Feed, FeedName};
use crate::domain::language::Languages;
use crate::domain::link::{Link, Purpose};
use crate::domain::newsletter::Newsletter;
use crate::domain::subscription::SubscriberId;
use crate::domain::text::one_line;
use crate::domain::trial::Part;
use crate::mail::compiled::{Common, CompiledLetter, Piece, Reader};
use crate::mail::message::{Links, List};
use crate::problem::Problem;
use crate::store::{Alert, Claimed, StoreError};
use crate::template::view::DigestView;
use crate::template::{Bodies, CompiledDigest, Own, Place};

/// One message, ready for a relay.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Envelope sender.
    pub from: String,
    /// The message's bytes. No line begins with a dot: they go over the wire as they are (RFC 5321 §4.5.2).
    pub bytes: Vec<u8>,
    /// Its Message-ID without the host: a file's name in the outbox.
    pub file_stem: String,
}

/// Whom a message is for.
#[derive(Debug, Clone, Copy)]
pub struct Addressee<'a> {
    /// Name and address.
    pub to: &'a Mailbox,
    /// Their links.
    pub own: &'a Own,
    /// What stands in the places of the letter: [`CompiledDigest::values`].
    pub values: &'a [String],
}

/// Renders a feed's digest for one reader, once for all who get the same articles.
#[derive(Debug)]
pub struct Renderer<'a> {
    publication: &'a Publication,
    /// One for each language that readers can have, the publication's first.
    presenters: Vec<Presenter<'a>>,
    /// The place of the language for whoever is nobody in particular.
    language: usize,
    rendered: Arc<Rendered>,
}

/// Values that are made once, each when it is first asked for.
type Once<K, V> = Mutex<HashMap<K, Arc<OnceCell<V>>>>;

/// The cell for `key`; the lock is held for no longer than that takes.
fn cell<K: Eq + Hash, V>(cells: &Once<K, V>, key: K) -> Arc<OnceCell<V>> {
    Arc::clone(cells.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default())
}

/// What is rendered so far: shared by renderers that work side by side.
#[derive(Debug, Default)]
pub struct Rendered(Once<DigestId, Option<Loaded>>);

#[derive(Debug)]
struct Loaded {
    digest: Digest,
    feed: Feed,
    newsletter: Newsletter,
    articles: Vec<Released>,
    /// What instant digests brought of them.
    alerts: Vec<Alert>,
    /// Which subject of its trial those get who were not on it.
    picked: OnceCell<usize>,
    groups: Once<Alike, Group>,
}

/// What readers of a digest have in common who get the same message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Alike {
    /// How many articles are skipped at the beginning.
    skipped: usize,
    /// Articles that they have had by an alert.
    alerted: Vec<ArticleId>,
    /// Which subject of a trial they get.
    subject: Option<usize>,
    /// The place of their language.
    language: usize,
}

impl Alike {
    /// A word for it that is the same on every machine and retry.
    fn word(&self, languages: &Languages) -> String {
        let Self { skipped, alerted, subject, language } = self;
        let alerted = if alerted.is_empty() {
            String::new()
        } else {
            format!("a{}", &super::fingerprint(alerted.iter().map(|article| article.0.as_bytes()))[..12])
        };
        let subject = subject.map(|place| format!("s{place}")).unwrap_or_default();
        // Of letters and digits, as a boundary is.
        let language = match language {
            0 => String::new(),
            place => format!("l{}", languages.at(*place).replace('-', "")),
        };
        format!("g{skipped}{alerted}{subject}{language}")
    }
}

/// Readers of a digest who get the same articles.
#[derive(Debug)]
enum Group {
    /// Their messages differ in the places of one letter.
    Alike(Box<(CompiledLetter, CompiledDigest)>),
    /// The template looks at the reader: each message is rendered anew.
    Apart(Box<CompiledDigest>),
}

impl<'a> Renderer<'a> {
    /// A renderer with nothing rendered yet.
    pub fn new(publication: &'a Publication) -> Self {
        Self::sharing(publication, Arc::default())
    }

    /// A renderer that shares what is rendered with others.
    pub fn sharing(publication: &'a Publication, rendered: Arc<Rendered>) -> Self {
        let urls = publication.config.live_urls();
        let presenter = |language: &str| Presenter::new(publication, urls.clone()).speaking(language);
        let presenters = publication.languages.iter().map(presenter).collect();
        Self { publication, presenters, language: 0, rendered }
    }

    /// The same for a reader with this language, where it is on offer.
    #[must_use]
    pub fn speaking(self, language: Option<&str>) -> Self {
        Self { language: self.publication.languages.of_reader(language), ..self }
    }

    /// The presenter that speaks the language at this place.
    fn presenter(&self, language: usize) -> &Presenter<'a> {
        &self.presenters[if language < self.presenters.len() { language } else { 0 }]
    }

    /// A reader's links and greeting.
    pub fn own(&self, subscriber: SubscriberId, name: Option<&str>, feed: &FeedName) -> Own {
        self.own_in(self.language, subscriber, name, feed)
    }

    fn own_in(&self, language: usize, subscriber: SubscriberId, name: Option<&str>, feed: &FeedName) -> Own {
        let presenter = self.presenter(language);
        let leave = Link { purpose: Purpose::Leave, subscriber, feed: Some(feed.clone()), expires_at: None };
        let leave = format!("/unsubscribe/{}", self.publication.keyring.sign(&leave));
        let name = name.map(one_line).filter(|name| !name.is_empty());
        Own {
            greeting: presenter.speech().greeting(name.as_deref()),
            name,
            unsubscribe_url: presenter.urls.at(&leave),
            preferences_url: presenter.urls.at(&self.publication.preferences(subscriber)),
            attributes: Attributes::default(),
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
        self.compile_noted(feed, newsletter, digest, articles, digest.and_then(|digest| digest.note.as_deref()))
    }

    /// The same with an editor's words at the top, whether there is a digest yet or not.
    ///
    /// # Errors
    /// A template or subject that cannot be rendered, by file and line.
    pub fn compile_noted(
        &self,
        feed: &Feed,
        newsletter: &Newsletter,
        digest: Option<&Digest>,
        articles: &[Released],
        note: Option<&str>,
    ) -> Result<CompiledDigest, Problem> {
        let mut view = self.view(self.language, feed, digest, articles);
        view.digest.note = note.map(str::to_owned);
        self.compile_view(self.language, feed, newsletter, digest, view)
    }

    /// The same for readers who are alike: in their language, with what they have had by an alert marked.
    fn compile_marked(
        &self,
        feed: &Feed,
        newsletter: &Newsletter,
        digest: &Digest,
        articles: &[Released],
        alike: &Alike,
    ) -> Result<CompiledDigest, Problem> {
        let mut view = self.view(alike.language, feed, Some(digest), articles);
        let is_alerted = |released: &&Released| alike.alerted.contains(&released.article.id);
        for released in articles.iter().filter(is_alerted) {
            let url = self.presenter(alike.language).address(&released.article);
            let cards = view.featured.iter_mut().chain(&mut view.latest).chain(&mut view.articles);
            cards.filter(|card| card.url == url).for_each(|card| card.alerted = true);
        }
        self.compile_view(alike.language, feed, newsletter, Some(digest), view)
    }

    /// What its template sees, for nobody yet.
    fn view(&self, language: usize, feed: &Feed, digest: Option<&Digest>, articles: &[Released]) -> DigestView {
        let reader = self.own_in(language, SubscriberId(uuid::Uuid::nil()), None, &feed.name).view();
        self.presenter(language).digest(feed, digest, articles, reader, self.publication.clock.now())
    }

    fn compile_view(
        &self,
        language: usize,
        feed: &Feed,
        newsletter: &Newsletter,
        digest: Option<&Digest>,
        mut view: DigestView,
    ) -> Result<CompiledDigest, Problem> {
        let templates = &self.publication.templates;
        view.digest.subject = templates.subject(&newsletter.subject, &format!("feeds/{}.toml", feed.name), &view)?;
        let cadence = digest.map_or(Some(newsletter.default), |digest| digest.key.cadence);
        let template = newsletter.template_for(cadence, view.articles.len());
        if !templates.has_mail(template) {
            let file = format!("templates/mail/{template}.mjml.hbs");
            return Err(Problem::new(
                file,
                format!("there is no such template, which feeds/{}.toml asks for", feed.name),
            )
            .hint("write it and its .txt.hbs, or leave `template` out for the one that is built in"));
        }
        let own = self.own_in(
            language,
            SubscriberId(uuid::Uuid::nil()),
            Some("A Reader With A Rather Long Name"),
            &feed.name,
        );
        self.fitted(feed, newsletter, template, &view, &own)
    }

    /// The digest, shortened where it would be too large for one mail to a reader such as this.
    fn fitted(
        &self,
        feed: &Feed,
        newsletter: &Newsletter,
        template: &str,
        view: &DigestView,
        own: &Own,
    ) -> Result<CompiledDigest, Problem> {
        let templates = &self.publication.templates;
        let size = |view: &mut DigestView| -> Result<usize, Problem> {
            let draft = CompiledDigest::draft(templates, template, view)?;
            let values = draft.values(templates, own)?;
            // A letter that cannot be made is named by what makes the real one.
            let letter = self.letter(feed, newsletter, &draft, None, "size").ok();
            Ok(letter.map_or(0, |letter| letter.html_bytes(&values.iter().map(String::as_str).collect::<Vec<_>>())))
        };
        let room = fit::room(view.articles.len(), |room| Ok(size(&mut room.of(view))? <= fit::MOST_BYTES))?;
        let mut fitted = room.of(view);
        let mut compiled = CompiledDigest::compile(templates, template, fitted.clone())?;
        if !fitted.digest.shortened {
            return Ok(compiled);
        }
        let file = format!("feeds/{}.toml", feed.name);
        let left_out = match fitted.digest.left_out {
            0 => String::new(),
            number => format!(", and {number} are left out"),
        };
        let what = format!(
            "a digest of {} articles is larger than the {} KB that Gmail shows: {} of them come whole, the others as \
             headlines{left_out}",
            view.articles.len(),
            fit::GMAIL_CLIPS_AT / 1000,
            room.full.min(room.kept)
        );
        compiled.notes.push(Problem::new(file, what).hint("send more often, or select fewer articles"));
        let bytes = size(&mut fitted)?;
        if bytes > fit::MOST_BYTES {
            let what = format!(
                "comes to {bytes} bytes of HTML however few articles; Gmail clips a mail at {}",
                fit::GMAIL_CLIPS_AT
            );
            compiled
                .notes
                .push(Problem::new(templates.file_of_mail(template), what).hint("shorten what is in it besides"));
        }
        Ok(compiled)
    }

    /// The bodies of a welcome to one reader of these feeds, with these articles to begin with and where their own feed is.
    ///
    /// # Errors
    /// A template that cannot be rendered, by file and line.
    pub fn welcome(
        &self,
        feeds: &[&Feed],
        articles: &[Released],
        own: &Own,
        own_feed_url: &str,
    ) -> Result<Bodies, Problem> {
        let view = self.presenter(self.language).welcome(feeds, articles, own.view(), own_feed_url);
        self.publication.templates.mail("welcome", &view)
    }

    async fn load(&self, id: DigestId) -> Result<Option<Loaded>, TaskError> {
        let Some(digest) = self.publication.store.digest(id).await? else { return Ok(None) };
        let (feed, newsletter) = newsletter(self.publication, digest.key.newsletter.as_str())?;
        let (feed, newsletter) = (feed.clone(), newsletter.clone());
        let articles = self.publication.store.articles_of(id).await?;
        let alerts = self.publication.store.alerts_in(id).await?;
        Ok(Some(Loaded {
            digest,
            feed,
            newsletter,
            articles,
            alerts,
            picked: OnceCell::new(),
            groups: Mutex::default(),
        }))
    }

    async fn loaded(&self, id: DigestId) -> Result<Arc<OnceCell<Option<Loaded>>>, TaskError> {
        let cell = cell(&self.rendered.0, id);
        cell.get_or_try_init(|| self.load(id)).await?;
        Ok(cell)
    }

    /// Says of claimed deliveries which of their articles the reader has had by an alert, and what is known of the reader: one
    /// statement each, where anybody can have had any, and where a template shows it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn complete(&self, claimed: &mut [Claimed]) -> Result<(), StoreError> {
        let mut alerts = HashMap::new();
        for one in claimed.iter() {
            if alerts.contains_key(&one.digest) {
                continue;
            }
            let of_digest = match self.loaded(one.digest).await {
                Ok(cell) => cell.get().and_then(Option::as_ref).map(|loaded| loaded.alerts.clone()),
                Err(TaskError::Store(error)) => return Err(error),
                // Whoever prepares the message says what is wrong with its newsletter.
                Err(_) => None,
            };
            alerts.insert(one.digest, of_digest.unwrap_or_default());
        }
        self.publication.store.mark_alerted(claimed, &alerts).await?;
        if claimed.is_empty() || !self.publication.templates.names_attributes() {
            return Ok(());
        }
        let who: Vec<SubscriberId> = claimed.iter().map(|one| one.subscriber).collect();
        let known = self.publication.store.attributes_of(&who).await?;
        for one in claimed {
            one.attributes = known.get(&one.subscriber).cloned().unwrap_or_default();
        }
        Ok(())
    }

    fn group(&self, loaded: &Loaded, alike: &Alike) -> Result<Group, TaskError> {
        let Loaded { digest, feed, newsletter, articles, .. } = loaded;
        let articles = &articles[alike.skipped..];
        let tried = digest.trial.as_ref().and_then(|trial| trial.subjects.get(alike.subject?));
        let newsletter = &tried.map_or_else(
            || newsletter.clone(),
            |subject| Newsletter { subject: subject.clone(), ..newsletter.clone() },
        );
        let compiled = self.compile_marked(feed, newsletter, digest, articles, alike)?;
        for note in &compiled.notes {
            tracing::warn!(newsletter = %feed.name, digest = %digest.id, "{}", crate::problem::printable(&note.what));
        }
        if compiled.is_patched() {
            let boundary = format!("{}{}", digest.id.0.simple(), alike.word(&self.publication.languages));
            let letter = self.letter(feed, newsletter, &compiled, None, &boundary)?;
            return Ok(Group::Alike(Box::new((letter, compiled))));
        }
        tracing::info!(newsletter = %feed.name, "the template looks at the reader: each message is rendered anew");
        Ok(Group::Apart(Box::new(compiled)))
    }

    /// The message of a claimed delivery, written into `buffer`; `None` where nothing is left to bring, since articles
    /// were withdrawn.
    ///
    /// # Errors
    /// When the store fails, or a template, a subject or the newsletter itself has a fault.
    pub async fn prepare(&self, claimed: &Claimed, buffer: Vec<u8>) -> Result<Option<Prepared>, TaskError> {
        let cell_of_digest = self.loaded(claimed.digest).await?;
        let Some(loaded) = cell_of_digest.get().and_then(Option::as_ref) else { return Ok(None) };
        let skipped = loaded.articles.partition_point(|released| released.release.number <= claimed.cursor_from);
        if skipped == loaded.articles.len() {
            return Ok(None);
        }
        let subject = self.subject_for(loaded, claimed).await?;
        let language = self.publication.languages.of_reader(claimed.language.as_deref());
        let alike = Alike { skipped, alerted: claimed.alerted.clone(), subject, language };
        let cell_of_group = cell(&loaded.groups, alike.clone());
        let group = cell_of_group.get_or_try_init(async || self.group(loaded, &alike)).await?;
        let Loaded { feed, newsletter, .. } = loaded;
        let own = Own {
            attributes: claimed.attributes.clone(),
            ..self.own_in(language, claimed.subscriber, claimed.name.as_deref(), &feed.name)
        };
        let to = Mailbox::new(claimed.name.as_deref(), claimed.address.clone());
        let file_stem = self.publication.keyring.message_id(claimed.digest, claimed.subscriber);
        let whose = Some((claimed.subscriber, claimed.digest));
        let templates = &self.publication.templates;
        let prepared = match group {
            Group::Alike(alike) => {
                let (letter, compiled) = &**alike;
                let values = compiled.values(templates, &own)?;
                let addressee = Addressee { to: &to, own: &own, values: &values };
                self.message(newsletter, letter, &addressee, file_stem, whose, buffer)
            }
            Group::Apart(compiled) => {
                let bodies = compiled.for_reader(templates, &own)?;
                let letter = self.letter(feed, newsletter, compiled, Some(&bodies), &file_stem)?;
                let addressee = Addressee { to: &to, own: &own, values: &[] };
                self.message(newsletter, &letter, &addressee, file_stem, whose, buffer)
            }
        };
        prepared.map(Some)
    }

    /// Which subject of a trial a reader gets.
    async fn subject_for(&self, loaded: &Loaded, claimed: &Claimed) -> Result<Option<usize>, TaskError> {
        let Some(trial) = &loaded.digest.trial else { return Ok(None) };
        if let Part::Tried(place) = trial.part(claimed.digest, claimed.subscriber) {
            return Ok(Some(place));
        }
        // It may have been picked since the digest was loaded; before it is, nobody else is claimed.
        let picked = async || {
            let digest = self.publication.store.digest(claimed.digest).await?;
            Ok::<_, StoreError>(digest.and_then(|digest| digest.trial?.picked).unwrap_or(0))
        };
        Ok(Some(*loaded.picked.get_or_try_init(picked).await?))
    }

    /// A compiled digest as a letter that is to be patched, or that says `whole` to whomever. `boundary` is what makes
    /// its boundary.
    ///
    /// # Errors
    /// When a value does not fit into its header.
    pub fn letter(
        &self,
        feed: &Feed,
        newsletter: &Newsletter,
        compiled: &CompiledDigest,
        whole: Option<&Bodies>,
        boundary: &str,
    ) -> Result<CompiledLetter, TaskError> {
        let (text, html): (Vec<_>, Vec<_>) = match whole {
            Some(bodies) => (vec![Piece::Text(&bodies.text)], vec![Piece::Text(&bodies.html)]),
            None => {
                (compiled.text_pieces().flat_map(pieces).collect(), compiled.html_pieces().flat_map(pieces).collect())
            }
        };
        let (host, urls) = (self.publication.config.host(), &self.presenter(0).urls);
        Ok(CompiledLetter::new(&Common {
            from: self.sender(newsletter),
            reply_to: self.publication.config.mail.reply_to.as_ref(),
            subject: &compiled.subject,
            list: Some(List {
                id: (&feed.title, &format!("{}.{host}", feed.name)),
                archive_url: Some(&if newsletter.archive { urls.archive(&feed.name) } else { urls.feed(&feed.name) }),
                feedback_id: Some(&format!("{}:digest:tidings:{}", feed.name, sender_id(host))),
            }),
            text: &text,
            html: &html,
            boundary,
        })?)
    }

    fn sender<'n>(&'n self, newsletter: &'n Newsletter) -> &'n Mailbox {
        newsletter.from.as_ref().unwrap_or(&self.publication.config.mail.from)
    }

    /// A letter patched for one person; with `whose` delivery it is, what comes back of it can be told from others. It is
    /// written into `bytes`, for their memory's sake.
    ///
    /// # Errors
    /// When a value does not fit into its header.
    pub fn message(
        &self,
        newsletter: &Newsletter,
        letter: &CompiledLetter,
        addressee: &Addressee<'_>,
        file_stem: String,
        whose: Option<(SubscriberId, DigestId)>,
        mut bytes: Vec<u8>,
    ) -> Result<Prepared, TaskError> {
        let Addressee { to, own, values } = *addressee;
        let from = self.sender(newsletter);
        let bounces = whose.and_then(|(who, digest)| self.publication.bounces_to(who, Some(digest)));
        let leave = bounces.as_ref().map(|bounces| format!("mailto:{bounces}?subject=unsubscribe"));
        let reader = Reader {
            to,
            message_id: &format!("{file_stem}@{}", self.publication.config.host()),
            date: self.publication.clock.now(),
            links: Some(Links {
                unsubscribe_url: &own.unsubscribe_url,
                unsubscribe_mailto: leave.as_deref(),
                help_url: Some(&own.preferences_url),
            }),
            values: &values.iter().map(String::as_str).collect::<Vec<_>>(),
        };
        letter.write(&reader, &mut bytes)?;
        let whose = whose.map(|(who, digest)| (who, Some(digest)));
        let bytes = self.publication.sign(&from.address, whose, bytes)?;
        let from = bounces.unwrap_or_else(|| from.address.as_str().to_owned());
        Ok(Prepared { from, bytes, file_stem })
    }
}

/// Who sends, in 5 to 15 characters, as Google wants the last part of `Feedback-ID`.
fn sender_id(host: &str) -> String {
    let id: String = host.replace('.', "-").chars().take(15).collect();
    format!("{:-<5}", id.trim_end_matches('-'))
}

/// A piece of a compiled digest with the place before it, as a letter takes them.
fn pieces((place, text): (Option<Place>, &str)) -> impl Iterator<Item = Piece<'_>> {
    let place = place.map(|place| match place {
        Place::Field(number) => Piece::Place(number),
        Place::Block(number) => Piece::Markup(number),
    });
    place.into_iter().chain([Piece::Text(text)])
}
