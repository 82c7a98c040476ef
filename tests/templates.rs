//! The mail templates as readers, editors and mail programs meet them.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
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
use tidings::template::{Bodies, CompiledDigest, Own, Templates, example_notice};

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
        ("welcome", renderer.welcome(feed, &articles[..3], &own(publication, Some("Mara"))).unwrap()),
        ("confirm", templates.mail("confirm", &confirm).unwrap()),
        ("notice", templates.mail("notice", &example_notice(true)).unwrap()),
    ]
}

/// With `TIDINGS_MAILS=folder`, every mail is written there for looking at.
#[tokio::test]
async fn every_mail_says_its_language_and_direction_and_calls_nobody() {
    for (place, language, dir) in [(Place::sample(), "en", "ltr"), (arabic(), "ar", "rtl")] {
        let publication = opened(&place).await;
        for (name, bodies) in mails(&publication).await {
            let (language, dir) = if name == "notice" { ("en", "ltr") } else { (language, dir) };
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
