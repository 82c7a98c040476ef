//! What templates see. A field that may be missing is null, so that strict templates can ask for it.

use serde::Serialize;

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
    pub archive: Option<ArchiveFeedView>,
}

/// A feed of a page: past digests, or the articles of a section, tag or author.
#[derive(Debug, Clone, Serialize)]
pub struct ArchiveFeedView {
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
    /// Reading time.
    pub minutes: u32,
    /// Language tag.
    pub language: String,
    /// `ltr` or `rtl`, by its language.
    pub dir: &'static str,
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
    /// Questions and answers.
    pub faq: Vec<QuestionView>,
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

/// A form's field that nobody sees.
#[derive(Debug, Clone, Serialize)]
pub struct HiddenView {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// The own data of the page with one button more.
#[derive(Debug, Clone, Serialize)]
pub struct PressPage {
    /// Where the message is going to.
    pub address: String,
    /// What is agreed to.
    pub press_consent: ConsentText,
    /// What was typed, and the pass.
    pub hidden: Vec<HiddenView>,
}

/// The form for any other site.
#[derive(Debug, Clone, Serialize)]
pub struct SnippetView {
    /// Language tag.
    pub language: String,
    /// `ltr` or `rtl`.
    pub dir: &'static str,
    /// Where it posts to.
    pub subscribe_url: String,
    /// What it offers.
    pub chosen: Vec<FeedView>,
    /// What is agreed to.
    pub consent: ConsentText,
    /// Where readers find what is done with what they give.
    pub privacy_url: Option<String>,
    /// The form's script, where it is wanted.
    pub script_url: Option<String>,
}

/// A button that acts.
#[derive(Debug, Clone, Serialize)]
pub struct ActionView {
    /// Where it posts to.
    pub url: String,
    /// What it says.
    pub label: String,
}

/// A link.
#[derive(Debug, Clone, Serialize)]
pub struct LinkView {
    /// Where it leads.
    pub url: String,
    /// What it says.
    pub label: String,
}

/// One thing to say to a reader, and maybe one thing to do.
#[derive(Debug, Clone, Serialize)]
pub struct NoticeView {
    /// Heading.
    pub heading: String,
    /// Plain text.
    pub text: String,
    /// A button.
    pub action: Option<ActionView>,
    /// A link beside it.
    pub secondary: Option<LinkView>,
}

/// A notice page's own data.
#[derive(Debug, Clone, Serialize)]
pub struct Notice {
    /// What it says.
    pub notice: NoticeView,
}

/// The person whose choices are shown.
#[derive(Debug, Clone, Serialize)]
pub struct SubscriberView {
    /// Address.
    pub address: String,
    /// Name.
    pub name: Option<String>,
}

/// One feed among a reader's choices.
#[derive(Debug, Clone, Serialize)]
pub struct ChoiceView {
    /// Feed name.
    pub feed: String,
    /// Title.
    pub title: String,
    /// One or two sentences.
    pub description: String,
    /// Whether it comes by mail now, or after a pause.
    pub active: bool,
    /// How often.
    pub cadences: Vec<CadenceView>,
    /// At which hour, where that is left to readers: first, as the newsletter has it.
    pub hours: Vec<OptionView>,
    /// On which day of the week or of the month, where that is: first, as the newsletter has it.
    pub days: Vec<OptionView>,
    /// The feed's page.
    pub feed_url: String,
}

/// Something to choose.
#[derive(Debug, Clone, Serialize)]
pub struct OptionView {
    /// What is posted.
    pub value: String,
    /// Word for it.
    pub label: String,
    /// Whether it is chosen now.
    pub chosen: bool,
}

/// A reader's pause.
#[derive(Debug, Clone, Serialize)]
pub struct PauseView {
    /// Whether there is one.
    pub on: bool,
    /// Its last day's morrow for people, where it ends by itself.
    pub until: Option<String>,
    /// The same for machines.
    pub until_iso: Option<String>,
    /// The soonest that can be chosen.
    pub from_iso: String,
    /// The latest that can be chosen.
    pub to_iso: String,
}

/// A line of what a reader agreed to.
#[derive(Debug, Clone, Serialize)]
pub struct ConsentView {
    /// Date for people.
    pub date: String,
    /// Date for machines.
    pub date_iso: String,
    /// What.
    pub text: String,
    /// By which way.
    pub source: String,
}

/// The preferences page's own data.
#[derive(Debug, Clone, Serialize)]
pub struct Preferences {
    /// Whose.
    pub subscriber: SubscriberView,
    /// Each feed on offer.
    pub subscriptions: Vec<ChoiceView>,
    /// Where the form posts to; each of the others has a path below it.
    pub action: String,
    /// Where leaving everything starts.
    pub unsubscribe_all_url: String,
    /// What was done just now.
    pub said: Option<String>,
    /// What could not be.
    pub error: Option<String>,
    /// Zone of the reader.
    pub time_zone: String,
    /// Every zone.
    pub time_zones: Vec<&'static str>,
    /// The reader's own feed.
    pub own_feed: OwnFeedView,
    /// Every language.
    pub languages: Vec<OptionView>,
    /// The pause.
    pub pause: PauseView,
    /// The address that was asked whether mail may come there.
    pub asked_address: Option<String>,
    /// What they agreed to, the newest first.
    pub consents: Vec<ConsentView>,
}

/// Where a reader's own feed is.
#[derive(Debug, Clone, Serialize)]
pub struct OwnFeedView {
    /// As Atom.
    pub atom: String,
    /// As RSS.
    pub rss: String,
    /// As JSON Feed.
    pub json: String,
    /// Where a new address is asked for.
    pub action: String,
    /// Which address this is, counted from 1.
    pub version: u32,
}

/// A reason to leave that can be chosen.
#[derive(Debug, Clone, Serialize)]
pub struct ReasonView {
    /// The word for it.
    pub value: &'static str,
    /// For people.
    pub label: String,
}

/// The own data of the page after leaving.
#[derive(Debug, Clone, Serialize)]
pub struct LeftPage {
    /// What comes no more.
    pub what: String,
    /// Where to read it on.
    pub read_on: Vec<FeedView>,
    /// Where the way back posts to, as long as there is one.
    pub back_url: Option<String>,
    /// Where a reason posts to, where one is asked for.
    pub reason_url: Option<String>,
    /// The reasons.
    pub reasons: Vec<ReasonView>,
    /// Where leaving everything starts, where something still comes.
    pub unsubscribe_all_url: Option<String>,
}

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
