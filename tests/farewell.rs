//! Bans that an editor lays and lifts, people who are erased, and those who never confirmed.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use chrono::TimeDelta;
use support::place::Place;
use support::publication::{Lantern, NEWS, Setup, news};
use support::smtp_sink::{Options, Sink};
use tidings::domain::address::EmailAddress;
use tidings::domain::newsletter::Cadence;
use tidings::domain::subscription::{Subscriber, SubscriberId, SubscriptionState};
use tidings::task::{confirm, tidy};

support::engines::for_each_engine! {
    a_ban_is_looked_for_at_queueing_and_again_before_sending,
    bans_are_listed_and_lifted,
    who_is_erased_is_nowhere_and_the_figures_stay,
    reports_on_someone_who_is_gone_can_be_erased,
    who_never_confirmed_is_forgotten,
    who_left_has_left_whoever_asks_for_it_again,
    people_are_kept_where_nothing_says_otherwise,
    who_gets_no_mail_any_more_is_erased_in_time,
}

async fn suppress(lantern: &Lantern, address: &str) -> String {
    let hash = lantern.publication.keyring.address_hash(address);
    lantern.publication.store.suppress(&hash, "word of an editor", "by letter", lantern.now()).await.unwrap();
    hash
}

async fn a_ban_is_looked_for_at_queueing_and_again_before_sending(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    lantern.readers(3).await;
    suppress(&lantern, "reader0@reader.example").await;
    lantern.release(&["lamp"]).await;
    let (digest, _) = lantern.compose().await.unwrap();
    let store = &lantern.publication.store;
    assert_eq!(store.tally(digest.id).await.unwrap().queued, 2, "nothing is queued for a ban that stands");
    suppress(&lantern, "reader1@reader.example").await;
    assert_eq!(lantern.dispatch().await.sent, 1);
    let to: Vec<_> = sink.messages().iter().map(|message| message.to.concat()).collect();
    assert_eq!(to, ["reader2@reader.example"], "one laid meanwhile is seen before sending");
    assert_eq!(store.tally(digest.id).await.unwrap().skipped, 1);
}

async fn bans_are_listed_and_lifted(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    let store = &lantern.publication.store;
    lantern.reader("ann@reader.example", Cadence::Daily, None).await;
    let ann = suppress(&lantern, "ann@reader.example").await;
    suppress(&lantern, "stranger@reader.example").await;
    assert!(!store.suppress(&ann, "complained", "later", lantern.now()).await.unwrap(), "the first cause stays");
    let (mut found, mut after) = (vec![], String::new());
    loop {
        let page = store.bans(&after, 1).await.unwrap();
        let Some(last) = page.last() else { break };
        after.clone_from(&last.address_hash);
        found.extend(page);
    }
    let mut addresses: Vec<_> = found.iter().map(|banned| banned.address.as_deref()).collect();
    addresses.sort_unstable();
    assert_eq!(addresses, [None, Some("ann@reader.example")], "an address is known as long as it is a subscriber's");
    assert!(found.iter().all(|banned| banned.ban.cause == "word of an editor"));
    assert!(store.lift(&ann).await.unwrap());
    assert!(!store.lift(&ann).await.unwrap());
    assert_eq!(store.bans("", 9).await.unwrap().len(), 1);
}

/// Whether an id, an address or a hash stands anywhere in the database.
async fn is_anywhere(lantern: &Lantern, text: &str) -> bool {
    for (table, columns) in [
        ("subscribers", "id || address || address_key || address_hash"),
        ("subscriptions", "subscriber"),
        ("deliveries", "subscriber || COALESCE(outcome, '') || COALESCE(log, '')"),
        ("reports", "COALESCE(subscriber, '') || address_hash || text"),
        ("suppressions", "COALESCE(detail, '')"),
    ] {
        if lantern.count(&format!("SELECT COUNT(*) FROM {table} WHERE {columns} LIKE '%{text}%'")).await > 0 {
            return true;
        }
    }
    false
}

async fn who_is_erased_is_nowhere_and_the_figures_stay(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    lantern.readers(2).await;
    lantern.release(&["lamp"]).await;
    let (sent, _) = lantern.compose().await.unwrap();
    assert_eq!(lantern.dispatch().await.sent, 2);
    lantern.pass(TimeDelta::hours(1));
    lantern.release(&["keeper"]).await;
    let (waiting, _) = lantern.compose().await.unwrap();
    let store = &lantern.publication.store;
    let who = lantern.who("reader0@reader.example").await;
    let hash = suppress(&lantern, "reader0@reader.example").await;
    assert!(is_anywhere(&lantern, &who.to_string()).await && is_anywhere(&lantern, &hash).await);
    assert!(store.forget(&hash).await.unwrap());
    for text in ["reader0", &who.to_string(), &hash] {
        assert!(!is_anywhere(&lantern, text).await, "{text}");
    }
    assert!(!store.forget(&hash).await.unwrap(), "twice is once");
    assert_eq!(store.tally(sent.id).await.unwrap().sent, 2, "what was sent was sent");
    assert_eq!(store.tally(waiting.id).await.unwrap().total(), 1);
    assert_eq!(lantern.dispatch().await.sent, 1);
    assert!(store.ban(&hash).await.unwrap().is_some(), "a ban outlives the person");
}

async fn reports_on_someone_who_is_gone_can_be_erased(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    let hash = lantern.publication.keyring.address_hash("ann@reader.example");
    let insert = format!(
        "INSERT INTO reports (id, address_hash, kind, text, created_at) VALUES ('r', '{hash}', 'hard-bounce', 'no ann', 1) RETURNING id"
    );
    lantern.rows(&insert).await;
    assert_eq!(lantern.publication.store.reports_about(&hash).await.unwrap(), 1);
    assert!(!lantern.publication.store.forget(&hash).await.unwrap(), "there was no such person");
    assert!(!is_anywhere(&lantern, &hash).await && !is_anywhere(&lantern, "no ann").await);
    assert_eq!(lantern.count("SELECT COUNT(*) FROM reports").await, 1);
}

async fn who_never_confirmed_is_forgotten(url: String) {
    let feeds = ["news", "sport"].map(|name| (name, NEWS.to_owned())).into();
    let lantern =
        Lantern::open(&url, Setup { feeds, more: "[form]\nunconfirmed = \"2d\"\n", ..Setup::default() }).await;
    let ask = async |name: &str, feed: &str| {
        let address = EmailAddress::parse(&format!("{name}@reader.example")).unwrap();
        let id = SubscriberId::new(lantern.now());
        let subscriber = Subscriber { id, address, name: None, language: None, time_zone: None };
        let feed = tidings::domain::feed::FeedName::parse(feed).unwrap();
        let feeds = [(feed, Cadence::Daily)];
        confirm::subscribe(&lantern.publication, &subscriber, &feeds, SubscriptionState::Pending).await.unwrap();
    };
    lantern.reader("ben@reader.example", Cadence::Daily, None).await;
    ask("ann", "news").await;
    ask("ben", "sport").await;
    ask("late", "news").await;
    lantern.pass(TimeDelta::hours(40));
    // The confirmation went out only now: its link still holds.
    lantern.publication.store.confirmation_sent(lantern.who("late@reader.example").await, lantern.now()).await.unwrap();
    ask("cid", "news").await;
    assert_eq!(purged(&lantern).await, (0, 0));
    lantern.pass(TimeDelta::hours(9));
    let before = tidy::unconfirmed_before(&lantern.publication);
    assert_eq!(lantern.publication.store.unconfirmed(before).await.unwrap(), 2);
    assert_eq!(purged(&lantern).await, (2, 1));
    assert_eq!(purged(&lantern).await, (0, 0), "twice is once");
    let left =
        "SELECT s.address, n.feed FROM subscribers s JOIN subscriptions n ON n.subscriber = s.id ORDER BY s.address";
    assert_eq!(
        lantern.rows(left).await,
        [["ben@reader.example", news().as_str()], ["cid@reader.example", "news"], ["late@reader.example", "news"]]
    );
}

async fn who_left_has_left_whoever_asks_for_it_again(url: String) {
    let lantern = Lantern::open(&url, Setup { more: "[form]\nunconfirmed = \"2d\"\n", ..Setup::default() }).await;
    let address = EmailAddress::parse("ann@reader.example").unwrap();
    lantern.reader(address.as_str(), Cadence::Daily, None).await;
    let id = lantern.who(address.as_str()).await;
    lantern.publication.store.leave(id, None, lantern.now()).await.unwrap();
    let subscriber = Subscriber { id, address, name: None, language: None, time_zone: None };
    let feeds = [(news(), Cadence::Daily)];
    confirm::subscribe(&lantern.publication, &subscriber, &feeds, SubscriptionState::Pending).await.unwrap();
    let state = "SELECT state, feed FROM subscriptions WHERE ended_at IS NOT NULL";
    assert_eq!(lantern.rows(state).await, [["pending", "news"]]);
    lantern.pass(TimeDelta::days(3));
    assert_eq!(purged(&lantern).await, (0, 0), "not forgotten: a list from elsewhere would bring them back");
    assert_eq!(lantern.rows(state).await, [["ended", "news"]]);
    // Their own word is another matter.
    confirm::subscribe(&lantern.publication, &subscriber, &feeds, SubscriptionState::Pending).await.unwrap();
    confirm::confirm(&lantern.publication, id, lantern.now()).await.unwrap();
    let state = "SELECT state, feed FROM subscriptions WHERE ended_at IS NULL";
    assert_eq!(lantern.rows(state).await, [["active", "news"]]);
}

#[test]
fn an_editor_suppresses_and_lifts_and_is_told_what_happens() {
    let place = Place::new();
    place.run(&["subscribers", "add", "ann@reader.example"]).ended(0);
    let add = ["suppressions", "add", "Ann@reader.example", "--reason", "asked by letter"];
    assert!(place.run(&add).ended(2).err.contains("--yes"), "nobody is there to be asked");
    let added = place.run(&[&add[..], &["--yes"]].concat()).ended(0);
    assert!(added.err.contains("(1 subscription): no mail goes there any more"), "{}", added.err);
    assert_eq!(added.out, "Ann@reader.example is suppressed\n");
    let again = place.run(&[&add[..], &["--json"]].concat()).ended(0).json();
    assert_eq!((&again["suppressed"], &again["changed"]), (&true.into(), &false.into()));
    let listed = place.run(&["suppressions", "list"]).ended(0).out;
    assert!(listed.ends_with("ann@reader.example  word of an editor: asked by letter\n"), "{listed}");
    let line = place.run(&["suppressions", "list", "--json"]).ended(0).json();
    assert_eq!((&line["address"], &line["reason"]), (&"ann@reader.example".into(), &"asked by letter".into()));
    place.run(&["subscribers", "add", "ann@reader.example"]).ended(1);
    let lift = ["suppressions", "lift", "ann@reader.example", "--reason", "asked again", "--yes"];
    assert_eq!(place.run(&lift).ended(0).out, "ann@reader.example is not suppressed\n");
    assert!(place.run(&lift).ended(0).out.contains("nothing was changed"));
    place.run(&["suppressions", "add", "nobody", "--reason", "x", "--yes"]).ended(2);
    place.run(&["suppressions", "add", "ann@reader.example", "--reason", " ", "--yes"]).ended(2);
    place.run(&["suppressions", "add", "ann@reader.example", "--yes"]).ended(2);
}

#[test]
fn an_editor_erases_and_purges_and_is_told_what_happens() {
    let place = Place::new();
    place.run(&["subscribers", "add", "ann@reader.example"]).ended(0);
    let erase = ["subscribers", "erase", "ann@reader.example"];
    assert!(place.run(&erase).ended(2).err.contains("1 subscription, 0 deliveries, 0 reports"));
    let erased = place.run(&[&erase[..], &["--never-again", "--yes", "--json"]].concat()).ended(0).json();
    assert_eq!((&erased["erased"], &erased["suppressed"]), (&true.into(), &true.into()));
    let again = place.run(&[&erase[..], &["--never-again"]].concat()).ended(0);
    assert!(again.out.contains("nothing was erased; a hash"), "{}", again.out);
    assert_eq!(place.run(&["subscribers", "list"]).ended(0).out, "");
    assert!(place.run(&["suppressions", "list"]).ended(0).out.contains("erasure"));
    place.run(&["subscribers", "add", "ann@reader.example"]).ended(1);
    let purged = place.run(&["subscribers", "purge", "--json"]).ended(0).json();
    assert_eq!((&purged["subscriptions"], &purged["subscribers"]), (&0.into(), &0.into()));
}

#[test]
fn a_probable_slip_is_said_and_nothing_is_changed_by_itself() {
    let place = Place::new();
    let added = place.run(&["subscribers", "add", "ann@gmial.com"]).ended(0);
    assert!(added.err.contains("did you mean ann@gmail.com?"), "{}", added.err);
    assert!(added.out.starts_with("ann@gmial.com: "), "{}", added.out);
    place.write("list.csv", "address\nben@hotmial.com\nabuse@reader.example\ncid@mailinator.com\n");
    let imported = place.run(&["subscribers", "import", "list.csv", "--json"]).ended(0).json();
    let reasons = &imported["import"]["reasons"];
    for reason in ["probably mistyped", "role address", "disposable domain"] {
        assert_eq!(reasons[reason], 1, "{imported}");
    }
    assert_eq!(imported["import"]["subscribers"], 3);
    place.write("own.txt", "reader.example\n");
    let config = place.read("config.toml");
    place.write("config.toml", format!("{config}[form]\ndisposable_file = \"own.txt\"\n"));
    place.write("list.csv", "address\nx@reader.example\ny@mailinator.com\n");
    let imported = place.run(&["subscribers", "import", "list.csv"]).ended(0);
    assert!(imported.err.contains("list.csv:2: x@reader.example is at a domain of disposable"), "{}", imported.err);
    assert!(!imported.err.contains("y@mailinator.com"), "{}", imported.err);
    for (key, value) in
        [("disposable", "maybe"), ("role_addresses", "no"), ("unconfirmed", "7"), ("disposable_file", "none.txt")]
    {
        place.write("config.toml", format!("{config}[form]\n{key} = \"{value}\"\n"));
        assert!(place.run(&["check"]).ended(1).err.contains(&format!("form.{key}")), "{key}");
    }
}

/// Subscriptions and people that a purge removes.
async fn purged(lantern: &Lantern) -> (u64, u64) {
    let purged = tidy::purge(&lantern.publication).await.unwrap();
    (purged.subscriptions, purged.people())
}

/// A publication that keeps people for so long, with one reader of each fate, each ten days ago.
async fn with_fates(url: &str, retention: &'static str) -> Lantern {
    let lantern = Lantern::open(url, Setup { more: retention, ..Setup::default() }).await;
    let store = &lantern.publication.store;
    for name in ["stays", "left", "back", "bounced", "complained"] {
        lantern.reader(&format!("{name}@reader.example"), Cadence::Daily, None).await;
    }
    lantern.release(&["lamp"]).await;
    lantern.compose().await.unwrap();
    lantern.dispatch().await;
    for name in ["left", "back"] {
        store.leave(lantern.who(&format!("{name}@reader.example")).await, None, lantern.now()).await.unwrap();
    }
    for (name, cause) in [("bounced", "bounced"), ("complained", "complained")] {
        let hash = lantern.publication.keyring.address_hash(&format!("{name}@reader.example"));
        store.suppress(&hash, cause, &format!("550 no such {name}"), lantern.now()).await.unwrap();
    }
    lantern.pass(TimeDelta::days(10));
    store.choose(lantern.who("back@reader.example").await, &news(), Cadence::Daily, lantern.now()).await.unwrap();
    lantern
}

async fn people_are_kept_where_nothing_says_otherwise(url: String) {
    let lantern = with_fates(&url, "").await;
    lantern.pass(TimeDelta::days(3650));
    assert_eq!(tidy::due(&lantern.publication).await.unwrap(), tidy::Purged::default());
    assert_eq!(tidy::purge(&lantern.publication).await.unwrap(), tidy::Purged::default());
    assert_eq!(lantern.count("SELECT COUNT(*) FROM subscribers").await, 5);
}

async fn who_gets_no_mail_any_more_is_erased_in_time(url: String) {
    let lantern = with_fates(&url, "[retention]\nended = \"14d\"\nbounced = \"2w\"\n").await;
    assert_eq!(tidy::purge(&lantern.publication).await.unwrap(), tidy::Purged::default(), "not before their time");
    lantern.pass(TimeDelta::days(4) + TimeDelta::minutes(1));
    let left = lantern.who("left@reader.example").await;
    let due = tidy::due(&lantern.publication).await.unwrap();
    assert_eq!((due.ended, due.bounced), (1, 1));
    assert_eq!(tidy::purge(&lantern.publication).await.unwrap(), due);
    assert_eq!(tidy::purge(&lantern.publication).await.unwrap(), tidy::Purged::default(), "twice is once");
    let rows = lantern.rows("SELECT address FROM subscribers ORDER BY address").await;
    assert_eq!(rows.concat(), ["back@reader.example", "complained@reader.example", "stays@reader.example"]);
    assert!(!is_anywhere(&lantern, &left.to_string()).await && !is_anywhere(&lantern, "no such bounced").await);
    assert_eq!(lantern.count("SELECT COUNT(*) FROM deliveries WHERE state = 'sent'").await, 5, "the figures stay");
    let hash = lantern.publication.keyring.address_hash("bounced@reader.example");
    assert!(lantern.publication.store.ban(&hash).await.unwrap().is_some(), "nobody writes there again");
}
