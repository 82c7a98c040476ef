//! What mail sees.

use serde::Serialize;

use super::{Card, NewsletterView, PublicationView};
use crate::domain::attributes::Attributes;

/// What a letter says, in words of its reader.
#[derive(Debug, Clone, Serialize)]
pub struct LetterFacts {
    /// Heading.
    pub heading: String,
    /// One or two sentences.
    pub text: String,
    /// Where its button leads.
    pub url: String,
    /// What the button says.
    pub button: String,
    /// What stands below it.
    pub note: String,
}

/// What the template of a letter sees.
#[derive(Debug, Clone, Serialize)]
pub struct LetterView {
    /// The language of the mail: helpers speak it.
    pub language: String,
    /// `ltr` or `rtl`.
    pub dir: &'static str,
    /// The publication.
    pub publication: PublicationView,
    /// What it says.
    pub letter: LetterFacts,
}

/// The digest itself.
#[derive(Debug, Clone, Serialize)]
pub struct DigestFacts {
    /// Subject line.
    pub subject: String,
    /// Date for people.
    pub date: String,
    /// Date for machines.
    pub date_iso: String,
    /// How often its readers get it.
    pub cadence: Option<&'static str>,
    /// How many articles.
    pub count: usize,
    /// What mail programs show beside the subject.
    pub preheader: String,
    /// An editor's words at the top.
    pub note: Option<String>,
    /// Its page in the archive, if it has one.
    pub web_url: Option<String>,
    /// Whether some articles are in `headlines` only, since the mail would be too large.
    pub shortened: bool,
    /// How many articles had no room at all.
    pub left_out: usize,
}

/// What is one reader's own. In templates only as plain `{{reader.…}}`, which is patched in afterwards; with logic
/// inside of `{{#reader}}…{{/reader}}`, which is rendered for each reader.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ReaderView {
    /// "Hello Mara," or "Hello,".
    pub greeting: String,
    /// One click and out.
    pub unsubscribe_url: String,
    /// All choices.
    pub preferences_url: String,
    /// The name that they gave.
    pub name: Option<String>,
    /// What else is known of them.
    pub attributes: Attributes,
}

/// What a digest template sees.
#[derive(Debug, Clone, Serialize)]
pub struct DigestView {
    /// The language of the mail: helpers speak it.
    pub language: String,
    /// `ltr` or `rtl`.
    pub dir: &'static str,
    /// The publication.
    pub publication: PublicationView,
    /// The newsletter.
    pub newsletter: NewsletterView,
    /// The digest.
    pub digest: DigestFacts,
    /// Don't miss.
    pub featured: Vec<Card>,
    /// The others.
    pub latest: Vec<Card>,
    /// Those for which there is room as a headline only.
    pub headlines: Vec<Card>,
    /// All of these, in their order.
    pub articles: Vec<Card>,
    /// The reader.
    pub reader: ReaderView,
}

/// What a template of a welcome sees.
#[derive(Debug, Clone, Serialize)]
pub struct WelcomeView {
    /// The language of the mail: helpers speak it.
    pub language: String,
    /// `ltr` or `rtl`.
    pub dir: &'static str,
    /// The publication.
    pub publication: PublicationView,
    /// The newsletter.
    pub newsletter: NewsletterView,
    /// The latest articles, newest first.
    pub articles: Vec<Card>,
    /// The reader's own feed: what they chose, in one.
    pub own_feed_url: String,
    /// The reader.
    pub reader: ReaderView,
}

/// What a confirmation is about.
#[derive(Debug, Clone, Serialize)]
pub struct ConfirmFacts {
    /// The page whose button confirms.
    pub url: String,
    /// Titles of the feeds asked for.
    pub feeds: Vec<String>,
    /// For how many days the link holds.
    pub days: i64,
}

/// What a confirmation template sees.
#[derive(Debug, Clone, Serialize)]
pub struct ConfirmView {
    /// The language of the mail: helpers speak it.
    pub language: String,
    /// `ltr` or `rtl`.
    pub dir: &'static str,
    /// The publication.
    pub publication: PublicationView,
    /// What it is about.
    pub confirm: ConfirmFacts,
}

/// One thing that is so: "Readers" and "120 waiting".
#[derive(Debug, Clone, Serialize)]
pub struct FactView {
    /// What it is about.
    pub name: String,
    /// How it stands.
    pub value: String,
}

/// One thing that an editor can do.
#[derive(Debug, Clone, Serialize)]
pub struct StepView {
    /// What it does, as a sentence: "Send it now, to everybody who still waits."
    pub what: String,
    /// The command, to be copied: on one line.
    pub command: Option<String>,
    /// A page where it can be done or read about instead.
    pub url: Option<String>,
}

/// What an editor is told, in the words of the command line.
#[derive(Debug, Clone, Serialize)]
pub struct NoticeFacts {
    /// What happened, and to what: "Halted: Latest news, 24 November 2026".
    pub heading: String,
    /// One or two sentences: what it means for the readers.
    pub text: String,
    /// The reason as it was noted, such as a server's reply; shown word for word.
    pub why: Option<String>,
    /// How things stand.
    pub facts: Vec<FactView>,
    /// What to do next, the likeliest first.
    pub steps: Vec<StepView>,
}

/// What the template of a notice to the editors sees.
#[derive(Debug, Clone, Serialize)]
pub struct NoticeMail {
    /// The publication.
    pub publication: PublicationView,
    /// What they are told.
    pub notice: NoticeFacts,
}
