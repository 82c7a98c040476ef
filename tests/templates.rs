//! The mail templates as readers, editors and mail programs meet them.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use support::place::Place;
use tidings::config::Config;
use tidings::domain::address::{EmailAddress, Mailbox};
use tidings::domain::article::Released;
use tidings::domain::newsletter::{Cadence, Newsletter};
use tidings::domain::subscription::SubscriberId;
use tidings::mail::compiled::html_bytes;
use tidings::task::compose::newsletter;
use tidings::task::fit::GMAIL_CLIPS_AT;
use tidings::task::present::Presenter;
use tidings::task::render::{Renderer, sample_of};
use tidings::task::{Clock, Publication, sync};
use tidings::template::view::{ConfirmFacts, ConfirmView};
use tidings::template::{Bodies, Example, Own, Templates, example_notice};

/// A publication that is written from right to left, with one article that is not.
fn arabic() -> Place {
    let place = Place::sample();
    let config = place.read("config.toml");
    let config = config
        .replace("The Harbour Lantern\"", "فانوس الميناء\"")
        .replace("language = \"en\"", "language = \"ar\"")
        .replace("1 Quay Street, Port Example", "١ شارع الرصيف، ميناء المثال");
    place.write("config.toml", config);
    std::fs::remove_dir_all(place.path().join("articles")).unwrap();
    let article = |slug: &str, title: &str, more: &str, summary: &str| {
        let text = format!(
            "+++\ntitle = \"{title}\"\ndate = 2026-11-2{}T06:40:00Z\nsection = \"news\"\nsummary = \"{summary}\"\n{more}\n+++\n{}\n",
            slug.len() % 5,
            "كلمة ".repeat(900)
        );
        place.write(&format!("articles/{slug}.md"), text);
    };
    let image = "image = \"/images/lighthouse.png\"\nimage_alt = \"منارة حمراء وبيضاء في الليل\"";
    article(
        "light",
        "المنارة تضيء من جديد بعد تسع سنوات من الظلام",
        &format!(
            "label = \"خبر عاجل\"\nplace = \"ميناء المثال\"\nauthors = [\"مارا كويل\", \"جوري باسك\"]\nfeatured = true\n{image}"
        ),
        "في السادسة واثنتي عشرة دقيقة من صباح اليوم دار المصباح على الرأس لأول مرة منذ عام ٢٠١٧، وكان نحو أربعمئة شخص قد استيقظوا ليروه.",
    );
    article(
        "ferry",
        "العبّارة الليلية تبحر طوال الشتاء",
        "place = \"الرصيف الشمالي\"\nauthors = [\"مارا كويل\"]\nimage = \"/images/ferry.png\"\nimage_alt = \"عبّارة صغيرة\"",
        "لأول مرة منذ شتاء ٢٠٠٩ يمكنك أن تتعشى في البر وتنام في الجزيرة.",
    );
    article(
        "library",
        "The library will lend you a ladder",
        "language = \"en\"\nplace = \"Mast Lane\"\nauthors = [\"Ines Caldeira\"]\nimage = \"/images/library.png\"\nimage_alt = \"A reading room\"",
        "Sixty-four tools, two tents and a sousaphone can now be borrowed with the same card as a novel.",
    );
    place
}

/// A publication on a store of its own, synced.
async fn opened(place: &Place) -> Publication {
    let config = Config::load(place.path(), []).unwrap();
    let publication =
        Publication::open(config, Clock::from_fn(|| "2026-11-24T07:00:00Z".parse().unwrap())).await.unwrap();
    let report = sync::sync(&publication, &|_, _| {}).await.unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    publication
}

async fn newest(publication: &Publication, number: usize) -> Vec<Released> {
    let (feed, _) = newsletter(publication, "news").unwrap();
    publication.store.newest_of(&feed.name, number).await.unwrap()
}

fn own(publication: &Publication, name: Option<&str>) -> Own {
    let (feed, _) = newsletter(publication, "news").unwrap();
    Renderer::new(publication).own(SubscriberId(uuid::Uuid::nil()), name, &feed.name)
}

/// A digest of these articles as readers of that cadence get it.
fn bodies(publication: &Publication, cadence: Cadence, articles: &[Released], name: Option<&str>) -> Bodies {
    let (feed, newsletter) = newsletter(publication, "news").unwrap();
    let newsletter = Newsletter { default: cadence, ..newsletter.clone() };
    let compiled = Renderer::new(publication).compile(feed, &newsletter, None, articles).unwrap();
    compiled.for_reader(&publication.templates, &own(publication, name)).unwrap()
}

const OWN_FEED: &str = "https://lantern.example/feeds/of/ZgAAAAAAAAAAAAAAAAAAAAAAAAAAAQ/atom.xml";

/// Every mail of a publication by name.
async fn mails(publication: &Publication) -> Vec<(&'static str, Bodies)> {
    let articles = newest(publication, 9).await;
    let (feed, _) = newsletter(publication, "news").unwrap();
    let presenter = Presenter::new(publication, publication.config.live_urls());
    let (language, dir) = presenter.language();
    let url = presenter.urls.at("/confirm/cAAAAAAAAAAAAAAAAAAAAAAAAAAAupXVdDRif0c6x9plOGlPFA");
    let confirm = ConfirmFacts { url, feeds: vec![feed.title.clone()], days: 7 };
    let confirm = ConfirmView { language, dir, publication: presenter.publication(), confirm };
    let renderer = Renderer::new(publication);
    let templates = &publication.templates;
    let alert = articles.iter().find(|released| released.article.featured).unwrap_or(&articles[0]).clone();
    vec![
        ("digest", bodies(publication, Cadence::Daily, &articles, Some("Mara"))),
        ("alert", bodies(publication, Cadence::Instant, &[alert], None)),
        ("welcome", renderer.welcome(&[feed], &articles[..3], &own(publication, Some("Mara")), OWN_FEED).unwrap()),
        ("confirm", templates.mail("confirm", &confirm).unwrap()),
        ("notice", templates.mail("notice", &example_notice(true)).unwrap()),
        ("example", templates.example("digest", Example::Full).unwrap()),
    ]
}

/// With `TIDINGS_MAILS=folder`, every mail is written there for looking at.
#[tokio::test]
async fn every_mail_says_its_language_and_direction_and_calls_nobody() {
    for (place, language, dir) in [(Place::sample(), "en", "ltr"), (arabic(), "ar", "rtl")] {
        let publication = opened(&place).await;
        for (name, bodies) in mails(&publication).await {
            let (language, dir) = if ["notice", "example"].contains(&name) { ("en", "ltr") } else { (language, dir) };
            let html = &bodies.html;
            assert!(html.contains(&format!("<html lang=\"{language}\" dir=\"{dir}\"")), "{name}: {}", &html[..200]);
            assert!(!html.contains("fonts.g") && !html.contains("<script") && !html.contains("@import"), "{name}");
            // A button of MJML has its colour in an attribute as well.
            let has_button = html.contains("bgcolor=\"#8f3414\"");
            let images = html.matches("<img ").count();
            assert_eq!(images, html.matches("alt=\"").count(), "{name}: an image without words");
            assert!(!html.contains("flex") && (has_button || !html.contains("background:")), "{name}: not for Outlook");
            if let Some(folder) = std::env::var_os("TIDINGS_MAILS") {
                let folder = Path::new(&folder);
                std::fs::create_dir_all(folder).unwrap();
                std::fs::write(folder.join(format!("{name}-{}.html", publication.config.publication.language)), html)
                    .unwrap();
                std::fs::write(
                    folder.join(format!("{name}-{}.txt", publication.config.publication.language)),
                    &bodies.text,
                )
                .unwrap();
            }
        }
    }
}

#[tokio::test]
async fn from_right_to_left_everything_changes_sides_and_an_article_keeps_its_own() {
    let publication = opened(&arabic()).await;
    let html = bodies(&publication, Cadence::Daily, &newest(&publication, 9).await, Some("Mara")).html;
    // Styles that were touched by the inliner have blanks in them.
    let html = html.replace(": ", ":");
    assert!(html.contains("direction:rtl") && !html.contains("padding-left:20px"), "{html}");
    assert!(html.contains("align=\"right\"") && html.contains("padding-right:20px"), "pictures stand on the left");
    assert!(html.contains(" dir=\"ltr\" lang=\"en\" align=\"left\""), "an English article: {html}");
    assert!(html.contains(" dir=\"rtl\" lang=\"ar\" align=\"right\""), "{html}");
    assert!(html.contains("مرحبًا \u{2068}Mara\u{2069}،") && html.contains("مارا كويل وجوري باسك"), "{html}");
    assert!(html.contains("20 نوفمبر 2026"), "dates are Arabic");
    for other in ["Hello", "Read the", "min read", "November", "text-transform"] {
        assert!(!html.contains(other), "{other}: {html}");
    }
}

#[test]
fn what_came_by_alert_is_a_headline_and_the_page_of_the_mail_stands_at_its_top() {
    let templates = Templates::load(None).unwrap();
    let Bodies { html, text } = templates.example("digest", Example::Full).unwrap();
    let at = |what: &str| html.find(what).unwrap_or_else(|| panic!("{what}: {html}"));
    assert!(at("Read this in your browser") < at("<h1"), "the first thing");
    assert!(at("https://example.org/digests/news/2026-11-24/") < at("<h1"));
    // Three articles with a summary, one of which came by alert.
    assert_eq!((html.matches("A summary.").count(), text.matches("A summary.").count()), (2, 2));
    assert_eq!(html.matches("You had this by alert").count(), 2, "in the list and at its place");
    assert_eq!(text.matches("You had this by alert").count(), 1);
    let foot = at("Prefer a feed reader?");
    for link in ["https://example.org/preferences/x", "https://example.org/unsubscribe/x", "1 Street, Place"] {
        assert!(html[foot..].contains(link), "{link}");
    }
}

/// A digest of so many copies of the sample articles, all of them different to readers.
fn many(articles: &[Released], number: usize) -> Vec<Released> {
    let copy = |at: usize| {
        let mut released = articles[at % articles.len()].clone();
        released.article.date -= TimeDelta::hours(i64::try_from(at).unwrap());
        released
    };
    (0..number).map(copy).collect()
}

#[tokio::test]
async fn html_stays_below_what_gmail_clips_with_3_20_and_200_articles() {
    for place in [Place::sample(), arabic()] {
        let publication = opened(&place).await;
        let (feed, newsletter) = newsletter(&publication, "news").unwrap();
        let newest = newest(&publication, 9).await;
        let to = Mailbox::new(Some("Mara Quill"), EmailAddress::parse("mara@example.org").unwrap());
        for number in [3, 20, 200] {
            let articles = many(&newest, number);
            let sample = sample_of(&publication, feed, newsletter, &articles, None, &to, None).unwrap();
            let bytes = html_bytes(&sample.bodies.html);
            let language = &publication.config.publication.language;
            eprintln!("{language}, {number} articles: {bytes} bytes of HTML, {:?}", sample.notes);
            assert!(bytes < GMAIL_CLIPS_AT, "{number} articles: {bytes} bytes");
            assert!(part_bytes(&sample.message.bytes) < GMAIL_CLIPS_AT);
            if number == 3 {
                assert!(sample.notes.is_empty(), "{:?}", sample.notes);
            }
            if number == 200 && language == "en" {
                assert!(sample.bodies.html.contains("from here on it has headlines only"), "it says so");
                let note = sample.notes[0].to_string();
                assert!(
                    note.starts_with(
                        "feeds/news.toml: a digest of 200 articles is larger than the 102 KB that Gmail shows"
                    ),
                    "{note}"
                );
                let shown = sample.bodies.html.matches("/articles/").count();
                assert!(shown >= 200, "{shown} links: every article has at least its headline");
            }
        }
    }
}

/// Bytes of the HTML part of a message, as it goes over the wire.
fn part_bytes(message: &[u8]) -> usize {
    let text = String::from_utf8_lossy(message);
    let at = text.find("text/html").unwrap();
    text[at..].len()
}

#[tokio::test]
async fn a_digest_of_hundreds_of_articles_counts_what_does_not_fit() {
    let publication = opened(&Place::sample()).await;
    let articles = many(&newest(&publication, 9).await, 400);
    let bodies = bodies(&publication, Cadence::Daily, &articles, None);
    assert!(html_bytes(&bodies.html) < GMAIL_CLIPS_AT);
    assert!(bodies.html.contains("more articles did not fit") && bodies.text.contains("more articles did not fit"));
    assert!(bodies.html.contains("400 new articles"));
}

#[tokio::test]
async fn one_article_at_once_is_an_alert_and_several_are_a_digest() {
    let publication = opened(&Place::sample()).await;
    let articles = newest(&publication, 2).await;
    let alert = bodies(&publication, Cadence::Instant, &articles[..1], None);
    assert!(alert.html.contains("New in Latest news") && alert.text.contains("Read the whole article"));
    assert!(!alert.html.contains("In this digest"));
    for (cadence, articles) in [(Cadence::Instant, &articles[..]), (Cadence::Daily, &articles[..1])] {
        assert!(!bodies(&publication, cadence, articles, None).html.contains("New in Latest news"));
    }
}

#[tokio::test]
async fn the_message_says_to_each_reader_what_the_template_says_in_full() {
    let place = Place::sample();
    place.write(
        "templates/mail/digest.mjml.hbs",
        "<mjml><mj-body><mj-section><mj-column><mj-text>{{reader.greeting}} {{#reader}}{{#if reader.name}}<b>{{reader.name}}</b> \
         &amp; co.{{else}}<i>Stranger</i>{{/if}}{{/reader}}</mj-text></mj-column></mj-section></mj-body></mjml>",
    );
    place.write(
        "templates/mail/digest.txt.hbs",
        "{{reader.greeting}}\n{{#reader}}\n{{#if reader.name}}\n{{reader.name}} & co.\n.\n{{else}}\nFrom a stranger\n{{/if}}\n{{/reader}}\nend\n",
    );
    let publication = opened(&place).await;
    let (feed, newsletter) = newsletter(&publication, "news").unwrap();
    let articles = newest(&publication, 2).await;
    let compiled = Renderer::new(&publication).compile(feed, newsletter, None, &articles).unwrap();
    assert!(compiled.is_patched(), "one letter for all");
    for name in [None, Some("Mara <Quill> & \"O'Neill\""), Some("مارا"), Some("=C3=A9 . From")] {
        let to = Mailbox::new(name, EmailAddress::parse("mara@example.org").unwrap());
        let sample = sample_of(&publication, feed, newsletter, &articles, None, &to, None).unwrap();
        let message = mail_parser::MessageParser::default().parse(&sample.message.bytes).unwrap();
        let same = |one: &str, other: &str| assert_eq!(one.replace("\r\n", "\n").trim(), other.trim(), "{name:?}");
        let html = message.html_bodies().next().unwrap().text_contents().unwrap();
        same(html, &sample.bodies.html);
        same(&message.body_text(0).unwrap(), &sample.bodies.text);
        let says = if name.is_some() { "&amp; co." } else { "<i>Stranger</i>" };
        assert!(html.contains(says), "{html}");
        let escaped = name.unwrap_or_default().replace('&', "&amp;").replace('<', "&lt;");
        assert!(html.contains(escaped.split('>').next().unwrap()), "{html}");
    }
}

/// Templates of which `digest` has this as its text.
fn with_text(files: &[(&str, &str)]) -> (tempfile::TempDir, Templates) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let templates = Templates::load(Some(folder.path())).unwrap();
    (folder, templates)
}

#[test]
fn a_template_without_an_end_is_named_and_harms_nobody() {
    let each = |depth: usize, inside: &str| {
        let open: String = (0..depth).map(|_| "{{#each @root.articles}}").collect();
        format!("{open}{inside}{}", "{{/each}}".repeat(depth))
    };
    type Files = Vec<(&'static str, String)>;
    let cases: [(&str, Files, &str); 6] = [
        ("itself", vec![("mail/digest.txt.hbs", "{{> digest}}".into())], "include current template"),
        (
            "one another",
            vec![
                ("mail/digest.txt.hbs", "{{> a}}".into()),
                ("mail/parts/a.txt.hbs", "x{{> b}}".into()),
                ("mail/parts/b.txt.hbs", "y{{> a}}".into()),
            ],
            "48 deep",
        ),
        (
            "by a name that is looked up",
            vec![
                ("mail/digest.txt.hbs", "{{> a which=\"b\"}}".into()),
                ("mail/parts/a.txt.hbs", "{{> (lookup this \"which\") which=\"b\"}}".into()),
                ("mail/parts/b.txt.hbs", "{{#if which}}{{> a which=\"b\"}}{{/if}}".into()),
            ],
            "48 deep",
        ),
        (
            "inline",
            vec![("mail/digest.txt.hbs", "{{#*inline \"a\"}}{{#if true}}{{> a}}{{/if}}{{/inline}}{{> a}}".into())],
            "deep",
        ),
        ("much", vec![("mail/digest.txt.hbs", each(7, &"a long line ".repeat(50)))], "8 MiB"),
        ("nothing", vec![("mail/digest.txt.hbs", each(9, ""))], "8 MiB"),
    ];
    for (what, files, says) in cases {
        let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let (_folder, templates) = with_text(&files);
        let began = Instant::now();
        let problem = templates.example("digest", Example::Articles(20)).unwrap_err();
        assert!(problem.file.starts_with("templates/mail/"), "{what}: {problem}");
        assert!(problem.what.contains(says) && problem.line == Some(1), "{what}: {problem}");
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
    }
}

#[test]
fn mjml_that_is_nested_without_an_end_is_named() {
    let deep = "<div>".repeat(5000) + &"</div>".repeat(5000);
    let mjml = format!(
        "<mjml><mj-body><mj-section><mj-column><mj-text>{deep}</mj-text></mj-column></mj-section></mj-body></mjml>"
    );
    let (_folder, templates) = with_text(&[("mail/digest.mjml.hbs", &mjml)]);
    let problem = templates.example("digest", Example::Full).unwrap_err();
    assert!(
        problem.to_string().starts_with("templates/mail/digest.mjml.hbs: has elements more than 100 deep"),
        "{problem}"
    );
}

/// What `digest.txt` becomes of this, in a language.
fn said(language: &str, text: &str) -> Result<String, String> {
    let (_folder, templates) = with_text(&[("mail/digest.txt.hbs", text)]);
    let mut view = tidings::template::example_digest();
    language.clone_into(&mut view.language);
    templates
        .mail("digest", &view)
        .map(|bodies| bodies.text.trim_end().to_owned())
        .map_err(|problem| problem.to_string())
}

#[test]
fn helpers_speak_the_language_of_the_mail() {
    let iso = "\"2026-11-24T07:05:00+00:00\"";
    let all = format!(
        "{{{{date {iso}}}}} | {{{{date {iso} style=\"short\"}}}} | {{{{date {iso} style=\"weekday\"}}}} | {{{{time {iso}}}}} | \
         {{{{number 12345}}}}"
    );
    for (language, expected) in [
        ("en", "24 November 2026 | 24/11/2026 | Tuesday, 24 November 2026 | 07:05 | 12,345"),
        ("en-US", "November 24, 2026 | 11/24/26 | Tuesday, November 24, 2026 | 7:05\u{202f}AM | 12,345"),
        ("de", "24. November 2026 | 24.11.26 | Dienstag, 24. November 2026 | 07:05 | 12.345"),
        ("fr", "24 novembre 2026 | 24/11/2026 | mardi 24 novembre 2026 | 07:05 | 12\u{202f}345"),
        ("es", "24 de noviembre de 2026 | 24/11/26 | martes, 24 de noviembre de 2026 | 07:05 | 12.345"),
        ("ar-EG", "٢٤ نوفمبر ٢٠٢٦ | ٢٤\u{200f}/١١\u{200f}/٢٠٢٦ | الثلاثاء، ٢٤ نوفمبر ٢٠٢٦ | ٧:٠٥\u{a0}ص | ١٢٬٣٤٥"),
    ] {
        // Lines are folded at blanks.
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(&said(language, &all).unwrap()), words(expected), "{language}");
    }
}

#[test]
fn plurals_follow_cldr() {
    let plural = |language, number: u32| {
        said(
            language,
            &format!("{{{{plural {number} zero=\"z\" one=\"# o\" two=\"t\" few=\"# f\" many=\"# m\" other=\"# x\"}}}}"),
        )
        .unwrap()
    };
    let of = |language| [0, 1, 2, 3, 11, 100].map(|number| plural(language, number)).join(", ");
    assert_eq!(of("en"), "0 x, 1 o, 2 x, 3 x, 11 x, 100 x");
    assert_eq!(of("fr"), "0 o, 1 o, 2 x, 3 x, 11 x, 100 x");
    assert_eq!(of("ar"), "z, 1 o, t, 3 f, 11 m, 100 x");
    assert_eq!(of("ru"), "0 m, 1 o, 2 x, 3 f, 11 m, 100 m".replace("2 x", "t").replace("t,", "2 f,"));
    assert_eq!(said("pl", "{{plural 5 one=\"# o\" other=\"# x\"}}").unwrap(), "5 x", "what is not given is `other`");
}

#[test]
fn what_a_helper_is_given_wrongly_is_named_with_its_line() {
    for (text, fault) in [
        ("{{t \"reed_on\"}}", "did you mean \"read_on\"?"),
        ("{{t \"by\"}}", "needs `authors`"),
        ("{{t \"by\" authors=\"A\" colour=1}}", "has no place for `colour`"),
        ("{{t \"new_articles\" newsletter=\"N\"}}", "needs a number"),
        ("{{plural 2 oen=\"#\" other=\"#\"}}", "there is no plural category oen"),
        ("{{plural 2 one=\"#\"}}", "other="),
        ("{{date digest.date}}", "is not an instant"),
        ("{{date digest.date_iso style=\"lnog\"}}", "did you mean long?"),
        ("{{date digest.dat_iso}}", "did you mean `digest.date_iso`?"),
        ("{{truncate digest.subject}}", "number of characters"),
        ("{{plurl 2}}", "did you mean plural?"),
        ("{{digest.sbject}}", "did you mean `digest.subject`?"),
    ] {
        let said = said("en", &format!("one\n{text}")).unwrap_err();
        assert!(said.starts_with("templates/mail/digest.txt.hbs:2: ") && said.contains(fault), "{said}");
    }
    assert_eq!(said("en", "{{truncate \"one two three\" 9}}").unwrap(), "one two…");
}

#[test]
fn every_catalogue_has_every_word_with_the_same_places_and_the_plurals_of_its_language() {
    let templates = Templates::load(None).unwrap();
    let languages: Vec<&str> = templates.words().languages().collect();
    assert_eq!(languages, ["ar", "de", "en", "es", "fr"]);
    for language in languages {
        let lacks = templates.words().lacks(language);
        // "one" and "two" may be words of their own: "here is something new".
        let lacks: Vec<_> = lacks.iter().filter(|lack| !lack.contains("{count}")).collect();
        assert!(lacks.is_empty(), "{language}: {lacks:#?}");
    }
}

#[test]
fn a_publications_own_words_stand_in_front_and_others_are_taken_from_the_nearest() {
    let files = [
        ("words/de-AT.toml", "greeting = \"Servus,\"\n[own]\nbye = \"Baba, {name}\"\n"),
        ("words/pt.toml", "read_on = \"Leia o artigo inteiro\"\n"),
        ("mail/digest.txt.hbs", "{{t \"greeting\"}} {{t \"read_on\"}}"),
    ];
    let (_folder, templates) = with_text(&files);
    let say = |language: &str, key| templates.speech(language).word(key, &[]);
    assert_eq!(say("de-AT", "greeting"), "Servus,");
    assert_eq!(say("de-AT", "read_on"), "Den ganzen Artikel lesen");
    assert_eq!(say("de", "greeting"), "Guten Tag,");
    assert_eq!(say("pt-BR", "read_on"), "Leia o artigo inteiro");
    assert_eq!(say("pt", "unsubscribe"), "Unsubscribe");
    let named = [("name", tidings::template::words::Value::Text("Mara"))];
    assert_eq!(templates.speech("de-AT").say("own.bye", &named).unwrap(), "Baba, Mara");
    assert!(templates.words().lacks("pt").contains(&"unsubscribe".to_owned()));
}

#[test]
fn a_fault_in_words_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("words")).unwrap();
    for (text, fault) in [
        ("greeting = \"Oi,\"\nred_on = \"x\"\n", "2: there is no word red_on\n  hint: did you mean read_on?"),
        ("greeting = \"Oi,\"\nread_on = \"{titel}\"\n", "2: read_on: nothing is known of {titel}"),
        ("greeting = 5\n", "1: greeting is not a text"),
        ("greeting = \"x\"\nminutes = { uno = \"x\" }\n", "2: minutes has no plural category uno"),
        ("greeting = \"x\"\nminutes = { one = \"x\" }\n", "2: minutes has no form `other`"),
        ("greeting = \"x\"\nby = \"{authors\"\n", "2: by has a brace that is not closed"),
        ("greeting = \"x\"\nby\n", "2: "),
    ] {
        std::fs::write(folder.path().join("words/pt.toml"), text).unwrap();
        let problems = Templates::load(Some(folder.path())).unwrap_err();
        assert!(problems[0].to_string().starts_with(&format!("templates/words/pt.toml:{fault}")), "{problems:?}");
    }
}

#[test]
fn ejected_templates_are_ours_and_nothing_is_written_over_without_being_told_so() {
    let place = Place::new();
    let one = place.run(&["template", "eject", "mail/digest"]).ended(0);
    assert!(
        one.out.contains("wrote templates/mail/digest.mjml.hbs\nwrote templates/mail/digest.txt.hbs\n2 files written"),
        "{}",
        one.out
    );
    assert!(!place.has("templates/words/en.toml"));
    assert!(
        place
            .run(&["template", "eject", "mail/digest"])
            .ended(0)
            .out
            .starts_with("0 files written, 2 as they are built in")
    );
    place.write("templates/mail/digest.txt.hbs", "mine\n");
    let kept = place.run(&["template", "eject", "digest"]).ended(1);
    assert!(kept.out.contains("wrote templates/page/digest.html.hbs"), "a name is every template's of that name");
    assert!(kept.err.contains("templates/mail/digest.txt.hbs is there already and was left as it is"), "{}", kept.err);
    assert_eq!(place.read("templates/mail/digest.txt.hbs"), "mine\n");
    let json = place.run(&["template", "eject", "--json"]).ended(1).json();
    assert_eq!(json["kept"], serde_json::json!(["templates/mail/digest.txt.hbs"]));
    assert!(json["written"].as_array().unwrap().iter().any(|file| file == "templates/words/ar.toml"));
    place.run(&["template", "eject", "mail/digest.txt.hbs", "--force"]).ended(0);
    let checked = place.run(&["template", "check"]).ended(0);
    assert!(checked.out.contains("0 problems found"), "{}", checked.out);
    let list = place.run(&["template", "list", "--json"]).ended(0).json();
    assert!(list.as_array().unwrap().iter().all(|row| row["whose"] == "own, as built in"), "{list}");
    let unknown = place.run(&["template", "eject", "digset"]).ended(2);
    assert!(unknown.err.contains("did you mean digest?"), "{}", unknown.err);
}

#[test]
fn a_check_names_what_is_wrong_and_how_large_each_mail_is() {
    let place = Place::new();
    place.write("templates/mail/alert.txt.hbs", "one\n{{article.title}}\n");
    let checked = place.run(&["template", "check"]).ended(1);
    assert!(
        checked.err.contains(
            "templates/mail/alert.txt.hbs:2: there is no field `article.title`\n  hint: did you mean `articles`?"
        ),
        "{}",
        checked.err
    );
    let json = place.run(&["template", "check", "--json"]).ended(1).json();
    assert_eq!(json["problems"][0]["line"], 2);
    let digest = json["mails"].as_array().unwrap().iter().find(|mail| mail["name"] == "digest").unwrap();
    assert!(
        digest["full"].as_u64() > digest["minimal"].as_u64() && digest["twenty_articles"].as_u64() > Some(30_000),
        "{digest}"
    );
    place.write("templates/mail/alert.txt.hbs", "{{#each articles}}{{title}}{{/each}}");
    place.write("templates/words/pt.toml", "greeting = \"Oi,\"\n");
    let checked = place.run(&["template", "check"]).ended(0);
    assert!(checked.err.starts_with("templates/words/pt.toml: lacks "), "{}", checked.err);
}
