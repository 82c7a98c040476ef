//! What hubs bring of feeds elsewhere: our own hub in one publication tells another one on loopback, and hubs that refuse,
//! die, forget or lie.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use aws_lc_rs::hmac;
use chrono::{DateTime, TimeDelta, Utc};
use support::elsewhere::{Server, entry, feed, reply};
use support::http::{Answer, ask};
use support::place::{CONFIG, Place};
use support::site::Site;
use tidings::fetch::{Fetcher, Manners};
use tidings::store::Push;
use tidings::task::dispatch::Stop;
use tidings::task::hub::keep_telling_hubs;
use tidings::task::poll::{self, PollReport};
use tidings::task::push;
use tidings::task::{Clock, Publication};

support::engines::for_each_engine! {
    what_our_hub_tells_another_publication_is_there_at_once_and_once,
    a_hub_that_refuses_dies_or_forgets_is_not_relied_on,
    only_what_is_signed_as_agreed_is_taken_in,
    of_what_a_hub_brought_the_next_poll_sees_the_whole,
}

const PATIENCE: Duration = Duration::from_secs(30);

fn clock(hand: &Arc<AtomicI64>) -> Clock {
    let hand = Arc::clone(hand);
    Clock::from_fn(move || DateTime::from_timestamp_millis(hand.load(Ordering::SeqCst)).unwrap())
}

async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A publication that has one source, served on loopback.
struct Reader {
    site: Site,
    hand: Arc<AtomicI64>,
}

impl Reader {
    async fn of(database: &str, feed: &str, hand: &Arc<AtomicI64>) -> Self {
        let place = Place::new();
        let source = format!("[[source]]\nfeed = \"{feed}\"\nname = \"other\"\nsection = \"news\"\nprivate = true\n");
        place.write("config.toml", format!("{CONFIG}\n[database]\nurl = \"{database}\"\n\n{source}"));
        let site = Site::serve(place, clock(hand)).await;
        let reader = Self { site, hand: Arc::clone(hand) };
        poll::know(reader.publication()).await.unwrap();
        reader
    }

    fn publication(&self) -> &Publication {
        &self.site.app.publication
    }

    fn pass(&self, time: TimeDelta) {
        self.hand.fetch_add(time.num_milliseconds(), Ordering::SeqCst);
    }

    fn now(&self) -> DateTime<Utc> {
        self.publication().clock.now()
    }

    async fn poll(&self) -> PollReport {
        let sources: Vec<_> = self.publication().config.sources.iter().collect();
        loop {
            // What a hub brought may be under way.
            if let Some(report) = poll::poll_now(self.publication(), &sources).await.unwrap().pop() {
                return report;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn is_due(&self) -> bool {
        !self.publication().store.due_remotes(self.now()).await.unwrap().is_empty()
    }

    async fn push(&self) -> Push {
        self.publication().store.push_of("other").await.unwrap().expect("a hub is known")
    }

    async fn is_alive(&self) -> bool {
        self.push().await.is_alive(self.now())
    }

    async fn articles(&self) -> u64 {
        self.publication().store.articles_from("feed:other").await.unwrap()
    }

    async fn heard(&self, token: &str, fields: &[(&str, &str)]) -> Answer {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(fields);
        self.site.get(&format!("/sources/push/{token}?{}", query.finish())).await
    }

    /// As a hub that was asked does.
    async fn granted(&self, seconds: &str) {
        let push = self.push().await;
        let fields = [
            ("hub.mode", "subscribe"),
            ("hub.topic", push.topic.as_str()),
            ("hub.challenge", "c"),
            ("hub.lease_seconds", seconds),
        ];
        let answer = self.heard(&push.token, &fields).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "c"));
    }

    async fn brought(&self, token: &str, signature: impl Into<Option<String>>, body: &str) -> u16 {
        let signature = signature.into().unwrap_or_default();
        let mut headers = vec![("Content-Type", "application/atom+xml")];
        if !signature.is_empty() {
            headers.push(("X-Hub-Signature", &signature));
        }
        ask(self.site.at, "POST", &format!("/sources/push/{token}"), &headers, body.as_bytes()).await.status
    }
}

fn signed(secret: &str, body: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body.as_bytes());
    let digits: Vec<String> = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={}", digits.concat())
}

fn noon() -> Arc<AtomicI64> {
    Arc::new(AtomicI64::new("2026-11-27T08:00:00Z".parse::<DateTime<Utc>>().unwrap().timestamp_millis()))
}

async fn what_our_hub_tells_another_publication_is_there_at_once_and_once(url: String) {
    let hand = noon();
    let place = Place::new();
    place.write("config.toml", format!("{CONFIG}\n[feeds]\nhub = \"own\"\nhub_private = true\n"));
    let publisher = Site::serve(place, clock(&hand)).await;
    let (word, stop) = Stop::new();
    let (publication, site) = (publisher.app.publication.clone(), Arc::clone(&publisher.app.site));
    let hub = tokio::spawn(async move { keep_telling_hubs(&publication, &site, stop, &|_| {}).await });

    let reader = Reader::of(&url, &publisher.url("/feeds/news/atom.xml"), &hand).await;
    let first = reader.poll().await;
    assert!(first.first && first.trouble.is_none(), "{first:?}");
    let before = reader.articles().await;
    push::ask_hubs(reader.publication()).await.unwrap();
    until("the hub has its yes", || reader.is_alive()).await;
    let granted = reader.push().await;
    assert!(granted.lease_until.unwrap() >= reader.now() + TimeDelta::days(9), "{:?}", granted.lease_until);
    assert_eq!(granted.topic, publisher.url("/feeds/news/atom.xml"));

    // From now on it is asked once a day, and what is new is there without that.
    let polled = reader.poll().await;
    assert!(polled.next_at.unwrap() >= reader.now() + TimeDelta::hours(24), "{polled:?}");
    let date = reader.now().to_rfc3339();
    publisher.place.article("pushed", "Pushed", &date, "A body.");
    publisher.refresh().await;
    publisher.app.publication.hub.ring();
    until("what is new is there", || async { reader.articles().await == before + 1 }).await;
    until("it was noted", || async { reader.push().await.pushed_at.is_some() }).await;
    let again = reader.poll().await;
    assert_eq!((again.new, again.released), (0, 0), "{again:?}");
    assert!(reader.is_alive().await);

    // The lease is made longer before it ends.
    reader.pass(TimeDelta::days(7));
    push::ask_hubs(reader.publication()).await.unwrap();
    assert_eq!(reader.push().await.lease_until, granted.lease_until, "not yet");
    reader.pass(TimeDelta::days(1));
    push::ask_hubs(reader.publication()).await.unwrap();
    until("the lease is longer", || async { reader.push().await.lease_until > granted.lease_until }).await;

    // Who has forgotten the source says so, and is told no more.
    let listeners = async || {
        let store = &publisher.app.publication.store;
        store.audiences(reader.now()).await.unwrap().iter().map(|one| one.listeners).sum::<u64>()
    };
    assert_eq!(listeners().await, 1);
    poll::forget(reader.publication(), "other", false).await.unwrap();
    publisher.place.article("unheard", "Unheard", &reader.now().to_rfc3339(), "A body.");
    publisher.refresh().await;
    publisher.app.publication.hub.ring();
    until("nobody listens", || async { listeners().await == 0 }).await;
    word.send(true).unwrap();
    hub.await.unwrap();
}

/// A feed that names a hub of its own server, and the hub.
fn with_hub(entries: String) -> Server {
    let server = Server::saying(|_, _| vec![]);
    let hub = server.url("/hub");
    server.says(move |path, _| {
        if path == "/hub" {
            return reply("202 Accepted", "", "");
        }
        let headers = format!("Content-Type: application/atom+xml\r\nLink: <{hub}>; rel=\"hub\"\r\n");
        reply("200 OK", &headers, &feed(&entries))
    });
    server
}

fn one(number: usize) -> String {
    entry(&format!("urn:{number}"), &format!("Piece {number}"), &format!("/p/{number}/"), "2026-11-20T08:00:00Z")
}

async fn a_hub_that_refuses_dies_or_forgets_is_not_relied_on(url: String) {
    let server = with_hub(one(1));
    let hand = noon();
    let reader = Reader::of(&url, &server.url("/feed.xml"), &hand).await;
    reader.poll().await;
    push::ask_hubs(reader.publication()).await.unwrap();
    push::ask_hubs(reader.publication()).await.unwrap();
    let asked: Vec<_> = server.asked().into_iter().filter(|(path, _)| path == "/hub").collect();
    assert_eq!(asked.len(), 1, "it is not asked again at once");
    assert!(!reader.is_alive().await);

    // Who asks for something else, or is not known, is not given a yes.
    let known = reader.push().await;
    let question = |mode, topic| [("hub.mode", mode), ("hub.topic", topic), ("hub.challenge", "c")];
    assert_eq!(reader.heard(&known.token, &question("subscribe", "https://other.example/")).await.status, 404);
    assert_eq!(reader.heard(&known.token, &question("unsubscribe", &known.topic)).await.status, 404);
    assert_eq!(reader.heard("0123", &question("subscribe", &known.topic)).await.status, 404);
    assert_eq!(reader.heard(&known.token, &[("hub.mode", "subscribe"), ("hub.topic", &known.topic)]).await.status, 404);
    assert!(!reader.is_alive().await);

    // It refuses: the feed is due at once, as if there were no hub.
    reader.granted("864000").await;
    assert!(reader.is_alive().await);
    reader.poll().await;
    reader.pass(TimeDelta::hours(8));
    assert!(!reader.is_due().await);
    let denied = [("hub.mode", "denied"), ("hub.topic", known.topic.as_str()), ("hub.reason", "no\r\nroom")];
    assert_eq!(reader.heard(&known.token, &denied).await.status, 200);
    let refused = reader.push().await;
    assert_eq!(refused.trouble.as_deref(), Some("the hub refuses: no room"));
    assert!(!reader.is_alive().await && reader.is_due().await);
    assert_eq!(refused.ask_at, reader.now() + TimeDelta::days(7));
    let polled = reader.poll().await;
    assert!(polled.next_at.unwrap() < reader.now() + TimeDelta::hours(24), "{polled:?}");

    // It lets its lease run out without an answer.
    reader.granted("3600").await;
    reader.poll().await;
    reader.pass(TimeDelta::minutes(61));
    assert!(!reader.is_due().await);
    push::ask_hubs(reader.publication()).await.unwrap();
    assert!(reader.is_due().await && !reader.is_alive().await, "{:?}", reader.push().await.trouble);

    // It forgets us: polls find what it should have brought.
    reader.granted("864000").await;
    let hub = server.url("/hub");
    for number in [2, 3] {
        let (hub, entries) = (hub.clone(), one(number));
        server.says(move |_, _| reply("200 OK", &format!("Link: <{hub}>; rel=hub\r\n"), &feed(&entries)));
        assert!(reader.is_alive().await);
        assert_eq!(reader.poll().await.new, 1);
    }
    assert!(!reader.is_alive().await);
    assert!(reader.push().await.trouble.unwrap().contains("had not brought"));
    // And what it brings after all makes it one to rely on.
    let push = reader.push().await;
    let body = feed(&one(4));
    assert_eq!(reader.brought(&push.token, signed(push.secret.as_deref().unwrap(), &body), &body).await, 202);
    until("it is there", || async { reader.articles().await == 4 }).await;
    assert!(reader.is_alive().await);

    // Without a hub in the document it is as if there had been none.
    server.says(|_, _| reply("200 OK", "", &feed(&one(5))));
    reader.poll().await;
    assert!(reader.publication().store.push_of("other").await.unwrap().is_none());
    assert_eq!(reader.brought(&push.token, signed(push.secret.as_deref().unwrap(), &body), &body).await, 410);
}

async fn only_what_is_signed_as_agreed_is_taken_in(url: String) {
    let server = with_hub(one(1));
    let hand = noon();
    let reader = Reader::of(&url, &server.url("/feed.xml"), &hand).await;
    reader.poll().await;
    reader.granted("864000").await;
    let push = reader.push().await;
    let (token, secret) = (push.token.as_str(), push.secret.clone().unwrap());
    assert!(token.len() >= 32 && secret.len() >= 32 && secret.len() < 200);
    let body = feed(&one(2));
    for wrong in [None, Some(signed("guessed", &body)), Some(signed(&secret, "other")), Some("sha1=00".to_owned())] {
        assert_eq!(reader.brought(token, wrong, &body).await, 202, "WebSub §8: it is not said that it is left aside");
        until("it is noted", || async { reader.push().await.trouble.is_some() }).await;
        assert_eq!(reader.articles().await, 1);
        reader.publication().store.note_push_trouble(token, None).await.unwrap();
    }
    // A hub that signs otherwise is not relied on, however often it says yes; the feed is polled.
    until("it is due", || reader.is_due()).await;
    reader.granted("864000").await;
    assert!(!reader.is_alive().await);
    reader.poll().await;
    assert!(!reader.is_due().await);
    assert_eq!(reader.brought(&token.replace(&token[..4], "zzzz"), signed(&secret, &body), &body).await, 410);
    let coded = [("X-Hub-Signature", signed(&secret, &body)), ("Content-Encoding", "gzip".into())];
    let headers: Vec<_> = coded.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let path = format!("/sources/push/{token}");
    assert_eq!(ask(reader.site.at, "POST", &path, &headers, body.as_bytes()).await.status, 415);
    // As bounded as a poll's.
    let huge = "x".repeat((16 << 20) + 1);
    assert_eq!(ask(reader.site.at, "POST", &path, &[], huge.as_bytes()).await.status, 413);
    assert_eq!(reader.articles().await, 1);
    // What is signed and no feed harms nothing: the feed is polled instead.
    let bomb = "<!DOCTYPE a [<!ENTITY b \"c\">]><rss><channel><item><title>&b;".to_owned();
    assert_eq!(reader.brought(token, signed(&secret, &bomb), &bomb).await, 202);
    until("it is due", || reader.is_due()).await;
    assert_eq!(reader.brought(token, signed(&secret, &body), &body).await, 202);
    until("it is there", || async { reader.articles().await == 2 }).await;
    // The same once more is nothing new.
    assert_eq!(reader.brought(token, signed(&secret, &body), &body).await, 202);
    until("it was read", || async { reader.push().await.trouble.is_none() }).await;
    assert_eq!(reader.articles().await, 2);
    assert!(reader.is_alive().await);
}

async fn of_what_a_hub_brought_the_next_poll_sees_the_whole(url: String) {
    let server = Server::saying(|_, _| vec![]);
    let hub = server.url("/hub");
    let says = |tag: &str, entries: String| {
        // Its topic stands elsewhere: what is relative is the same article all the same.
        let headers = format!("{tag}Link: <{hub}>; rel=hub, <http://other.example/feed>; rel=self\r\n");
        server.says(move |_, head| {
            let is_known = head.contains("if-none-match");
            if is_known { reply("304 Not Modified", "", "") } else { reply("200 OK", &headers, &feed(&entries)) }
        });
    };
    let tag = "ETag: \"same\"\r\n";
    says("", one(1));
    let hand = noon();
    let reader = Reader::of(&url, &server.url("/feed.xml"), &hand).await;
    reader.poll().await;
    reader.granted("864000").await;
    let push = reader.push().await;
    assert_eq!((push.topic.as_str(), push.found_at), ("http://other.example/feed", server.url("/feed.xml")));
    let bring = async |entries: String| {
        let body = feed(&entries);
        let before = reader.push().await.pushed_at;
        reader.pass(TimeDelta::minutes(1));
        let status = reader.brought(&push.token, signed(push.secret.as_deref().unwrap(), &body), &body).await;
        assert_eq!(status, 202);
        until("it came", || async { reader.push().await.pushed_at > before }).await;
    };
    // What is withdrawn stays so, whatever a hub brings once more.
    says(tag, "<at:deleted-entry ref=\"urn:1\" when=\"2026-11-27T00:00:00Z\"/>".to_owned());
    assert_eq!(reader.poll().await.withdrawn, 1);
    bring(one(1) + &one(2)).await;
    until("what is new is there", || async { reader.articles().await > 0 }).await;
    // That it is there again is for a poll to say, which is not told that nothing changed.
    says(tag, one(1) + &one(2));
    let polled = reader.poll().await;
    assert_eq!((polled.not_modified, polled.changed, polled.new), (false, 1, 0), "{polled:?}");
    assert_eq!(reader.articles().await, 2);
    assert!(reader.poll().await.not_modified);
}

#[tokio::test]
async fn a_hub_is_asked_where_it_can_reach_us_and_over_tls_alone() {
    let own = |hub: &str| {
        let hub = hub.to_owned();
        Server::saying(move |_, _| reply("200 OK", &format!("Link: <{hub}>; rel=\"hub\"\r\n"), &feed(&one(1))))
    };
    let (secured, clear) = (own("https://hub.example.org/"), own("http://hub.example.org/"));
    let at = |server: &Server| server.url("/feed.xml");
    // What is behind a name and password is not for a hub to know of.
    let locked = at(&secured).replace("://", "://reader:secret@");
    for (url, feed, is_wanted) in [
        ("https://lantern.port.org", at(&secured), true),
        ("https://lantern.port.org", locked, false),
        ("https://lantern.port.org", at(&clear), false),
        ("http://lantern.port.org", at(&secured), false),
        ("https://lantern.example", at(&secured), false),
        ("https://lantern.local", at(&secured), false),
        ("https://lantern", at(&secured), false),
        ("https://192.168.1.2", at(&secured), false),
        ("https://[fd00::1]", at(&secured), false),
        ("https://8.8.8.8", at(&secured), true),
    ] {
        let place = Place::new();
        let source = format!("[[source]]\nfeed = \"{feed}\"\nname = \"other\"\n");
        place.write("config.toml", format!("{CONFIG}\n[serve]\nurl = \"{url}\"\n\n{source}"));
        let mut publication = Publication::open(place.config(), clock(&noon())).await.unwrap();
        publication.fetcher = Fetcher::new(Manners {
            also_public: |address| address == IpAddr::V4(Ipv4Addr::LOCALHOST),
            ..Manners::new("Tidings/0".into(), tidings::mail::trust)
        });
        poll::know(&publication).await.unwrap();
        let sources: Vec<_> = publication.config.sources.iter().collect();
        let report = poll::poll_now(&publication, &sources).await.unwrap().remove(0);
        assert_eq!(report.trouble, None);
        let push = publication.store.push_of("other").await.unwrap();
        assert_eq!(push.is_some(), is_wanted, "{url} {feed}");
    }
}
