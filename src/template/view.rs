//! What templates see. A field that may be missing is null, so that strict templates can ask for it.

mod mail;
mod reader;

use serde::Serialize;

pub use self::mail::*;
pub use self::reader::*;

/// The publication.
#[derive(Debug, Clone, Serialize)]
pub struct PublicationView {
    /// Name.
    pub title: String,
    /// One sentence.
    pub description: Option<String>,
    /// Its URL, no trailing slash.
    pub url: String,
    /// Language tag.
    pub language: String,
    /// Postal address.
    pub address: Option<String>,
}

/// The page that is being rendered.
#[derive(Debug, Clone, Serialize)]
pub struct PageView {
    /// Title.
    pub title: String,
    /// One sentence.
    pub description: String,
    /// Canonical URL.
    pub url: String,
    /// `home`, `article`, `feed`, `shelf`, `digest`, `archive`, `subscribe`, `notice`, `preferences`.
    pub kind: &'static str,
    /// `ltr` or `rtl`.
    pub dir: &'static str,
    /// Language tag: of its frame, and what helpers speak.
    pub language: String,
    /// Language of what it shows, such as a feed's.
    pub content_language: String,
    /// A feed of its own beside those of every page: of the archive, or of the section, tag or author.
    pub feed: Option<PageFeedView>,
}

/// A feed of a page: past digests, or the articles of a section, tag or author.
#[derive(Debug, Clone, Serialize)]
pub struct PageFeedView {
    /// Title.
    pub title: String,
    /// Its documents.
    pub rss: String,
    /// See `rss`.
    pub atom: String,
    /// See `rss`.
    pub json: String,
}

/// A cadence on offer.
#[derive(Debug, Clone, Serialize)]
pub struct CadenceView {
    /// The word for it.
    pub value: &'static str,
    /// For people.
    pub label: String,
    /// Of those who do not choose.
    pub default: bool,
    /// Of this reader.
    pub chosen: bool,
}

/// A feed.
#[derive(Debug, Clone, Serialize)]
pub struct FeedView {
    /// Name.
    pub name: String,
    /// Title.
    pub title: String,
    /// One or two sentences.
    pub description: String,
    /// Its page.
    pub url: String,
    /// Its documents.
    pub rss: String,
    /// See `rss`.
    pub atom: String,
    /// See `rss`.
    pub json: String,
    /// Whether it comes by mail.
    pub newsletter: bool,
    /// How often.
    pub cadences: Vec<CadenceView>,
    /// Its past digests: on its own page, and where there are some.
    pub archive_url: Option<String>,
}

/// A picture.
#[derive(Debug, Clone, Serialize)]
pub struct ImageView {
    /// Absolute URL.
    pub url: String,
    /// What it shows.
    pub alt: String,
}

/// What an article brings along to be heard or watched.
#[derive(Debug, Clone, Serialize)]
pub struct EnclosureView {
    /// Absolute URL.
    pub url: String,
    /// Media type.
    pub media_type: String,
    /// It is listened to.
    pub is_audio: bool,
    /// It is watched.
    pub is_video: bool,
    /// What one does with it, how long it is and how large: "Listen (12 min, 14 MB)".
    pub label: String,
    /// The same for who takes the file along: "Download (12 min, 14 MB)".
    pub download: String,
    /// What is said in it, in writing.
    pub transcripts: Vec<LinkView>,
    /// What is shown while it plays.
    pub captions: Vec<CaptionsView>,
}

/// What is said, in time with what is seen.
#[derive(Debug, Clone, Serialize)]
pub struct CaptionsView {
    /// Absolute URL of a file in `WebVTT`.
    pub url: String,
    /// Language tag.
    pub language: String,
}

/// An article in a list.
#[derive(Debug, Clone, Serialize)]
pub struct Card {
    /// Title.
    pub title: String,
    /// Absolute URL.
    pub url: String,
    /// Label such as "Breaking news".
    pub label: Option<String>,
    /// Dateline.
    pub place: Option<String>,
    /// Section.
    pub section: Option<String>,
    /// One paragraph.
    pub summary: String,
    /// Date for people.
    pub date: String,
    /// Date for machines.
    pub date_iso: String,
    /// Names in a row.
    pub authors: Option<String>,
    /// Picture.
    pub image: Option<ImageView>,
    /// What it brings along to be heard or watched.
    pub enclosure: Option<EnclosureView>,
    /// Reading time.
    pub minutes: u32,
    /// Language tag.
    pub language: String,
    /// `ltr` or `rtl`, by its language.
    pub dir: &'static str,
    /// Questions and answers.
    pub faq: Vec<QuestionView>,
    /// Whether the reader has had it by an alert before this digest.
    pub alerted: bool,
}

/// A question and its answer.
#[derive(Debug, Clone, Serialize)]
pub struct QuestionView {
    /// Plain text.
    pub question: String,
    /// HTML.
    pub answer: String,
    /// The same as plain text, on one line.
    pub answer_text: String,
}

/// An article on its own page.
#[derive(Debug, Clone, Serialize)]
pub struct ArticleView {
    /// What it has in a list too.
    #[serde(flatten)]
    pub card: Card,
    /// Body.
    pub html: String,
    /// The summary, where its author wrote one.
    pub standfirst: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Where section, tags and authors lead, where they have feeds of their own.
    pub shelves: ShelfLinks,
    /// Last edit for people.
    pub updated: Option<String>,
    /// Last edit for machines.
    pub updated_iso: Option<String>,
    /// Also read.
    pub related: Vec<Card>,
    /// The article before it.
    pub prev: Option<Card>,
    /// The article after it.
    pub next: Option<Card>,
    /// Where it stood first, if it came from elsewhere: its address and host.
    pub original: Option<LinkView>,
    /// A `<script type="application/ld+json">` element.
    pub json_ld: String,
}

/// A text that is agreed to with the form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConsentText {
    /// What is shown.
    pub text: String,
    /// A hash of it.
    pub version: String,
}

/// What a form holds when it is shown again.
#[derive(Debug, Clone, Serialize)]
pub struct FormView {
    /// As typed.
    pub address: String,
    /// As typed.
    pub name: String,
    /// As typed.
    pub time_zone: String,
    /// Those there are.
    pub time_zones: Vec<&'static str>,
    /// Names of the feeds ticked.
    pub chosen: Vec<String>,
    /// What is wrong with it.
    pub error: Option<String>,
}

/// What every page sees.
#[derive(Debug, Clone, Serialize)]
pub struct Common {
    /// The publication.
    pub publication: PublicationView,
    /// The feeds.
    pub feeds: Vec<FeedView>,
    /// The stylesheet.
    pub style_url: String,
    /// The home page.
    pub home_url: String,
    /// The sign-up form, and where it posts to.
    pub subscribe_url: String,
    /// The script that makes the form answer in its place.
    pub form_script_url: String,
    /// What is agreed to with the form.
    pub consent: ConsentText,
    /// Where readers find what is done with what they give.
    pub privacy_url: Option<String>,
    /// The zone of readers who name none.
    pub time_zone: &'static str,
    /// "Stay in touch" as HTML: the same on every page, so it is rendered once.
    pub stay: String,
    /// The lists of all sections, tags and authors, as far as these have feeds.
    pub shelf_lists: Vec<LinkView>,
    /// All feeds in one file.
    pub opml_url: String,
    /// The picture that browsers show beside the title.
    pub icon_url: String,
}

/// A page with its own data beside what every page sees.
#[derive(Debug, Clone, Serialize)]
pub struct Page<'a, T> {
    /// What every page sees.
    #[serde(flatten)]
    pub common: &'a Common,
    /// The page.
    pub page: PageView,
    /// The sign-up form, when it is shown again.
    pub form: Option<FormView>,
    /// What only this page sees.
    #[serde(flatten)]
    pub own: T,
}

/// A language that a reader can have.
#[derive(Debug, Clone, Serialize)]
pub struct LanguageView {
    /// Language tag.
    pub tag: String,
    /// What its speakers call it.
    pub name: String,
    /// `ltr` or `rtl`.
    pub dir: &'static str,
    /// This page in that language.
    pub url: String,
    /// Whether this is the page.
    pub current: bool,
}

/// The own data of the page with the sign-up form.
#[derive(Debug, Clone, Serialize)]
pub struct SubscribePage {
    /// The languages to choose from; none where there is one.
    pub languages: Vec<LanguageView>,
}

/// The home page's own data.
#[derive(Debug, Clone, Serialize)]
pub struct Home {
    /// Newest first.
    pub latest: Vec<Card>,
    /// Don't miss.
    pub featured: Vec<Card>,
}

/// The own data of the page where an article was that is withdrawn.
#[derive(Debug, Clone, Serialize)]
pub struct GonePage {
    /// Newest first.
    pub latest: Vec<Card>,
}

/// An article page's own data.
#[derive(Debug, Clone, Serialize)]
pub struct ArticlePage {
    /// The article.
    pub article: ArticleView,
}

/// A feed page's own data.
#[derive(Debug, Clone, Serialize)]
pub struct FeedPage {
    /// The feed.
    pub feed: FeedView,
    /// Newest first.
    pub entries: Vec<Card>,
}

/// A section, tag or author.
#[derive(Debug, Clone, Serialize)]
pub struct ShelfView {
    /// Which of them it is, for people.
    pub kind: String,
    /// The list of all that are of its kind.
    pub all_url: String,
    /// Its word or name.
    pub word: String,
    /// What it holds, in a sentence.
    pub text: String,
}

/// The own data of the page of a section, tag or author; its feed is the page's `archive`.
#[derive(Debug, Clone, Serialize)]
pub struct ShelfPage {
    /// Which.
    pub shelf: ShelfView,
    /// Newest first.
    pub entries: Vec<Card>,
    /// Whether anything comes by mail.
    pub has_mail: bool,
}

/// The own data of the list of all sections, tags or authors.
#[derive(Debug, Clone, Serialize)]
pub struct ShelfListPage {
    /// Each of them, in the order of their addresses.
    pub shelves: Vec<LinkView>,
}

/// Where an article's section, tags and authors lead.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ShelfLinks {
    /// The section's page.
    pub section_url: Option<String>,
    /// Each tag, with an empty URL where it has no page.
    pub tags: Vec<LinkView>,
    /// "By A and B" with links, as HTML.
    pub byline: Option<String>,
}

/// A past digest in a list.
#[derive(Debug, Clone, Serialize)]
pub struct PastDigest {
    /// Its subject line.
    pub subject: String,
    /// Its page.
    pub url: String,
    /// Date for people.
    pub date: String,
    /// Date for machines.
    pub date_iso: String,
    /// How many articles.
    pub count: usize,
    /// An editor's words at the top.
    pub note: Option<String>,
}

/// The own data of a past digest's page.
#[derive(Debug, Clone, Serialize)]
pub struct DigestPage {
    /// The newsletter.
    pub newsletter: NewsletterView,
    /// All of its digests.
    pub archive_url: String,
    /// The digest.
    pub digest: PastDigest,
    /// Don't miss.
    pub featured: Vec<Card>,
    /// The others.
    pub latest: Vec<Card>,
    /// The digest before it.
    pub prev: Option<PastDigest>,
    /// The digest after it.
    pub next: Option<PastDigest>,
}

/// A month of an archive.
#[derive(Debug, Clone, Serialize)]
pub struct MonthView {
    /// Its name, with the year.
    pub name: String,
    /// Newest first.
    pub digests: Vec<PastDigest>,
}

/// A year of an archive.
#[derive(Debug, Clone, Serialize)]
pub struct YearView {
    /// Its number, as the language writes it.
    pub year: String,
    /// Its list.
    pub url: String,
    /// Whether this is the page.
    pub current: bool,
}

/// The own data of an archive's list.
#[derive(Debug, Clone, Serialize)]
pub struct ArchivePage {
    /// The newsletter.
    pub newsletter: NewsletterView,
    /// The newest digests.
    pub archive_url: String,
    /// Which year, as the language writes it; none is the newest ones.
    pub year: Option<String>,
    /// Newest first.
    pub months: Vec<MonthView>,
    /// Newest first.
    pub years: Vec<YearView>,
}

/// A link.
#[derive(Debug, Clone, Serialize)]
pub struct LinkView {
    /// Where it leads.
    pub url: String,
    /// What it says.
    pub label: String,
}

/// The newsletter that a digest belongs to.
#[derive(Debug, Clone, Serialize)]
pub struct NewsletterView {
    /// Feed name.
    pub name: String,
    /// Title.
    pub title: String,
    /// One or two sentences.
    pub description: String,
    /// The feed's page.
    pub feed_url: String,
}
