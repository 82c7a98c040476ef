//! WebSub: our own hub with real callbacks on loopback, willing, failing and hostile ones; and pings to another's hub.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, TimeDelta, Utc};
use support::http::Answer;
use support::place::{CONFIG, Place};
use support::site::Site;
use tidings::domain::hub::{LEASE, Mode, Wish};
use tidings::store::{Asked, Audience};
use tidings::task::dispatch::Stop;
use tidings::task::hub::{self, Reply, keep_telling_hubs};
use tidings::task::{Clock, Publication};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

support::engines::for_each_engine! {
    a_callback_shows_that_it_wants_it_and_is_then_told_the_whole_document,
    only_the_challenge_itself_is_a_yes,
    what_is_refused_after_all_is_told_with_its_reason,
    a_lease_runs_out_and_whoever_asks_again_is_told_on,
    whoever_asks_again_replaces_what_was_asked_before,
    who_does_not_want_it_any_more_shows_that_too,
    who_fails_is_tried_again_and_who_is_gone_is_dropped,
    what_was_not_told_before_the_end_is_told_after_it,
    two_processes_tell_each_listener_once,
    three_thousand_are_told_within_moments,
    another_hub_is_pinged_for_each_document_that_changed,
}

/// Longer than anything here takes, so that a test that hangs says where.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a callback, or a hub, was sent.
#[derive(Debug, Clone)]
struct Heard {
    method: String,
    path: String,
    query: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Heard {
    /// The values of one field of the query.
    fn all(&self, name: &str) -> Vec<String> {
        let pairs = url::form_urlencoded::parse(self.query.as_bytes());
        pairs.filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).collect()
    }

    fn field(&self, name: &str) -> String {
        self.all(name).pop().unwrap_or_default()
    }

    fn is_post(&self) -> bool {
        self.method == "POST"
    }
}

/// A web server that listens, and answers as it is told.
struct Ear {
    at: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    posts: watch::Receiver<usize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a willing callback says.
fn yes(heard: &Heard) -> Response {
    if heard.is_post() { StatusCode::NO_CONTENT.into_response() } else { heard.field("hub.challenge").into_response() }
}

impl Ear {
    /// Answers by `answer`, which knows the request and how many posts came before it; each post waits at the `gate`.
    async fn start(
        answer: impl Fn(&Heard, usize) -> Response + Send + Sync + 'static,
        gate: Option<Arc<Semaphore>>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (count, posts) = watch::channel(0);
        let heard = Arc::new(Mutex::new(vec![]));
        let (kept, answer, count) = (Arc::clone(&heard), Arc::new(answer), Arc::new(count));
        let listen = move |request: Request| {
            let (kept, answer, count, gate) =
                (Arc::clone(&kept), Arc::clone(&answer), Arc::clone(&count), gate.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
                let text = |value: &axum::http::HeaderValue| value.to_str().unwrap().to_owned();
                let heard = Heard {
                    method: head.method.to_string(),
                    path: head.uri.path().to_owned(),
                    query: head.uri.query().unwrap_or_default().to_owned(),
                    headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
                    body,
                };
                let before = {
                    // Two that come at once are numbered one after the other.
                    let mut kept = kept.lock().unwrap();
                    let before = kept.iter().filter(|heard: &&Heard| heard.is_post()).count();
                    kept.push(heard.clone());
                    before
                };
                if heard.is_post() {
                    count.send_modify(|posts| *posts += 1);
                    if let Some(gate) = gate {
                        gate.acquire().await.unwrap().forget();
                    }
                }
                answer(&heard, before)
            }
        };
        let task = tokio::spawn(async move {
            axum::serve(listener, axum::Router::new().fallback(listen)).await.unwrap();
        });
        Self { at, heard, posts, task }
    }

    async fn willing() -> Self {
        Self::start(|heard, _| yes(heard), None).await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    fn posts(&self) -> Vec<Heard> {
        self.heard().into_iter().filter(Heard::is_post).collect()
    }

    fn gets(&self) -> Vec<Heard> {
        self.heard().into_iter().filter(|heard| !heard.is_post()).collect()
    }

    /// Waits until it was posted to so often.
    async fn has_posts(&self, number: usize) {
        let mut posts = self.posts.clone();
        let waited = tokio::time::timeout(PATIENCE, posts.wait_for(|posts| *posts >= number)).await;
        waited.unwrap_or_else(|_| panic!("{} of {number} posts came", self.posts().len())).unwrap();
    }
}

/// Waits until something is so.
async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// One that runs until it is stopped, beside the server.
struct Keeper {
    word: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Keeper {
    fn start(publication: &Publication, site: &Arc<arc_swap::ArcSwap<tidings::task::publish::Site>>) -> Self {
        let (word, stop) = Stop::new();
        let (publication, site) = (publication.clone(), Arc::clone(site));
        let task = tokio::spawn(async move {
            let failed = |event| {
                if let tidings::task::run::Event::Failed(error) = event {
                    panic!("{error:?}");
                }
            };
            keep_telling_hubs(&publication, &site, stop, &failed).await;
        });
        Self { word, task }
    }

    /// As SIGTERM does.
    async fn stop(self) {
        // Without a hub it has ended by itself.
        let _ = self.word.send(true);
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }
}

/// A publication on the air, whose clock is ours.
struct House {
    site: Site,
    hand: Arc<AtomicI64>,
    keeper: Option<Keeper>,
}

impl House {
    async fn open(database: &str, feeds: &str) -> Self {
        let place = Place::new();
        place.write("config.toml", format!("{CONFIG}\n[database]\nurl = \"{database}\"\n\n[feeds]\n{feeds}\n"));
        let start: DateTime<Utc> = "2026-11-27T08:00:00Z".parse().unwrap();
        let hand = Arc::new(AtomicI64::new(start.timestamp_millis()));
        let site = Site::serve(place, clock(&hand)).await;
        let keeper = Some(Keeper::start(&site.app.publication, &site.app.site));
        Self { site, hand, keeper }
    }

    async fn own(database: &str) -> Self {
        Self::open(database, "hub = \"own\"\nhub_private = true").await
    }

    fn publication(&self) -> &Publication {
        &self.site.app.publication
    }

    /// The same publication, as another process has it.
    async fn again(&self) -> Publication {
        let config = self.publication().config.as_ref().clone();
        Publication::open(config, clock(&self.hand)).await.expect("the publication opens")
    }

    fn topic(&self, file: &str) -> String {
        self.site.url(&format!("/feeds/news/{file}"))
    }

    /// Waits until nobody has anything in hand: what was heard is noted.
    async fn at_rest(&self) {
        let url = self.publication().config.database_url.reveal().to_owned();
        let in_hand = "SELECT (SELECT COUNT(claimed_until) FROM hub_listeners) + (SELECT COUNT(claimed_until) FROM hub_pings) \
                       + (SELECT COUNT(claimed_until) FROM hub_requests)";
        until("all is noted", || async { support::publication::rows(&url, in_hand).await[0][0] == "0" }).await;
    }

    /// Lets time pass, once what happened before is noted: it would be noted as of afterwards, and claims run out.
    async fn pass(&self, time: TimeDelta) {
        if self.keeper.is_some() {
            self.at_rest().await;
        }
        self.hand.fetch_add(time.num_milliseconds(), Ordering::SeqCst);
        self.publication().hub.ring();
    }

    /// Publishes one article more.
    async fn change(&self, name: &str) {
        let date = self.publication().clock.now().to_rfc3339();
        self.site.place.article(name, name, &date, "A body.");
        self.site.refresh().await;
    }

    /// The same, and waits until whoever tells of it has seen it.
    async fn publish(&self, name: &str) {
        self.change(name).await;
        if self.keeper.is_some() && self.publication().config.hub.is_some() {
            let (topic, site) = (self.topic("atom.xml"), self.site.app.site.load_full());
            let hash = site.documents["/feeds/news/atom.xml"].hash();
            let is_seen = || async {
                let known = self.publication().store.topics(&[&topic]).await.unwrap();
                known.first().is_some_and(|known| known.hash == hash)
            };
            until("the change is seen", is_seen).await;
        }
    }

    async fn ask(&self, fields: &[(&str, &str)]) -> Answer {
        self.site.post_as_it_is("/hub", fields).await
    }

    /// Asks for a callback and waits until it is so.
    async fn subscribe(&self, topic: &str, callback: &str, more: &[(&str, &str)]) {
        let mut fields = vec![("hub.mode", "subscribe"), ("hub.topic", topic), ("hub.callback", callback)];
        fields.extend(more);
        let before = self.listeners().await;
        assert_eq!(self.ask(&fields).await.status, 202);
        until("a listener more", || async { self.listeners().await > before }).await;
    }

    async fn audiences(&self) -> Vec<Audience> {
        let publication = self.publication();
        publication.store.audiences(publication.clock.now()).await.unwrap()
    }

    async fn listeners(&self) -> u64 {
        self.audiences().await.iter().map(|audience| audience.listeners).sum()
    }

    async fn due(&self) -> u64 {
        self.audiences().await.iter().map(|audience| audience.due).sum()
    }

    /// Waits until no request waits for its challenge.
    async fn settled(&self) {
        until("no request waits", || async { self.publication().store.hub_requests("").await.unwrap().1 == 0 }).await;
    }

    async fn end(mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.stop().await;
        }
    }
}

fn clock(hand: &Arc<AtomicI64>) -> Clock {
    let hand = Arc::clone(hand);
    Clock::from_fn(move || DateTime::from_timestamp_millis(hand.load(Ordering::SeqCst)).unwrap())
}

fn signed(secret: &str, body: &[u8]) -> String {
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body);
    mac.as_ref().iter().fold("sha256=".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

async fn a_callback_shows_that_it_wants_it_and_is_then_told_the_whole_document(url: String) {
    let (house, ear) = (House::own(&url).await, Ear::willing().await);
    house.publish("one").await;
    let formats = [
        ("rss.xml", "application/rss+xml; charset=utf-8"),
        ("atom.xml", "application/atom+xml; charset=utf-8"),
        ("feed.json", "application/feed+json"),
    ];
    for (file, _) in formats {
        let (topic, callback) = (house.topic(file), ear.url(&format!("/{file}?id=a%26b&x&hub.topic=own")));
        let more = [("hub.secret", "s3cret"), ("hub.foreign", "ignored"), ("hub.verify", "sync")];
        house.subscribe(&topic, &callback, &more).await;
    }
    let asked = ear.gets();
    assert_eq!(asked.len(), 3);
    for ((file, _), asked) in formats.iter().zip(&asked) {
        assert!(
            asked.path == format!("/{file}") && asked.query.starts_with("id=a%26b&x&hub.topic=own&hub."),
            "{asked:?}"
        );
        assert_eq!(asked.all("hub.topic"), ["own".to_owned(), house.topic(file)]);
        assert_eq!(
            (asked.field("hub.mode").as_str(), asked.field("hub.lease_seconds").as_str()),
            ("subscribe", "864000")
        );
        assert!(asked.field("hub.challenge").len() >= 32);
    }
    let mut challenges: Vec<_> = asked.iter().map(|asked| asked.field("hub.challenge")).collect();
    challenges.sort();
    challenges.dedup();
    assert_eq!(challenges.len(), 3, "each is good once");
    assert!(ear.posts().is_empty(), "nothing has changed yet");

    house.publish("two").await;
    ear.has_posts(3).await;
    let hub = house.site.url("/hub");
    for (file, kind) in formats {
        let told: Vec<Heard> = ear.posts().into_iter().filter(|told| told.path == format!("/{file}")).collect();
        assert_eq!(told.len(), 1, "{file}");
        let topic = house.site.get(&format!("/feeds/news/{file}")).await;
        assert_eq!(told[0].body, topic.body, "{file}: as whoever fetches it has it");
        assert!(told[0].query == "id=a%26b&x&hub.topic=own" && topic.text().contains("two"), "{file}");
        assert_eq!(told[0].headers["content-type"], kind);
        let link = format!("<{hub}>; rel=\"hub\", <{}>; rel=\"self\"", house.topic(file));
        assert_eq!((told[0].headers["link"].as_str(), topic.header("link")), (link.as_str(), Some(link.as_str())));
        assert_eq!(told[0].headers["x-hub-signature"], signed("s3cret", &topic.body));
        assert!(topic.text().matches(&hub).count() == 1, "{file} names its hub once");
    }
    until("all told", || async { house.due().await == 0 }).await;
    house.site.refresh().await;
    house.end().await;
    assert_eq!(ear.posts().len(), 3, "nothing has changed, nobody is told");
}

async fn only_the_challenge_itself_is_a_yes(url: String) {
    let house = House::own(&url).await;
    house.publish("one").await;
    let good = Ear::willing().await;
    let aim = good.url("/");
    let ear = Ear::start(
        move |heard, _| {
            let challenge = heard.field("hub.challenge");
            match heard.path.as_str() {
                "/other" => "0".repeat(challenge.len()).into_response(),
                "/more" => format!("{challenge}{challenge}").into_response(),
                "/query" => heard.query.clone().into_response(),
                "/none" => StatusCode::NO_CONTENT.into_response(),
                "/huge" => (challenge + &"a".repeat(1 << 20)).into_response(),
                "/404" => (StatusCode::NOT_FOUND, challenge).into_response(),
                "/500" => (StatusCode::INTERNAL_SERVER_ERROR, challenge).into_response(),
                redirect => {
                    let status = redirect[1..].parse::<u16>().unwrap();
                    let to = [(header::LOCATION, format!("{aim}?{}", heard.query))];
                    (StatusCode::from_u16(status).unwrap(), to, challenge).into_response()
                }
            }
        },
        None,
    )
    .await;
    for (number, path) in
        ["/other", "/more", "/query", "/none", "/huge", "/404", "/500", "/301", "/302", "/307"].iter().enumerate()
    {
        // A host that fails five times in an hour has to wait.
        house.pass(TimeDelta::minutes(if number > 0 { 13 } else { 0 })).await;
        let fields =
            [("hub.mode", "subscribe"), ("hub.topic", &house.topic("atom.xml")), ("hub.callback", &ear.url(path))];
        assert_eq!(house.ask(&fields).await.status, 202, "{path}");
        house.settled().await;
        assert_eq!(ear.gets().len(), number + 1, "{path}: asked once");
    }
    assert_eq!(house.listeners().await, 0);
    assert!(good.heard().is_empty(), "no redirect is followed");
    house.end().await;
}

async fn what_is_refused_after_all_is_told_with_its_reason(url: String) {
    let mut house = House::own(&url).await;
    house.publish("one").await;
    let ear = Ear::willing().await;
    // Between the request and the question the feed is gone.
    house.keeper.take().unwrap().stop().await;
    let topic = house.topic("rss.xml");
    let (to, other) = (ear.url("/c?a=b"), ear.url("/other"));
    let fields = |callback| [("hub.mode", "subscribe"), ("hub.topic", topic.as_str()), ("hub.callback", callback)];
    assert_eq!(house.ask(&fields(&to)).await.status, 202);
    assert_eq!(house.ask(&fields(&other)).await.status, 202);
    let urls = house.publication().config.live_urls();
    let (mut site, _) = tidings::task::publish::site(house.publication(), urls).await.unwrap();
    site.documents.remove("/feeds/news/rss.xml");
    house.site.app.site.store(Arc::new(site));
    house.keeper = Some(Keeper::start(house.publication(), &house.site.app.site));
    house.settled().await;
    let mut gets = ear.gets();
    gets.sort_by_key(|heard| heard.path.clone());
    let said: Vec<_> = gets
        .iter()
        .map(|heard| (heard.field("hub.mode"), heard.field("hub.topic"), heard.field("hub.reason")))
        .collect();
    let denied = ("denied".to_owned(), topic.clone(), "hub.topic is no feed of this publication".to_owned());
    assert_eq!(said, [denied.clone(), denied]);
    assert_eq!(gets[0].field("a"), "b", "the callback's own query stays");
    assert!(gets.iter().all(|heard| heard.field("hub.challenge").is_empty()));
    assert_eq!(house.listeners().await, 0);
    house.end().await;
}

async fn a_lease_runs_out_and_whoever_asks_again_is_told_on(url: String) {
    let (house, ear) = (House::own(&url).await, Ear::willing().await);
    house.publish("one").await;
    let topic = house.topic("atom.xml");
    house.subscribe(&topic, &ear.url("/short"), &[("hub.lease_seconds", "7200")]).await;
    house.subscribe(&topic, &ear.url("/long"), &[("hub.lease_seconds", "999999999999")]).await;
    house.subscribe(&topic, &ear.url("/again"), &[("hub.lease_seconds", "1")]).await;
    let leases: Vec<String> = ear.gets().iter().map(|asked| asked.field("hub.lease_seconds")).collect();
    assert_eq!(leases, ["7200", "2592000", "3600"]);
    let told = |number: usize| {
        let posts = ear.posts();
        let mut paths: Vec<String> = posts[number..].iter().map(|told| told.path.clone()).collect();
        paths.sort();
        paths
    };
    house.publish("two").await;
    ear.has_posts(3).await;
    house.pass(TimeDelta::minutes(50)).await;
    let again = ear.url("/again");
    let fields = [("hub.mode", "subscribe"), ("hub.topic", topic.as_str()), ("hub.callback", again.as_str())];
    assert_eq!(house.ask(&fields).await.status, 202);
    house.settled().await;
    house.pass(TimeDelta::minutes(71)).await;
    house.publish("three").await;
    ear.has_posts(5).await;
    assert_eq!(told(3), ["/again", "/long"]);
    house.pass(LEASE).await;
    house.publish("four").await;
    ear.has_posts(6).await;
    assert_eq!(told(5), ["/long"]);
    assert_eq!(house.listeners().await, 1);
    assert_eq!(
        house.publication().store.end_leases(house.publication().clock.now()).await.unwrap(),
        2,
        "and are forgotten"
    );
    house.end().await;
}

async fn whoever_asks_again_replaces_what_was_asked_before(url: String) {
    let house = House::own(&url).await;
    house.publish("one").await;
    let wants = Arc::new(Mutex::new(true));
    let asked = Arc::clone(&wants);
    let ear = Ear::start(
        move |heard, _| {
            if *asked.lock().unwrap() || heard.is_post() { yes(heard) } else { StatusCode::NOT_FOUND.into_response() }
        },
        None,
    )
    .await;
    let (topic, callback) = (house.topic("feed.json"), ear.url("/"));
    house.subscribe(&topic, &callback, &[("hub.secret", "first")]).await;
    let again = |secret: &'static str| {
        let (topic, callback) = (topic.clone(), callback.clone());
        let house = &house;
        async move {
            let fields = [
                ("hub.mode", "subscribe"),
                ("hub.topic", topic.as_str()),
                ("hub.callback", callback.as_str()),
                ("hub.secret", secret),
            ];
            assert_eq!(house.ask(&fields).await.status, 202);
            house.settled().await;
        }
    };
    again("second").await;
    assert_eq!(ear.gets().len(), 2, "shown anew");
    *wants.lock().unwrap() = false;
    again("third").await;
    house.publish("two").await;
    ear.has_posts(1).await;
    until("told", || async { house.due().await == 0 }).await;
    let posts = ear.posts();
    assert_eq!((posts.len(), house.listeners().await), (1, 1));
    assert_eq!(posts[0].headers["x-hub-signature"], signed("second", &posts[0].body), "the third was not wanted");
    house.end().await;
}

async fn who_does_not_want_it_any_more_shows_that_too(url: String) {
    let house = House::own(&url).await;
    house.publish("one").await;
    let ear = Ear::start(
        |heard, _| match (heard.path.as_str(), heard.field("hub.mode").as_str()) {
            ("/stays", "unsubscribe") => StatusCode::NOT_FOUND.into_response(),
            _ => yes(heard),
        },
        None,
    )
    .await;
    let topic = house.topic("rss.xml");
    for path in ["/goes", "/stays"] {
        house.subscribe(&topic, &ear.url(path), &[]).await;
    }
    for path in ["/goes", "/stays", "/never-was"] {
        let callback = ear.url(path);
        let fields = [("hub.mode", "unsubscribe"), ("hub.topic", topic.as_str()), ("hub.callback", callback.as_str())];
        assert_eq!(house.ask(&fields).await.status, 202);
    }
    house.settled().await;
    let asked: Vec<String> = ear
        .gets()
        .iter()
        .filter(|asked| asked.field("hub.mode") == "unsubscribe")
        .map(|asked| asked.path.clone())
        .collect();
    assert!(asked.len() == 2 && !asked.contains(&"/never-was".to_owned()), "{asked:?}");
    house.publish("two").await;
    ear.has_posts(1).await;
    until("told", || async { house.due().await == 0 }).await;
    let posts = ear.posts();
    assert_eq!((posts.len(), posts[0].path.as_str()), (1, "/stays"));
    assert!(!posts[0].headers.contains_key("x-hub-signature"), "it gave no secret");
    house.end().await;
}

async fn who_fails_is_tried_again_and_who_is_gone_is_dropped(url: String) {
    let house = House::own(&url).await;
    house.publish("one").await;
    let gone =
        Ear::start(|heard, _| if heard.is_post() { StatusCode::GONE.into_response() } else { yes(heard) }, None).await;
    let fails = Ear::start(
        |heard, before| match before {
            0 if heard.is_post() => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            1 if heard.is_post() => (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "600")]).into_response(),
            _ => yes(heard),
        },
        None,
    )
    .await;
    let never = Ear::start(
        |heard, _| {
            let away = [(header::LOCATION, "/elsewhere")];
            if heard.is_post() { (StatusCode::PERMANENT_REDIRECT, away).into_response() } else { yes(heard) }
        },
        None,
    )
    .await;
    for ear in [&gone, &fails, &never] {
        house.subscribe(&house.topic("atom.xml"), &ear.url("/"), &[]).await;
    }
    let failing = || async {
        let publication = house.publication();
        publication.store.failing_listeners(10, publication.clock.now()).await.unwrap()
    };
    house.publish("two").await;
    until("one is gone, two fail", || async { house.listeners().await == 2 && failing().await.len() == 2 }).await;
    house.pass(TimeDelta::seconds(29)).await;
    // Meanwhile there is something newer, which is what is brought.
    house.publish("three").await;
    house.pass(TimeDelta::seconds(1)).await;
    fails.has_posts(2).await;
    until("asked for patience", || async { failing().await.iter().any(|one| one.why.contains("429")) }).await;
    house.pass(TimeDelta::seconds(599)).await;
    never.has_posts(3).await;
    assert_eq!(fails.posts().len(), 2, "it has its ten minutes");
    house.pass(TimeDelta::seconds(1)).await;
    fails.has_posts(3).await;
    until("it took it", || async { failing().await.len() == 1 }).await;
    let posts = fails.posts();
    assert!(String::from_utf8(posts[2].body.clone()).unwrap().contains("three") && posts[0].body != posts[2].body);
    assert_eq!((gone.posts().len(), house.due().await), (1, 1));
    // An hour at a time, until nobody tries any more.
    let mut hours = 0;
    while house.due().await > 0 {
        hours += 1;
        assert!(hours < 30, "given up some time");
        let before = never.posts().len();
        house.pass(TimeDelta::hours(1)).await;
        never.has_posts(before + 1).await;
        until("noted", || async {
            failing().await.iter().all(|one| one.due_at.is_none_or(|at| at > house.publication().clock.now()))
        })
        .await;
    }
    assert!((20..=25).contains(&hours), "{hours}");
    assert!(never.posts().iter().all(|told| told.path == "/"), "no redirect is followed");
    let given_up = failing().await;
    assert!(given_up[0].why.contains("308") && given_up[0].due_at.is_none(), "{given_up:?}");
    let before = never.posts().len();
    house.publish("four").await;
    never.has_posts(before + 1).await;
    house.end().await;
}

/// Makes `number` listeners known, as if their callbacks had been asked.
async fn grant(house: &House, number: usize, callback: impl Fn(usize) -> String) {
    let publication = house.publication();
    for at in 0..number {
        let wish = Wish {
            mode: Mode::Subscribe,
            topic: house.topic("atom.xml"),
            callback: callback(at).parse().unwrap(),
            lease: LEASE,
            secret: Some("s".to_owned()),
        };
        publication.store.grant(&Asked { id: at.to_string(), wish }, publication.clock.now()).await.unwrap();
    }
}

async fn what_was_not_told_before_the_end_is_told_after_it(url: String) {
    let mut house = House::own(&url).await;
    house.publish("one").await;
    let gate = Arc::new(Semaphore::new(0));
    let ear = Ear::start(|heard, _| yes(heard), Some(Arc::clone(&gate))).await;
    grant(&house, 200, |at| ear.url(&format!("/{at}"))).await;
    house.publish("two").await;
    // Those who have their turn are waited for, the others are given back.
    ear.has_posts(32).await;
    assert_eq!(ear.posts().len(), 32, "a host has so many at a time");
    let keeper = house.keeper.take().unwrap();
    keeper.word.send(true).unwrap();
    gate.add_permits(1000);
    keeper.stop().await;
    let told_before = ear.posts().len();
    assert!(told_before < 200, "{told_before}");
    assert_eq!(house.due().await, 200 - told_before as u64, "nobody is lost, and nobody in anyone's hands");
    // Another process, and one that is killed with everything in its hands.
    let again = house.again().await;
    let site = Arc::clone(&house.site.app.site);
    gate.forget_permits(1000);
    let killed = Keeper::start(&again, &site);
    ear.has_posts(told_before + 1).await;
    killed.task.abort();
    let _ = killed.task.await;
    gate.add_permits(1000);
    house.pass(TimeDelta::minutes(11)).await;
    let last = Keeper::start(&again, &site);
    until("all told", || async { house.due().await == 0 }).await;
    last.stop().await;
    let mut paths: Vec<String> = ear.posts().iter().map(|told| told.path.clone()).collect();
    let all = paths.len();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 200);
    assert!(all - 200 <= 64, "only those under way at the kill were told twice: {all}");
}

async fn two_processes_tell_each_listener_once(url: String) {
    let house = House::own(&url).await;
    house.publish("one").await;
    let ears = [Ear::willing().await, Ear::willing().await];
    grant(&house, 300, |at| ears[at % 2].url(&format!("/{at}"))).await;
    let other = house.again().await;
    let site = Arc::clone(&house.site.app.site);
    let beside = Keeper::start(&other, &site);
    for (number, name) in ["two", "three"].iter().enumerate() {
        house.publish(name).await;
        other.hub.ring();
        until("all told", || async { house.due().await == 0 }).await;
        let posts = ears.iter().map(|ear| ear.posts().len()).sum::<usize>();
        assert_eq!(posts, 300 * (number + 1));
    }
    beside.stop().await;
    house.end().await;
}

async fn three_thousand_are_told_within_moments(url: String) {
    let number: usize = std::env::var("TIDINGS_HUB_LISTENERS").map_or(3000, |number| number.parse().unwrap());
    let house = House::own(&url).await;
    house.publish("one").await;
    let mut ears = vec![];
    for _ in 0..10 {
        ears.push(Ear::willing().await);
    }
    grant(&house, number, |at| ears[at % 10].url(&format!("/{at}"))).await;
    house.change("two").await;
    let began = Instant::now();
    for ear in &ears {
        ear.has_posts(number / 10).await;
    }
    let engine = url.split(':').next().unwrap();
    eprintln!("{number} listeners told in {} ms after the publish, {engine}", began.elapsed().as_millis());
    until("all noted", || async { house.due().await == 0 }).await;
    eprintln!("and noted in {} ms", began.elapsed().as_millis());
    for ear in &ears {
        assert_eq!(ear.posts().len(), number / 10);
        assert!(ear.posts().iter().all(|told| told.headers["x-hub-signature"] == signed("s", &told.body)));
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_that_name_one_victim_cost_it_five() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::own(&format!("sqlite://{}/test.db", folder.path().display())).await;
    house.publish("one").await;
    let victim = Ear::start(|_, _| StatusCode::OK.into_response(), None).await;
    let topic = house.topic("atom.xml");
    let mut replies: HashMap<&str, usize> = HashMap::new();
    for number in 0..10_000 {
        let callback = victim.url(&format!("/{number}"));
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.append_pair("hub.mode", "subscribe")
            .append_pair("hub.topic", &topic)
            .append_pair("hub.callback", &callback);
        let body = body.finish();
        let site = house.site.app.site.load_full();
        let reply = hub::ask(house.publication(), &site, None, body.as_bytes()).await.unwrap();
        *replies
            .entry(match reply {
                Reply::Accepted => "accepted",
                Reply::Wait(_) => "wait",
                _ => "other",
            })
            .or_default() += 1;
    }
    house.settled().await;
    let asked = victim.heard().len();
    eprintln!("10,000 requests: {replies:?}, and {asked} at the victim");
    assert!(asked <= 5, "{asked}");
    assert!(replies["wait"] > 9000 && !replies.contains_key("other"), "{replies:?}");
    assert_eq!(house.listeners().await, 0);
    house.end().await;
}

#[tokio::test]
async fn a_request_that_is_not_as_it_should_be_is_answered_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::own(&format!("sqlite://{}/test.db", folder.path().display())).await;
    house.publish("one").await;
    let topic = house.topic("atom.xml");
    let long = "a".repeat(200);
    let callback = "https://listener.example/";
    let good = [("hub.mode", "subscribe"), ("hub.topic", topic.as_str()), ("hub.callback", callback)];
    let with = |name: &'static str, value: &str| {
        let mut fields: Vec<(&str, String)> =
            good.iter().filter(|(key, _)| *key != name).map(|(key, value)| (*key, (*value).to_owned())).collect();
        fields.push((name, value.to_owned()));
        fields
    };
    for (fields, status, said) in [
        (with("hub.mode", ""), 400, "hub.mode is missing\n"),
        (
            with("hub.mode", "publish"),
            400,
            "hub.mode=publish is not taken: this hub tells of its own publication alone\n",
        ),
        (with("hub.callback", "ftp://listener.example/"), 400, "hub.callback is not an address on the web\n"),
        (with("hub.secret", &long), 400, "hub.secret is longer than 199 bytes\n"),
        (with("hub.lease_seconds", "soon"), 400, "hub.lease_seconds is not a number of seconds\n"),
        (with("hub.topic", "https://elsewhere.example/feed"), 404, "hub.topic is no feed of this publication\n"),
        (with("hub.topic", &house.site.url("/feeds.opml")), 404, "hub.topic is no feed of this publication\n"),
        (with("hub.topic", &house.site.url("/style.css")), 404, "hub.topic is no feed of this publication\n"),
    ] {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let answer = house.ask(&fields).await;
        assert_eq!((answer.status, answer.text().as_str()), (status, said), "{fields:?}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    }
    let got = house.site.get("/hub").await;
    assert_eq!((got.status, got.header("allow")), (405, Some("POST")));
    let at = house.site.at;
    let json = support::http::ask(at, "POST", "/hub", &[("Content-Type", "application/json")], b"{}").await;
    assert_eq!(json.status, 415);
    house.end().await;
    let folder = tempfile::tempdir().unwrap();
    let none = House::open(&format!("sqlite://{}/test.db", folder.path().display()), "").await;
    none.publish("one").await;
    assert_eq!(none.ask(&good).await.status, 404, "there is no hub without feeds.hub");
    let link = format!("<{}>; rel=\"self\"", none.topic("atom.xml"));
    assert_eq!(none.site.get("/feeds/news/atom.xml").await.header("link"), Some(link.as_str()));
    none.end().await;
}

#[tokio::test]
async fn a_callback_inside_is_not_asked_unless_it_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(&format!("sqlite://{}/test.db", folder.path().display()), "hub = \"own\"").await;
    house.publish("one").await;
    let ear = Ear::willing().await;
    let port = ear.at.port();
    let topic = house.topic("atom.xml");
    for (host, status) in [
        ("127.0.0.1", 400),
        ("127.1", 400),
        ("0x7f000001", 400),
        ("[::1]", 400),
        ("[::ffff:7f00:1]", 400),
        ("localhost", 202),
    ] {
        let callback = format!("http://{host}:{port}/");
        let fields = [("hub.mode", "subscribe"), ("hub.topic", topic.as_str()), ("hub.callback", callback.as_str())];
        assert_eq!(house.ask(&fields).await.status, status, "{host}");
    }
    house.settled().await;
    assert!(ear.heard().is_empty() && house.listeners().await == 0);
    house.end().await;
}

#[tokio::test]
async fn requests_from_one_network_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::own(&format!("sqlite://{}/test.db", folder.path().display())).await;
    let network = Some(tidings::domain::limits::Network::of("192.0.2.7".parse().unwrap()));
    let site = house.site.app.site.load_full();
    for _ in 0..300 {
        let reply = hub::ask(house.publication(), &site, network, b"").await.unwrap();
        assert_eq!(reply, Reply::Refused("hub.mode is missing".into()));
    }
    assert!(matches!(hub::ask(house.publication(), &site, network, b"").await.unwrap(), Reply::Wait(_)));
    house.end().await;
}

async fn another_hub_is_pinged_for_each_document_that_changed(url: String) {
    let other = Ear::start(
        |_, before| match before {
            0..3 => StatusCode::NO_CONTENT.into_response(),
            3 => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "120")]).into_response(),
            _ => StatusCode::ACCEPTED.into_response(),
        },
        None,
    )
    .await;
    let hub = other.url("/publish");
    let mut house =
        House::open(&url, &format!("hub = \"{hub}\"\nhub_private = true\n[serve]\nurl = \"https://live.example\""))
            .await;
    let keeper = house.keeper.take().unwrap();
    let documents = |base: &str| ["atom.xml", "feed.json", "rss.xml"].map(|file| format!("{base}/feeds/news/{file}"));
    let mut topics = [documents("https://live.example"), documents("https://test.example")].concat();
    topics.sort();
    let pinged = |from: usize| {
        let posts = other.posts();
        let mut urls: Vec<String> = posts[from..]
            .iter()
            .map(|told| {
                assert_eq!(told.headers["content-type"], "application/x-www-form-urlencoded");
                let fields: Vec<_> = url::form_urlencoded::parse(&told.body).into_owned().collect();
                assert!(told.path == "/publish" && fields[0] == ("hub.mode".into(), "publish".into()), "{told:?}");
                assert!(fields.len() == 2 && fields[1].0 == "hub.url", "{fields:?}");
                fields[1].1.clone()
            })
            .collect();
        urls.sort();
        urls
    };
    let left = || async { house.publication().store.pings().await.unwrap().0 };
    // Where readers fetch them, served and published: all are new. One is put off, and comes when it has been asked to.
    other.has_posts(6).await;
    until("one is left", || async { left().await == 1 }).await;
    house.at_rest().await;
    house.pass(TimeDelta::seconds(119)).await;
    assert_eq!(other.posts().len(), 6);
    house.pass(TimeDelta::seconds(1)).await;
    other.has_posts(7).await;
    let mut all = pinged(0);
    all.dedup();
    assert_eq!(all, topics);
    until("none is left", || async { left().await == 0 }).await;
    for file in ["rss.xml", "atom.xml", "feed.json"] {
        let document = house.site.get(&format!("/feeds/news/{file}")).await;
        assert_eq!(document.text().matches(&hub).count(), 1, "{file}");
        let link = format!("<{hub}>; rel=\"hub\", <https://live.example/feeds/news/{file}>; rel=\"self\"");
        assert_eq!(document.header("link"), Some(link.as_str()));
        let written = house.site.place.read(&format!("public/feeds/news/{file}"));
        assert_eq!(written.matches(&hub).count(), 1, "{file} in public/");
    }
    house.publish("one").await;
    other.has_posts(13).await;
    assert_eq!(pinged(7), topics);
    house.site.refresh().await;
    until("none is left", || async { left().await == 0 }).await;
    // What is published while nobody serves is told by the command; what is served, once it is served again.
    keeper.stop().await;
    house.publish("two").await;
    assert_eq!((left().await, other.posts().len()), (3, 13));
    let again = house.again().await;
    assert_eq!(hub::ping(&again).await.unwrap().told, 3);
    assert_eq!(pinged(13), documents("https://test.example"));
    assert_eq!((hub::ping(&again).await.unwrap().told, left().await), (0, 0));
    let keeper = Keeper::start(&again, &house.site.app.site);
    other.has_posts(19).await;
    assert_eq!(pinged(16), documents("https://live.example"));
    keeper.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_tells_the_hub_and_says_who_is_told() {
    let other = Ear::start(|_, _| StatusCode::NO_CONTENT.into_response(), None).await;
    let place = Place::new();
    let hub = other.url("/");
    place.write("config.toml", format!("{CONFIG}\n[feeds]\nhub = \"{hub}\"\n"));
    place.article("one", "One", "2026-11-20T08:00:00Z", "A body.");
    let place = Arc::new(place);
    let run = |arguments: &'static [&'static str]| {
        let place = Arc::clone(&place);
        async move { tokio::task::spawn_blocking(move || place.run(arguments).ended(0)).await.unwrap() }
    };
    let refused = run(&["publish"]).await.err;
    assert!(refused.contains("is not a public one; feeds.hub_private = true allows it; it is told again"), "{refused}");
    let waiting = run(&["hub"]).await.out;
    assert!(waiting.starts_with(&format!("{hub} is still to be told of 3 feed documents: ")), "{waiting}");
    place.write("config.toml", format!("{CONFIG}\n[feeds]\nhub = \"{hub}\"\nhub_private = true\n"));
    place.article("two", "Two", "2026-11-20T09:00:00Z", "A body.");
    // What was put off has its time.
    let told = run(&["publish", "--json"]).await.json();
    assert_eq!(told["hub"]["told"], 0, "{told}");
    place.write("feeds/more.toml", "title = \"More\"\n");
    let told = run(&["publish"]).await.out;
    assert!(told.contains("hub: told of 3 feed documents"), "{told}");
    assert_eq!(other.posts().len(), 3);
    assert_eq!(run(&["hub", "--json"]).await.json()["pings"]["waiting"], 3);

    let folder = tempfile::tempdir().unwrap();
    let house = House::own(&format!("sqlite://{}/test.db", folder.path().display())).await;
    house.publish("one").await;
    let fails =
        Ear::start(|heard, _| if heard.is_post() { StatusCode::FORBIDDEN.into_response() } else { yes(heard) }, None)
            .await;
    house.subscribe(&house.topic("atom.xml"), &fails.url("/secret"), &[]).await;
    house.publish("two").await;
    until("one fails", || async { house.audiences().await.iter().any(|audience| audience.failing == 1) }).await;
    let listen = house.site.at.to_string();
    let shown = |arguments: &[&str]| {
        house.site.place.command(arguments).env("TIDINGS_SERVE__LISTEN", &listen).output().unwrap().stdout
    };
    let shown = |arguments: &[&str]| String::from_utf8(shown(arguments)).unwrap();
    let text = shown(&["hub"]);

    assert!(text.starts_with(&format!("{} tells 1 listener\n", house.site.url("/hub"))), "{text}");
    assert!(text.contains("/feeds/news/atom.xml  1          1           1\n"), "{text}");
    assert!(
        text.contains("127.0.0.1") && text.contains("it answered 403 Forbidden") && !text.contains("/secret"),
        "{text}"
    );
    let json: serde_json::Value = serde_json::from_str(&shown(&["hub", "--json"])).unwrap();
    assert_eq!((&json["hub"], &json["topics"][0]["failing"]), (&"own".into(), &1.into()), "{json}");
    assert_eq!((&json["failing"][0]["attempts"], &json["failing"][0]["host"]), (&1.into(), &"127.0.0.1".into()));
    house.end().await;
}
