//! Example data for checking templates before there is anything to send.

use serde::Serialize;

use super::Templates;
use super::view::{
    ActionView, ArchiveFeedView, ArchivePage, ArticlePage, ArticleView, CadenceView, Card, ChoiceView, Common,
    ConfirmFacts, ConfirmView, DigestFacts, DigestPage, DigestView, FactView, FeedPage, FeedView, FormView, Home,
    ImageView, LinkView, MonthView, NewsletterView, Notice, NoticeFacts, NoticeMail, NoticeView, Page, PageView,
    PastDigest, Preferences, PublicationView, QuestionView, ReaderView, StepView, SubscriberView, YearView,
};
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
                chosen: vec!["news".into()],
                error: Some("That is not an address.".into()),
            });
            let view = PageView {
                title: "Title".into(),
                description: "Description".into(),
                url: "https://example.org/".into(),
                kind: if name == "notice" || name == "preferences" { name } else { "home" },
                dir: "ltr",
                language: "en".into(),
                archive: full.then(archive_feed),
            };
            let data = Page { common: &common, page: view, form, own: own() };
            problems.extend(templates.page(name, &data).err());
        };
        page("home", &|| json(&Home { latest: cards(full), featured: cards(full) }));
        page("article", &|| json(&ArticlePage { article: article(full) }));
        page("feed", &|| json(&FeedPage { feed: feed(full), entries: cards(full) }));
        page("digest", &|| json(&digest_page(full)));
        page("archive", &|| json(&archive_page(full)));
        page("subscribe", &|| json(&serde_json::json!({})));
        page("notice", &|| json(&notice(full)));
        page("preferences", &|| json(&preferences(full)));
        let digest = if full {
            digest()
        } else {
            DigestView { featured: vec![], latest: vec![card(false)], articles: vec![card(false)], ..digest() }
        };
        for mail in
            templates.mail_text.get_templates().keys().filter(|name| !["confirm", "notice"].contains(&name.as_str()))
        {
            problems.extend(templates.mail(mail, &digest).err());
        }
        problems.extend(templates.mail("confirm", &confirm()).err());
        problems.extend(templates.mail("notice", &notice_mail(full)).err());
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
        opml_url: "/feeds.opml".into(),
        icon_url: "/favicon.ico".into(),
    }
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

fn archive_feed() -> ArchiveFeedView {
    ArchiveFeedView {
        title: "News, digest by digest".into(),
        rss: "https://example.org/digests/news/rss.xml".into(),
        atom: "https://example.org/digests/news/atom.xml".into(),
        json: "https://example.org/digests/news/feed.json".into(),
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
        minutes: 3,
        language: "en".into(),
        alerted: full,
    }
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
        updated: full.then(|| "25 November 2026".into()),
        updated_iso: full.then(|| "2026-11-25T07:00:00+00:00".into()),
        faq: if full { vec![QuestionView { question: "Why?".into(), answer: "<p>So.</p>".into() }] } else { vec![] },
        related: cards(full),
        prev: full.then(|| card(false)),
        next: full.then(|| card(true)),
        json_ld: String::new(),
    }
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

fn preferences(full: bool) -> Preferences {
    let choice = ChoiceView {
        feed: "news".into(),
        title: "News".into(),
        description: "Description".into(),
        active: full,
        cadences: feed(full).cadences,
        feed_url: "https://example.org/feeds/news/".into(),
    };
    Preferences {
        subscriber: SubscriberView { address: "reader@example.org".into(), name: full.then(|| "Reader".into()) },
        subscriptions: vec![choice],
        action: "/preferences/x".into(),
        unsubscribe_all_url: "/unsubscribe/x".into(),
        saved: full,
        error: full.then(|| "There is no such time zone.".into()),
        time_zone: "Europe/Lisbon".into(),
        time_zones: vec!["Europe/Lisbon"],
    }
}

/// A digest with two articles.
pub fn digest() -> DigestView {
    DigestView {
        publication: publication(true),
        newsletter: NewsletterView {
            name: "news".into(),
            title: "News".into(),
            description: "Description".into(),
            feed_url: "https://example.org/feeds/news/".into(),
        },
        digest: DigestFacts {
            subject: "Subject".into(),
            date: "24 November 2026".into(),
            cadence: Some("daily"),
            count: 2,
            preheader: "A title".into(),
            note: Some("A word from the editors.".into()),
            web_url: Some("https://example.org/digests/news/2026-11-24/".into()),
        },
        featured: vec![card(true)],
        latest: vec![card(false)],
        articles: vec![card(true), card(false)],
        reader: ReaderView {
            greeting: "Hello,".into(),
            unsubscribe_url: "https://example.org/unsubscribe/x".into(),
            preferences_url: "https://example.org/preferences/x".into(),
        },
    }
}

fn confirm() -> ConfirmView {
    let confirm = ConfirmFacts { url: "https://example.org/confirm/x".into(), feeds: vec!["News".into()], days: 7 };
    ConfirmView { publication: publication(true), confirm }
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
