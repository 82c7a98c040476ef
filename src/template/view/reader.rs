//! What the pages of one reader see: the form's, their choices, leaving.

use serde::Serialize;

use super::{CadenceView, ConsentText, FeedView, LinkView};

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
