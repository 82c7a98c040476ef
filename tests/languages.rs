//! Every page and every mail speaks its reader's language.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::collections::HashMap;

use chrono::TimeDelta;
use support::place::Place;
use support::publication::{Lantern, NEWS, Setup, news};
use support::site::Site;
use support::smtp_sink::{Options, Sink};
use tidings::config::Config;
use tidings::domain::address::EmailAddress;
use tidings::domain::newsletter::Cadence;
use tidings::domain::subscription::{Subscriber, SubscriberId, SubscriptionState};
use tidings::store::NewSubscription;
use tidings::task::render::Renderer;
use tidings::task::{Clock, compose, templates};

support::engines::for_each_engine! {
    a_digest_comes_to_each_reader_in_their_own_words,
}

/// Words of each language that stand in every digest: how it greets, why it came, how to leave.
const DIGESTS: [(&str, &str, [&str; 3]); 4] = [
    ("en", "ltr", ["Hello Mara,", "You get this because you subscribed to Latest news.", "Unsubscribe"]),
    (
        "de",
        "ltr",
        ["Guten Tag Mara,", "Sie erhalten diese Mail, weil Sie „Latest news“ abonniert haben.", "Abbestellen"],
    ),
    ("fr", "ltr", ["Bonjour Mara,", "vous êtes abonné à", "Se désabonner"]),
    ("ar", "rtl", ["مرحبًا", "تصلك هذه الرسالة لأنك مشترك في", "إلغاء الاشتراك"]),
];

async fn reader(lantern: &Lantern, address: &str, language: Option<&str>) {
    let address = EmailAddress::parse(address).unwrap();
    let new = NewSubscription {
        address_hash: lantern.publication.keyring.address_hash(&address.key()),
        subscriber: Subscriber {
            id: SubscriberId::new(lantern.now()),
            address,
            name: Some("Mara".into()),
            language: language.map(str::to_owned),
            time_zone: None,
        },
        feed: news(),
        cadence: Cadence::Daily,
        state: SubscriptionState::Active,
    };
    lantern.publication.store.subscribe(&[new], true, lantern.now()).await.unwrap();
}

/// The two bodies of a message, decoded, and its subject.
fn read(message: &[u8]) -> (String, String, String) {
    let message = mail_parser::MessageParser::default().parse(message).unwrap();
    let body = |text: Option<std::borrow::Cow<'_, str>>| text.unwrap().replace("\r\n", "\n");
    (message.subject().unwrap().to_owned(), body(message.body_text(0)), body(message.body_html(0)))
}

async fn a_digest_comes_to_each_reader_in_their_own_words(url: String) {
    let sink = Sink::start(Options::default()).await;
    let subject = "subject = \"{{t \\\"alert_lead\\\" newsletter=newsletter.title}}: {{articles.0.title}}\"";
    let feeds = vec![("news", NEWS.replace("subject = \"News: {{articles.0.title}}\"", subject))];
    let lantern = Lantern::open(&url, Setup { feeds, ..Setup::relay(sink.port()) }).await;
    // Those who have none, and one that is not on offer, have the publication's.
    let readers = [
        ("none@reader.example", None, "en"),
        ("dutch@reader.example", Some("nl"), "en"),
        ("german@reader.example", Some("de"), "de"),
        ("swiss@reader.example", Some("DE-ch"), "de"),
        ("french@reader.example", Some("fr"), "fr"),
        ("arabic@reader.example", Some("ar-EG"), "ar"),
    ];
    for (address, language, _) in readers {
        reader(&lantern, address, language).await;
    }
    lantern.pass(TimeDelta::minutes(1));
    lantern.release(&["one", "two"]).await;
    let (digest, _) = lantern.compose().await.unwrap();
    assert_eq!(lantern.dispatch().await.sent, 6);

    let messages: HashMap<String, Vec<u8>> =
        sink.messages().into_iter().map(|message| (message.to[0].clone(), message.bytes)).collect();
    let (feed, newsletter) = compose::newsletter(&lantern.publication, "news").unwrap();
    let articles = lantern.publication.store.articles_of(digest.id).await.unwrap();
    for (address, language, spoken) in readers {
        let (subject, text, html) = read(&messages[address]);
        let (_, dir, words) = DIGESTS.into_iter().find(|(language, ..)| *language == spoken).unwrap();
        for word in words {
            assert!(text.contains(word), "{address} has no {word} in {text}");
        }
        assert!(html.contains(&format!("<html lang=\"{spoken}\" dir=\"{dir}\"")), "{address}: {}", &html[..200]);
        let lead = match spoken {
            "en" => "New in Latest news: ",
            "de" => "Neu in „Latest news“: ",
            "fr" => "Du nouveau dans «",
            _ => "جديد في",
        };
        assert!(subject.starts_with(lead), "{address}: {subject}");
        // Patched from what is rendered once for a language, it is what a rendering for this reader alone gives.
        let renderer = Renderer::new(&lantern.publication).speaking(language);
        let own = renderer.own(lantern.who(address).await, Some("Mara"), &feed.name);
        let compiled = renderer.compile(feed, newsletter, Some(&digest), &articles).unwrap();
        let whole = compiled.for_reader(&lantern.publication.templates, &own).unwrap();
        assert_eq!((text.trim_end(), html.trim_end()), (whole.text.trim_end(), whole.html.trim_end()), "{address}");
        assert_eq!(subject, compiled.subject, "{address}");
    }
}

fn in_language(language: &str) -> Place {
    let place = Place::sample();
    let config = place.read("config.toml").replace("language = \"en\"", &format!("language = \"{language}\""));
    place.write("config.toml", config);
    place
}

/// Every word of a catalogue that is plain text and of some length.
fn words(language: &str) -> Vec<(String, String)> {
    let file = format!("{}/templates/words/{language}.toml", env!("CARGO_MANIFEST_DIR"));
    let table: toml::Table = std::fs::read_to_string(file).unwrap().parse().unwrap();
    table.into_iter().filter_map(|(key, value)| Some((key, value.as_str()?.to_owned()))).collect()
}

#[tokio::test]
async fn no_page_falls_back_to_english() {
    for language in ["de", "fr", "es", "ar"] {
        let site = Site::serve(in_language(language), Clock::system()).await;
        let own: HashMap<String, String> = words(language).into_iter().collect();
        // What this language says otherwise, up to what is filled in.
        let english: Vec<String> = words("en")
            .into_iter()
            .filter(|(key, text)| own[key] != *text)
            .map(|(_, text)| text.split('{').next().unwrap().trim().to_owned())
            .filter(|text| text.len() > 12)
            .collect();
        let dir = if language == "ar" { "rtl" } else { "ltr" };
        for path in
            ["/", "/articles/the-lighthouse-is-lit-again/", "/feeds/news/", "/feeds/offers/", "/subscribe", "/no"]
        {
            let page = site.get(path).await.text().replace("&#x27;", "'").replace("&quot;", "\"");
            assert!(page.contains(&format!("<html lang=\"{language}\" dir=\"{dir}\">")), "{path}: {}", &page[..120]);
            for text in &english {
                assert!(!page.contains(text.as_str()), "{language} {path} says {text:?}");
            }
            assert!(page.contains(&own["stay_in_touch"]) && page.contains(&own["home"]), "{language} {path}");
        }
        let failed = site.post("/subscribe", &[("address", "nobody"), ("feed", "news")]).await;
        assert_eq!((failed.status, failed.header("content-language")), (422, Some(language)));
        assert!(failed.text().contains(&own["address_no_at"]), "{}", failed.text());
    }
}

#[tokio::test]
async fn the_form_speaks_as_the_browser_prefers_or_as_it_is_asked_to() {
    let site = Site::serve(Place::sample(), Clock::system()).await;
    for (path, accepted, language, varies) in [
        ("/subscribe", None, "en", true),
        ("/subscribe", Some("de-AT,de;q=0.9,en;q=0.5"), "de", true),
        ("/subscribe", Some("nl, fr;q=0.5"), "fr", true),
        ("/subscribe", Some("nl"), "en", true),
        ("/subscribe?lang=ar", Some("de"), "ar", false),
        ("/subscribe?lang=xx", Some("es"), "es", true),
    ] {
        let headers: Vec<(&str, &str)> = accepted.map(|accepted| ("Accept-Language", accepted)).into_iter().collect();
        let page = site.get_with(path, &headers).await;
        let what = format!("{path} {accepted:?}");
        assert_eq!((page.status, page.header("content-language")), (200, Some(language)), "{what}");
        assert_eq!(page.header("vary"), varies.then_some("accept-language"), "{what}");
        let text = page.text();
        assert!(text.contains(&format!("<html lang=\"{language}\"")), "{what}");
        assert!(text.contains(&format!("name=\"lang\" value=\"{language}\"")), "{what}");
        assert!(
            text.contains("lang&#x3D;fr\" hreflang=\"fr\" lang=\"fr\"") && text.contains("Français"),
            "{what}: {text}"
        );
        let tag = page.header("etag").unwrap().to_owned();
        let again: Vec<(&str, &str)> = headers.iter().copied().chain([("If-None-Match", tag.as_str())]).collect();
        let known = site.get_with(path, &again).await;
        assert_eq!((known.status, known.header("vary")), (304, page.header("vary")), "{what}");
    }
    // The pages of the site are the same for everyone.
    let home = site.get_with("/", &[("Accept-Language", "de")]).await;
    assert!(home.text().contains("<html lang=\"en\"") && home.header("vary").is_none());
}

#[tokio::test]
async fn whoever_signs_up_in_a_language_keeps_it() {
    let site = Site::serve(Place::sample(), Clock::system()).await;
    let own: HashMap<String, String> = words("de").into_iter().collect();
    let fields = [("address", "leser@reader.example"), ("feed", "news"), ("feed", "offers"), ("lang", "de")];
    let answer = site.post("/subscribe", &fields).await;
    assert!(answer.text().contains(&own["check_mail"]), "{}", answer.text());
    assert_eq!(answer.header("content-language"), Some("de"));
    let mail = site.mail().await;
    let (subject, text, html) = read(&mail[0]);
    assert_eq!(subject, "Bitte bestätigen: The Harbour Lantern per Mail");
    assert!(text.contains(&own["confirm_asked"]) && html.contains("<html lang=\"de\""), "{text}");
    let at = text.find("/confirm/").unwrap();
    let link = text[at..].split_whitespace().next().unwrap();
    // Their own language, whatever browser they open it in.
    let asked = site.get_with(link, &[("Accept-Language", "fr")]).await;
    assert!(
        asked.text().contains(&own["press"]) && asked.text().contains("Latest news und Offers"),
        "{}",
        asked.text()
    );
    assert_eq!((asked.header("content-language"), asked.header("vary")), (Some("de"), None));
    let done = site.post(link, &[]).await;
    assert!(done.text().contains(&own["subscribed"]), "{}", done.text());
    assert!(site.post(link, &[]).await.text().contains(&own["stale"]));
    let shown = done.text();
    let at = shown.find("/preferences/").unwrap();
    let preferences = shown[at..].split('"').next().unwrap();
    assert_eq!(site.get(preferences).await.header("content-language"), Some("de"));
    let renewed = site.post(&format!("{preferences}/own-feed"), &[("version", "1")]).await;
    assert!(renewed.text().contains(&own["own_feed_renewed"]), "{}", renewed.text());
    // Of a link that is nobody's only the browser says anything.
    let french: HashMap<String, String> = words("fr").into_iter().collect();
    for path in ["/preferences/none", "/unsubscribe/none", "/back/none", "/address/none"] {
        let stale = site.get_with(path, &[("Accept-Language", "fr")]).await;
        assert!(stale.text().contains(&french["stale"]), "{path}: {}", stale.text());
    }

    let language = async |address: &str| {
        let key = EmailAddress::parse(address).unwrap().key();
        site.app.publication.store.subscriber_by_address(&key).await.unwrap().unwrap().language
    };
    assert_eq!(language("leser@reader.example").await.as_deref(), Some("de"));
    for (address, lang, kept) in [
        ("english@reader.example", "en", None),
        ("none@reader.example", "", None),
        ("strange@reader.example", "xx\u{202e}<b>", None),
        ("austrian@reader.example", "de-AT", Some("de")),
    ] {
        site.post("/subscribe", &[("address", address), ("feed", "news"), ("lang", lang)]).await;
        assert_eq!(language(address).await.as_deref(), kept, "{address}");
    }
}

#[tokio::test]
async fn only_the_languages_that_the_editor_offers_are_spoken() {
    let place = Place::sample();
    place.write("config.toml", place.read("config.toml") + "\n[form]\nlanguages = [\"fr\", \"pt\"]\n");
    let config = Config::load(place.path(), []).unwrap();
    let checked = templates::check(&config);
    let problems: Vec<String> = checked.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        ["config.toml: form.languages: there are no words for pt\n  hint: copy templates/words/en.toml to \
          templates/words/pt.toml and translate it"]
    );
    let site = Site::serve(place, Clock::system()).await;
    let page = async |accepted| site.get_with("/subscribe", &[("Accept-Language", accepted)]).await;
    assert_eq!(page("de, fr;q=0.1").await.header("content-language"), Some("fr"));
    assert_eq!(page("de").await.header("content-language"), Some("en"));
    assert!(!page("de").await.text().contains("Deutsch"));
}

#[tokio::test]
async fn with_one_language_there_is_nothing_to_choose() {
    let place = Place::sample();
    place.write("config.toml", place.read("config.toml") + "\n[form]\nlanguages = []\n");
    let site = Site::serve(place, Clock::system()).await;
    let page = site.get_with("/subscribe", &[("Accept-Language", "fr")]).await;
    assert_eq!(page.header("content-language"), Some("en"));
    assert!(!page.text().contains("hreflang"));
    site.post("/subscribe", &[("address", "a@reader.example"), ("feed", "news"), ("lang", "fr")]).await;
    assert_eq!(read(&site.mail().await[0]).0, "Please confirm: The Harbour Lantern by mail");
}

#[tokio::test]
async fn a_word_that_a_catalogue_lacks_is_named_and_said_in_english() {
    let place = Place::sample();
    place.write("templates/words/pt.toml", "home = \"Início\"\n[own]\nbye = \"Até amanhã\"\n");
    place.write("templates/words/de.toml", "home = \"Anfang\"\n");
    let notes = templates::check(&Config::load(place.path(), []).unwrap()).notes;
    let of = |language: &str| notes.iter().find(|note| note.file == format!("templates/words/{language}.toml"));
    let portuguese = of("pt").unwrap();
    assert!(portuguese.what.contains("stay_in_touch") && portuguese.what.contains("articles"), "{portuguese}");
    assert_eq!(of("de").unwrap().what, "lacks own.bye");
    let site = Site::serve(place, Clock::system()).await;
    let page = site.get("/subscribe?lang=pt").await.text();
    assert!(page.contains(">Início<") && page.contains(">Stay in touch<"), "{page}");
    assert!(page.contains("<html lang=\"pt\" dir=\"ltr\">"));
    assert!(site.get("/subscribe?lang=de").await.text().contains(">Anfang<"));
    assert_eq!(site.app.publication.templates.speech("fr").word("own.bye", &[]), "Até amanhã");
}
