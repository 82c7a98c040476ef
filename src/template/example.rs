//! Example data for checking templates before there is anything to send.

use serde::Serialize;

use super::view::{
    ActionView, ArchivePage, ArticlePage, ArticleView, CadenceView, CaptionsView, Card, ChoiceView, Common,
    ConfirmFacts, ConfirmView, ConsentText, ConsentView, DigestFacts, DigestPage, DigestView, EnclosureView, FactView,
    FeedPage, FeedView, FormView, GonePage, HiddenView, Home, ImageView, LanguageView, LeftPage, LetterFacts,
    LetterView, LinkView, MonthView, NewsletterView, Notice, NoticeFacts, NoticeMail, NoticeView, OptionView,
    OwnFeedView, Page, PageFeedView, PageView, PastDigest, PauseView, Preferences, PressPage, PublicationView,
    QuestionView, ReaderView, ReasonView, ShelfLinks, ShelfListPage, ShelfPage, ShelfView, SnippetView, StepView,
    SubscribePage, SubscriberView, WelcomeView, YearView,
};
use super::{Bodies, Templates};
use crate::domain::attributes::Attributes;
use crate::problem::Problem;

/// Renders everything, with every optional field present and with none.
pub(super) fn check(templates: &Templates) -> Vec<Problem> {
    let mut problems = vec![];
    for full in [true, false] {
        let common = common(full);
        let mut page = |name: &'static str, own: &dyn Fn() -> serde_json::Value| {
            let form = full.then(|| FormView {
                address: "reader@example.org".into(),
                name: String::new(),
                time_zone: String::new(),
                time_zones: vec!["Europe/Lisbon"],
                chosen: vec!["news".into()],
                error: Some("That is not an address.".into()),
            });
            let (language, dir) = language(full);
            let view = PageView {
                title: "Title".into(),
                description: "Description".into(),
                url: "https://example.org/".into(),
                kind: if name == "notice" || name == "preferences" { name } else { "home" },
                dir,
                language,
                content_language: "en".into(),
                feed: (full || name == "shelf").then(page_feed),
            };
            let data = Page { common: &common, page: view, form, own: own() };
            problems.extend(templates.page(name, &data).err());
        };
        page("home", &|| json(&Home { latest: cards(full), featured: cards(full) }));
        page("article", &|| json(&ArticlePage { article: article(full) }));
        page("feed", &|| json(&FeedPage { feed: feed(full), entries: cards(full) }));
        page("shelf", &|| json(&shelf_page(full)));
        page("shelves", &|| json(&ShelfListPage { shelves: if full { vec![link()] } else { vec![] } }));
        page("digest", &|| json(&digest_page(full)));
        page("archive", &|| json(&archive_page(full)));
        page("subscribe", &|| json(&subscribe(full)));
        page("press", &|| json(&press()));
        page("notice", &|| json(&notice(full)));
        page("gone", &|| json(&GonePage { latest: cards(full) }));
        page("moved", &|| json(&()));
        page("preferences", &|| json(&preferences(full)));
        page("left", &|| json(&left(full)));
        problems.extend(templates.page("snippet", &snippet(full)).err());
        for name in templates.mail_names() {
            problems.extend(templates.example(name, if full { Example::Full } else { Example::Bare }).err());
        }
    }
    // Both rounds find the same fault in the same place.
    let mut seen = std::collections::HashSet::new();
    problems.retain(|problem| seen.insert(problem.to_string()));
    problems
}

fn json(value: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn publication(full: bool) -> PublicationView {
    PublicationView {
        title: "Publication".into(),
        description: full.then(|| "Description".into()),
        url: "https://example.org".into(),
        language: "en".into(),
        address: full.then(|| "1 Street, Place".into()),
    }
}

fn common(full: bool) -> Common {
    Common {
        stay: "<form></form>".into(),
        publication: publication(full),
        feeds: if full { vec![feed(true), feed(false)] } else { vec![] },
        style_url: "/style.css".into(),
        home_url: "/".into(),
        subscribe_url: "/subscribe".into(),
        form_script_url: "/form.js".into(),
        consent: consent(),
        privacy_url: full.then(|| "https://example.org/privacy".into()),
        time_zone: "Europe/Lisbon",
        shelf_lists: if full { vec![link()] } else { vec![] },
        opml_url: "/feeds.opml".into(),
        icon_url: "/favicon.ico".into(),
    }
}

fn consent() -> ConsentText {
    ConsentText { text: "You agree.".into(), version: "0123456789abcdef".into() }
}

fn snippet(full: bool) -> SnippetView {
    let url = |path: &str| format!("https://example.org/{path}");
    SnippetView {
        language: "en".into(),
        dir: "ltr",
        subscribe_url: url("subscribe"),
        chosen: vec![feed(true)],
        consent: consent(),
        privacy_url: full.then(|| url("privacy")),
        script_url: full.then(|| url("form.js")),
    }
}

fn press() -> PressPage {
    let hidden = HiddenView { name: "pass".into(), value: "x".into() };
    PressPage { address: "reader@example.org".into(), press_consent: consent(), hidden: vec![hidden] }
}

fn feed(full: bool) -> FeedView {
    let cadence = |value, default| CadenceView { value, label: value.into(), default, chosen: default };
    FeedView {
        name: "news".into(),
        title: "News".into(),
        description: "Description".into(),
        url: "https://example.org/feeds/news/".into(),
        rss: "https://example.org/feeds/news/rss.xml".into(),
        atom: "https://example.org/feeds/news/atom.xml".into(),
        json: "https://example.org/feeds/news/feed.json".into(),
        newsletter: full,
        cadences: if full { vec![cadence("daily", true), cadence("weekly", false)] } else { vec![] },
        archive_url: full.then(|| "https://example.org/digests/news/".into()),
    }
}

fn page_feed() -> PageFeedView {
    PageFeedView {
        title: "News, digest by digest".into(),
        rss: "https://example.org/digests/news/rss.xml".into(),
        atom: "https://example.org/digests/news/atom.xml".into(),
        json: "https://example.org/digests/news/feed.json".into(),
    }
}

fn shelf_page(full: bool) -> ShelfPage {
    let (kind, word, all_url) = ("Tag".into(), "harbour".into(), "https://example.org/tags/".into());
    let shelf = ShelfView { kind, all_url, word, text: "Everything about harbour.".into() };
    ShelfPage { shelf, entries: cards(full), has_mail: full }
}

fn link() -> LinkView {
    LinkView { url: "https://example.org/tags/harbour/".into(), label: "harbour".into() }
}

fn shelf_links(full: bool) -> ShelfLinks {
    if !full {
        return ShelfLinks::default();
    }
    ShelfLinks {
        section_url: Some("https://example.org/sections/news/".into()),
        tags: vec![LinkView { url: "https://example.org/tags/tag/".into(), label: "tag".into() }],
        byline: Some("By <a href=\"https://example.org/authors/a/\">A</a> and B".into()),
    }
}

fn past_digest(full: bool) -> PastDigest {
    PastDigest {
        subject: "Subject".into(),
        url: "https://example.org/digests/news/2026-11-24/".into(),
        date: "24 November 2026".into(),
        date_iso: "2026-11-24T07:00:00+00:00".into(),
        count: 2,
        note: full.then(|| "A word from the editors.".into()),
    }
}

fn digest_page(full: bool) -> DigestPage {
    DigestPage {
        newsletter: digest().newsletter,
        archive_url: "https://example.org/digests/news/".into(),
        digest: past_digest(full),
        featured: cards(full),
        latest: cards(full),
        prev: full.then(|| past_digest(false)),
        next: full.then(|| past_digest(true)),
    }
}

fn archive_page(full: bool) -> ArchivePage {
    let month = MonthView { name: "November 2026".into(), digests: vec![past_digest(true), past_digest(false)] };
    let year = YearView { year: "2026".into(), url: "https://example.org/digests/news/2026/".into(), current: full };
    ArchivePage {
        newsletter: digest().newsletter,
        archive_url: "https://example.org/digests/news/".into(),
        year: full.then(|| "2026".into()),
        months: if full { vec![month] } else { vec![] },
        years: if full { vec![year] } else { vec![] },
    }
}

fn card(full: bool) -> Card {
    Card {
        title: "A title".into(),
        url: "https://example.org/articles/a-title/".into(),
        label: full.then(|| "Breaking news".into()),
        place: full.then(|| "Place".into()),
        section: full.then(|| "news".into()),
        summary: "A summary.".into(),
        date: "24 November 2026".into(),
        date_iso: "2026-11-24T07:00:00+00:00".into(),
        authors: full.then(|| "A and B".into()),
        image: full.then(|| ImageView { url: "https://example.org/a.png".into(), alt: "A picture".into() }),
        enclosure: full.then(enclosure),
        minutes: 3,
        language: "en".into(),
        dir: "ltr",
        faq: if full { vec![question()] } else { vec![] },
        alerted: full,
    }
}

fn enclosure() -> EnclosureView {
    EnclosureView {
        url: "https://example.org/audio/a.mp3".into(),
        media_type: "audio/mpeg".into(),
        is_audio: true,
        is_video: false,
        label: "Listen (12 min, 14 MB)".into(),
        download: "Download (12 min, 14 MB)".into(),
        transcripts: vec![LinkView { url: "https://example.org/audio/a.html".into(), label: "Transcript".into() }],
        captions: vec![CaptionsView { url: "https://example.org/audio/a.vtt".into(), language: "en".into() }],
    }
}

fn question() -> QuestionView {
    QuestionView { question: "Why?".into(), answer: "<p>So.</p>".into(), answer_text: "So.".into() }
}

fn cards(full: bool) -> Vec<Card> {
    if full { vec![card(true), card(false)] } else { vec![] }
}

fn article(full: bool) -> ArticleView {
    ArticleView {
        card: card(full),
        html: "<p>Body</p>".into(),
        standfirst: full.then(|| "A summary.".into()),
        tags: if full { vec!["tag".into()] } else { vec![] },
        shelves: shelf_links(full),
        updated: full.then(|| "25 November 2026".into()),
        updated_iso: full.then(|| "2026-11-25T07:00:00+00:00".into()),
        related: cards(full),
        prev: full.then(|| card(false)),
        next: full.then(|| card(true)),
        original: full.then(|| LinkView { url: "https://lamp.example/lit".into(), label: "lamp.example".into() }),
        json_ld: String::new(),
    }
}

fn subscribe(full: bool) -> SubscribePage {
    let language = |tag: &str, name: &str, dir| LanguageView {
        tag: tag.into(),
        name: name.into(),
        dir,
        url: format!("/subscribe?lang={tag}"),
        current: dir == "ltr",
    };
    let languages =
        if full { vec![language("en", "English", "ltr"), language("ar", "العربية", "rtl")] } else { vec![] };
    SubscribePage { languages }
}

fn notice(full: bool) -> Notice {
    let action = ActionView { url: "/x".into(), label: "Do".into() };
    let secondary = LinkView { url: "/".into(), label: "Home".into() };
    Notice {
        notice: NoticeView {
            heading: "Heading".into(),
            text: "Text".into(),
            action: full.then_some(action),
            secondary: full.then_some(secondary),
        },
    }
}

fn option(value: &str, label: &str) -> OptionView {
    OptionView { value: value.into(), label: label.into(), chosen: value.is_empty() }
}

fn preferences(full: bool) -> Preferences {
    let choice = ChoiceView {
        feed: "news".into(),
        title: "News".into(),
        description: "Description".into(),
        active: full,
        cadences: feed(full).cadences,
        hours: if full { vec![option("", "As usual"), option("07:00", "07:00")] } else { vec![] },
        days: if full { vec![option("", "As usual"), option("mon", "Monday")] } else { vec![] },
        feed_url: "https://example.org/feeds/news/".into(),
    };
    let pause = PauseView {
        on: full,
        until: full.then(|| "1 December 2026".into()),
        until_iso: full.then(|| "2026-12-01".into()),
        from_iso: "2026-11-25".into(),
        to_iso: "2027-11-24".into(),
    };
    let consent = ConsentView {
        date: "24 November 2026".into(),
        date_iso: "2026-11-24T07:00:00+00:00".into(),
        text: "You confirmed News".into(),
        source: "with the form".into(),
    };
    Preferences {
        subscriber: SubscriberView { address: "reader@example.org".into(), name: full.then(|| "Reader".into()) },
        subscriptions: vec![choice],
        action: "/preferences/x".into(),
        unsubscribe_all_url: "/unsubscribe/x".into(),
        said: full.then(|| "Saved.".into()),
        error: full.then(|| "There is no such time zone.".into()),
        time_zone: "Europe/Lisbon".into(),
        time_zones: vec!["Europe/Lisbon"],
        own_feed: OwnFeedView {
            atom: "https://example.org/feeds/of/x/atom.xml".into(),
            rss: "https://example.org/feeds/of/x/rss.xml".into(),
            json: "https://example.org/feeds/of/x/feed.json".into(),
            action: "/preferences/x/feed".into(),
            version: 1,
        },
        languages: vec![OptionView { value: "en".into(), label: "English".into(), chosen: full }],
        pause,
        asked_address: full.then(|| "other@example.org".into()),
        consents: if full { vec![consent] } else { vec![] },
    }
}

fn left(full: bool) -> LeftPage {
    LeftPage {
        what: "News".into(),
        read_on: if full { vec![feed(true)] } else { vec![] },
        back_url: full.then(|| "/back/x".into()),
        reason_url: full.then(|| "/unsubscribe/x/reason".into()),
        reasons: if full { vec![ReasonView { value: "other", label: "Something else".into() }] } else { vec![] },
        unsubscribe_all_url: full.then(|| "/unsubscribe/x".into()),
    }
}

/// What an example has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Example {
    /// Every field, in English.
    Full,
    /// No field that may be missing, in a language that is written from right to left.
    Bare,
    /// So many articles with all they have.
    Articles(usize),
}

impl Templates {
    /// The names of the mail templates that have both parts.
    pub fn mail_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.mail_text.get_templates().keys().map(String::as_str).filter(|name| self.has_mail(name)).collect();
        names.sort_unstable();
        names
    }

    /// Whether a mail template is one of digests with as many articles as there are.
    pub fn shows_articles(&self, name: &str) -> bool {
        !["confirm", "letter", "notice", "welcome", "alert"].contains(&name)
    }

    /// A mail of example data.
    ///
    /// # Errors
    /// A template that asks for what is not there, by file and line.
    pub fn example(&self, name: &str, example: Example) -> Result<Bodies, Problem> {
        let full = example != Example::Bare;
        match name {
            "confirm" => self.mail(name, &confirm(full)),
            "letter" => self.mail(name, &letter(full)),
            "notice" => self.mail(name, &notice_mail(full)),
            "welcome" => self.mail(name, &welcome(full)),
            _ => {
                let articles = match example {
                    Example::Full => 3,
                    Example::Bare => 2,
                    Example::Articles(number) => number,
                };
                self.mail(name, &some_digest(example, if name == "alert" { 1 } else { articles }))
            }
        }
    }
}

fn language(full: bool) -> (String, &'static str) {
    if full { ("en".into(), "ltr") } else { ("ar".into(), "rtl") }
}

/// A digest with two articles.
pub fn digest() -> DigestView {
    some_digest(Example::Full, 2)
}

/// A digest with so many articles, the first of them featured where it is full.
fn some_digest(example: Example, articles: usize) -> DigestView {
    let full = example != Example::Bare;
    let is_long = matches!(example, Example::Articles(_));
    let (language, dir) = language(full);
    // One with all it may have, one with nothing of that, one that the reader has had.
    let card = |at: usize| match at {
        _ if is_long => long_card(),
        0 if full => Card { alerted: false, ..card(true) },
        2 => Card { alerted: true, ..card(full) },
        _ => card(false),
    };
    let cards: Vec<Card> = (0..articles).map(card).collect();
    let (featured, latest) = cards.split_at(usize::from(full).min(articles));
    DigestView {
        language,
        dir,
        publication: publication(full),
        newsletter: newsletter(),
        digest: DigestFacts {
            subject: "Subject".into(),
            date: "24 November 2026".into(),
            date_iso: "2026-11-24T07:00:00+00:00".into(),
            cadence: full.then_some("daily"),
            count: articles,
            preheader: "A title".into(),
            note: full.then(|| "A word from the editors.".into()),
            web_url: full.then(|| "https://example.org/digests/news/2026-11-24/".into()),
            shortened: example == Example::Full,
            left_out: usize::from(example == Example::Full),
        },
        featured: featured.to_vec(),
        latest: latest.to_vec(),
        headlines: if example == Example::Full { vec![card(1)] } else { vec![] },
        articles: cards,
        reader: reader(full),
    }
}

/// An article of the usual length.
fn long_card() -> Card {
    Card {
        title: "The council votes for the sea wall, and the ferry keeps its berth until spring".into(),
        summary:
            "After four hours of questions the council voted nine to four for the wall along the outer quay. Work \
                  begins in March; until then the ferry lands where it always did, and the market stays open."
                .into(),
        alerted: false,
        ..card(true)
    }
}

fn newsletter() -> NewsletterView {
    NewsletterView {
        name: "news".into(),
        title: "News".into(),
        description: "Description".into(),
        feed_url: "https://example.org/feeds/news/".into(),
    }
}

fn reader(full: bool) -> ReaderView {
    ReaderView {
        greeting: if full { "Hello Reader,".into() } else { "Hello,".into() },
        unsubscribe_url: "https://example.org/unsubscribe/x".into(),
        preferences_url: "https://example.org/preferences/x".into(),
        name: full.then(|| "Reader".into()),
        attributes: Attributes::default(),
    }
}

fn welcome(full: bool) -> WelcomeView {
    let (language, dir) = language(full);
    WelcomeView {
        language,
        dir,
        publication: publication(full),
        newsletter: newsletter(),
        articles: cards(full),
        own_feed_url: "https://example.org/feeds/of/x/atom.xml".into(),
        reader: reader(full),
    }
}

fn confirm(full: bool) -> ConfirmView {
    let (language, dir) = language(full);
    let confirm = ConfirmFacts { url: "https://example.org/confirm/x".into(), feeds: vec!["News".into()], days: 7 };
    ConfirmView { language, dir, publication: publication(full), confirm }
}

fn letter(full: bool) -> LetterView {
    let (language, dir) = language(full);
    let letter = LetterFacts {
        heading: "Heading".into(),
        text: "Text".into(),
        url: "https://example.org/address/x".into(),
        button: "Do".into(),
        note: "Note".into(),
    };
    LetterView { language, dir, publication: publication(full), letter }
}

/// A notice to the editors.
pub fn notice_mail(full: bool) -> NoticeMail {
    let steps = [
        ("Mend the password of the relay, then go on where it stopped.", Some("tidings digest resume 0192f0c0")),
        ("Or let it go: nobody else gets it.", Some("tidings digest cancel 0192f0c0")),
    ];
    let step = |(what, command): (&str, Option<&str>)| StepView {
        what: what.into(),
        command: command.map(str::to_owned),
        url: None,
    };
    let fact = |(name, value): (&str, &str)| FactView { name: name.into(), value: value.into() };
    NoticeMail {
        publication: publication(full),
        notice: NoticeFacts {
            heading: "Halted: Latest news, 24 November 2026".into(),
            text: "The relay refused us. 1,200 readers wait; 300 have had their digest.".into(),
            why: full.then(|| "smtp.example.org: 535 5.7.8 Authentication credentials invalid".into()),
            facts: if full { [("Digest", "0192f0c0"), ("Sent", "300 of 1,500")].map(fact).into() } else { vec![] },
            steps: if full { steps.map(step).into() } else { vec![] },
        },
    }
}
