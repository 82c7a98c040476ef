//! Who had an article by an alert sees it marked in the digest that follows; who had not, does not.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::collections::HashMap;

use chrono::TimeDelta;
use support::publication::{Lantern, Letter, NEWS, Setup};
use support::smtp_sink::{Options, Sink};
use tidings::domain::address::EmailAddress;
use tidings::domain::feed::FeedName;
use tidings::domain::newsletter::Cadence;
use tidings::domain::subscription::{Subscriber, SubscriberId, SubscriptionState};
use tidings::store::NewSubscription;
use tidings::task::{compose, schedule};

support::engines::for_each_engine! {
    an_article_that_came_as_an_alert_is_marked_for_those_who_had_it,
    without_alerts_nothing_is_asked,
}

const ALERTS: &str = "title = \"Alerts\"\nselect = { section = \"news\", featured = true }\n[newsletter]\n\
                      subject = \"Alert: {{articles.0.title}}\"\ncadences.instant = {}\n";
const TEXT: &str = "{{reader.greeting}}\n{{#each articles}}\n{{title}}{{#if alerted}} (seen){{/if}}\n{{/each}}\n{{reader.unsubscribe_url}}\n";
const HTML: &str = "<mjml><mj-body><mj-section><mj-column><mj-text>{{reader.greeting}} {{reader.unsubscribe_url}}</mj-text>\
                    </mj-column></mj-section></mj-body></mjml>";

async fn lantern(url: &str, port: u16) -> Lantern {
    let feeds = vec![("news", NEWS.to_owned()), ("alerts", ALERTS.to_owned())];
    let mut lantern = Lantern::open(url, Setup { feeds, ..Setup::relay(port) }).await;
    let folder = lantern.folder.path().join("templates/mail");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("digest.txt.hbs"), TEXT).unwrap();
    std::fs::write(folder.join("digest.mjml.hbs"), HTML).unwrap();
    lantern.publication = lantern.again().await;
    lantern
}

/// A reader of the feed `alerts`, at once.
async fn alerted(lantern: &Lantern, address: &str) {
    let address = EmailAddress::parse(address).unwrap();
    let new = NewSubscription {
        address_hash: lantern.publication.keyring.address_hash(&address.key()),
        subscriber: Subscriber {
            id: SubscriberId::new(lantern.now()),
            address,
            name: None,
            language: None,
            time_zone: None,
        },
        feed: FeedName::parse("alerts").unwrap(),
        cadence: Cadence::Instant,
        state: SubscriptionState::Active,
    };
    lantern.publication.store.subscribe(&[new], true, lantern.now()).await.unwrap();
}

/// Questions and answers stand in an alert, as a list in HTML and as text, whatever is in them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_has_the_questions_and_answers_of_its_article() {
    let folder = tempfile::tempdir().unwrap();
    let feeds = vec![("alerts", ALERTS.to_owned())];
    let url = format!("sqlite://{}/t.db", folder.path().display());
    let lantern = Lantern::open(&url, Setup { feeds, ..Setup::default() }).await;
    alerted(&lantern, "mara@reader.example").await;
    let faq = r#"featured = true
[[faq]]
question = "Who lit < it & why?"
answer = """
The *keeper*, at dusk.

- one
- [two](/two/) ![a lamp](/lamp.png)

Été & &nbsp;more: `{{x}}` <br> \"quoted\"
"""
[[faq]]
question = "And then?"
answer = "Nothing."
"#;
    lantern.write("lit", lantern.now(), faq);
    tidings::task::sync::sync(&lantern.publication, &|_, _| {}).await.unwrap();
    lantern.pass(TimeDelta::minutes(5));
    schedule::tick(&lantern.publication).await.unwrap();
    lantern.dispatch().await;
    let file = std::fs::read_dir(&lantern.publication.config.mail.outbox).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(file).unwrap();
    let message = mail_parser::MessageParser::default().parse(&bytes).unwrap();
    let (text, html) = (message.body_text(0).unwrap(), message.body_html(0).unwrap());
    assert!(text.contains("Questions and answers") && text.contains("Who lit < it & why?"), "{text}");
    assert!(text.contains("The keeper, at dusk.") && text.contains("And then?") && text.contains("Nothing."), "{text}");
    assert!(html.contains("<dl") && html.contains("Who lit &lt; it &amp; why?</dt>"), "{html}");
    assert!(html.contains("<em>keeper</em>") && html.contains("href=\"https://lantern.example/two/\""), "{html}");
    assert!(html.contains("src=\"https://lantern.example/lamp.png\"") && html.contains("<br"), "{html}");
    if let Ok(place) = std::env::var("TIDINGS_PICTURES") {
        std::fs::write(std::path::Path::new(&place).join("alert.html"), html.as_bytes()).unwrap();
    }
}

/// Digests of `news` that the sink has taken since, by reader.
fn digests(sink: &Sink, since: usize) -> HashMap<String, String> {
    let letters = sink.messages().into_iter().skip(since).map(|message| Letter::read(&message.bytes));
    letters.map(|letter| (letter.to.split('@').next().unwrap().to_owned(), letter.text)).collect()
}

async fn an_article_that_came_as_an_alert_is_marked_for_those_who_had_it(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = lantern(&url, sink.port()).await;
    for name in ["ann", "ben", "cleo"] {
        lantern.reader(&format!("{name}@reader.example"), Cadence::Daily, None).await;
    }
    alerted(&lantern, "ann@reader.example").await;
    lantern.write("fire", lantern.now(), "featured = true");
    lantern.sync().await;
    lantern.pass(TimeDelta::minutes(5));
    schedule::tick(&lantern.publication).await.unwrap();
    assert_eq!(lantern.dispatch().await.sent, 1);
    assert!(!digests(&sink, 0)["ann"].contains("(seen)"), "the alert itself is not marked");
    lantern.release(&["tide"]).await;
    // Ben comes to the alerts too late for that one, and gets the next.
    alerted(&lantern, "ben@reader.example").await;
    lantern.write("flood", lantern.now(), "featured = true");
    lantern.sync().await;
    lantern.pass(TimeDelta::minutes(5));
    schedule::tick(&lantern.publication).await.unwrap();
    assert_eq!(lantern.dispatch().await.sent, 2);
    let before = sink.count();
    lantern.compose().await.unwrap();
    assert_eq!(lantern.dispatch().await.sent, 3);
    let digests = digests(&sink, before);
    for (name, seen) in [("ann", vec!["fire", "flood"]), ("ben", vec!["flood"]), ("cleo", vec![])] {
        let text = &digests[name];
        let marked: Vec<&str> = text.lines().filter_map(|line| line.strip_suffix(" (seen)")).collect();
        let marked: std::collections::BTreeSet<_> = marked.into_iter().collect();
        assert_eq!(marked, seen.into_iter().collect(), "{name}: {text}");
        for article in ["fire", "flood", "tide"] {
            assert!(text.contains(article), "{name}: {text}");
        }
    }
}

async fn without_alerts_nothing_is_asked(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = lantern(&url, sink.port()).await;
    lantern.readers(3).await;
    lantern.release(&["one"]).await;
    let (digest, _) = lantern.compose().await.unwrap();
    let store = lantern.again().await.store;
    let alerts = store.alerts_in(digest.id).await.unwrap();
    assert_eq!(alerts, []);
    let now = lantern.now();
    let mut claimed = store.claim("a", now + TimeDelta::minutes(1), 10, now).await.unwrap();
    assert_eq!(claimed.len(), 3);
    store.clone().close().await;
    // Whatever would be asked now would fail.
    store.mark_alerted(&mut claimed, &HashMap::from([(digest.id, alerts)])).await.unwrap();
    let (feed, _) = compose::newsletter(&lantern.publication, "news").unwrap();
    assert!(store.readers(&feed.name).await.is_err());
}
