//! What readers do about their own mail: pause it, leave and come back, move it, take the feed, see and erase what is held.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use chrono::TimeDelta;
use support::http::ask;
use support::place::{Place, clock_at};
use support::publication::{Lantern, Letter, Setup, URL, at, news};
use support::site::Site;
use support::smtp_sink::{Options, Sink};
use tidings::domain::address::EmailAddress;
use tidings::domain::consent::{Consent, Entry, Source};
use tidings::domain::link::{Link, Purpose};
use tidings::domain::newsletter::Cadence;
use tidings::domain::subscription::{Subscriber, SubscriberId, SubscriptionState};
use tidings::task::choices::{self, BACK_WITHIN, Wanted};
use tidings::task::dispatch::Stop;
use tidings::task::letters::{MOVE_WITHIN, send_letters};
use tidings::task::schedule::tick;
use tidings::task::sign_up::{self, Agreed, SignUp};
use tidings::task::{confirm, tidy};

support::engines::for_each_engine! {
    a_pause_over_three_slots_brings_the_articles_once,
    a_pause_is_kept_by_saving_and_ended_by_its_own_button,
    a_mistaken_click_taken_back_brings_the_same_digest_once,
    what_went_out_while_somebody_was_away_comes_with_the_next_digest,
    a_way_back_is_for_its_own_click_alone,
    mail_moves_to_an_address_that_says_yes,
    an_address_that_is_taken_banned_or_wished_for_by_another_is_not_written_to,
    an_address_is_asked_once_a_day_whoever_wishes_for_it,
    every_step_stands_in_the_ledger,
    an_import_is_in_the_ledger_without_a_line_of_its_own,
    reasons_are_counted_and_outlive_their_person_in_nobodys_words,
    all_that_is_held_is_given_out_and_goes_with_the_person,
}

const ANN: &str = "ann@reader.example";

async fn tick_and_send(lantern: &Lantern) -> u64 {
    tick(&lantern.publication).await.unwrap();
    lantern.dispatch().await.sent
}

/// Lets the scheduler look for the first time, so that slots are due from then on.
async fn begin(lantern: &Lantern) {
    tick(&lantern.publication).await.unwrap();
}

fn brought(sink: &Sink, slugs: &[&str]) -> Vec<Vec<String>> {
    let letters = sink.messages();
    letters
        .iter()
        .map(|message| Letter::read(&message.bytes).brings(slugs).into_iter().map(str::to_owned).collect())
        .collect()
}

async fn person(lantern: &Lantern, who: SubscriberId) -> Subscriber {
    lantern.publication.store.subscriber(who).await.unwrap().unwrap()
}

async fn states(lantern: &Lantern, who: SubscriberId) -> Vec<String> {
    let all = lantern.publication.store.subscriptions_of(who).await.unwrap();
    all.iter().map(|one| format!("{} {} {}", one.feed, one.cadence, one.state.as_str())).collect()
}

fn steps(entries: &[Entry]) -> Vec<String> {
    let line = |entry: &Entry| {
        let feed = entry.feed.as_ref().map(|feed| format!(" {feed}")).unwrap_or_default();
        let cadence = entry.cadence.map(|cadence| format!(" {cadence}")).unwrap_or_default();
        format!("{}{feed}{cadence} by {}", entry.step, entry.source.as_str())
    };
    entries.iter().map(line).collect()
}

async fn ledger(lantern: &Lantern, who: SubscriberId) -> Vec<String> {
    steps(&lantern.publication.store.consents_of(who).await.unwrap())
}

async fn a_pause_over_three_slots_brings_the_articles_once(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    let ann = lantern.reader(ANN, Cadence::Daily, None).await;
    lantern.reader("ben@reader.example", Cadence::Daily, None).await;
    begin(&lantern).await;
    let store = &lantern.publication.store;
    lantern.release(&["a0"]).await;
    let until = at("2026-11-28T00:00:00Z");
    assert_eq!(store.pause(ann, until, Consent::new(Source::Preferences, lantern.now())).await.unwrap(), 1);
    assert_eq!(store.pause(ann, until, lantern.now()).await.unwrap(), 0, "twice is once");
    for (slot, slug) in [("2026-11-25T07:01:00Z", "a1"), ("2026-11-26T07:01:00Z", "a2"), ("2026-11-27T07:01:00Z", "a3")]
    {
        lantern.set_clock(at(slot));
        assert_eq!(tick_and_send(&lantern).await, 1, "{slot}: only Ben's");
        lantern.release(&[slug]).await;
    }
    assert_eq!(states(&lantern, ann).await, ["news daily paused"]);
    let (paused, first) = store.paused(&news()).await.unwrap();
    assert_eq!((paused, first), (1, Some(until)));
    lantern.set_clock(at("2026-11-28T07:01:00Z"));
    assert_eq!(tick_and_send(&lantern).await, 2);
    assert_eq!(states(&lantern, ann).await, ["news daily active"]);
    lantern.set_clock(at("2026-11-29T07:01:00Z"));
    assert_eq!(tick_and_send(&lantern).await, 0, "nothing comes twice");
    let slugs = ["a0", "a1", "a2", "a3"];
    let anns: Vec<_> =
        sink.messages().iter().filter(|message| message.to.concat() == ANN).map(|m| m.bytes.clone()).collect();
    assert_eq!(anns.len(), 1);
    let mut all = Letter::read(&anns[0]).brings(&slugs);
    all.sort_unstable();
    assert_eq!(all, slugs, "each article once, in the first digest after it");
    assert_eq!(ledger(&lantern, ann).await, ["added news daily by cli", "paused by preferences", "resumed by clock"]);
}

async fn a_pause_is_kept_by_saving_and_ended_by_its_own_button(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    let ann = lantern.reader(ANN, Cadence::Daily, Some("Asia/Tokyo")).await;
    let save = async |cadence: Cadence, pause: Option<&str>| {
        let wanted =
            Wanted { feeds: vec![(news(), cadence)], pause_until: pause.map(str::to_owned), ..Wanted::default() };
        choices::save(&lantern.publication, &person(&lantern, ann).await, &wanted).await.unwrap()
    };
    let store = &lantern.publication.store;
    assert_eq!(save(Cadence::Daily, Some("2026-12-01")).await, Vec::<String>::new());
    assert_eq!(states(&lantern, ann).await, ["news daily paused"]);
    assert_eq!(store.paused_until(ann).await.unwrap(), Some(at("2026-11-30T15:00:00Z")), "on the reader's clock");
    assert_eq!(save(Cadence::Weekly, Some("2026-12-01")).await, Vec::<String>::new());
    assert_eq!(save(Cadence::Weekly, None).await, Vec::<String>::new());
    assert_eq!(states(&lantern, ann).await, ["news weekly paused"], "another cadence does not end it");
    assert!(save(Cadence::Weekly, Some("2026-11-24")).await[0].contains("“2026-11-24”"));
    assert!(save(Cadence::Weekly, Some("2029-01-01")).await[0].contains("“2029-01-01”"));
    assert_eq!(states(&lantern, ann).await, ["news weekly paused"]);
    assert_eq!(save(Cadence::Weekly, Some("")).await, Vec::<String>::new());
    assert_eq!(states(&lantern, ann).await, ["news weekly active"]);
    save(Cadence::Weekly, Some("2026-12-05")).await;
    assert_eq!(store.resume(ann, lantern.now()).await.unwrap(), 1);
    assert_eq!(store.resume(ann, lantern.now()).await.unwrap(), 0);
    assert_eq!(store.paused_until(ann).await.unwrap(), None);
    // A feed that is ticked during a pause rests with the others; unticked, it is left.
    save(Cadence::Weekly, Some("2026-12-05")).await;
    let none = Wanted { pause_until: Some("2026-12-05".into()), ..Wanted::default() };
    choices::save(&lantern.publication, &person(&lantern, ann).await, &none).await.unwrap();
    assert_eq!(states(&lantern, ann).await, ["news weekly ended"]);
}

/// What a click on the way back does.
async fn click_back(lantern: &Lantern, who: SubscriberId) -> usize {
    let token = choices::way_back(&lantern.publication, who, None).await.unwrap().expect("a way back");
    let link = lantern.publication.keyring.verify(Purpose::Return, &token, lantern.now()).unwrap();
    choices::take_back(&lantern.publication, &link).await.unwrap().len()
}

async fn a_mistaken_click_taken_back_brings_the_same_digest_once(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    let ann = lantern.reader(ANN, Cadence::Daily, None).await;
    lantern.release(&["lamp"]).await;
    let (digest, _) = lantern.compose().await.unwrap();
    let store = &lantern.publication.store;
    store.leave(ann, Some(&news()), Consent::new(Source::Header, lantern.now())).await.unwrap();
    assert_eq!(store.tally(digest.id).await.unwrap().skipped, 1);
    lantern.pass(TimeDelta::minutes(5));
    assert_eq!(click_back(&lantern, ann).await, 1);
    assert_eq!(store.tally(digest.id).await.unwrap().queued, 1, "the digest under way comes after all");
    assert_eq!(choices::way_back(&lantern.publication, ann, None).await.unwrap(), None, "once");
    assert_eq!(lantern.dispatch().await.sent, 1);
    assert!(lantern.compose().await.is_none(), "and its articles do not come again");
    lantern.pass(TimeDelta::days(1));
    lantern.release(&["keeper"]).await;
    lantern.compose().await.unwrap();
    assert_eq!(lantern.dispatch().await.sent, 1);
    assert_eq!(brought(&sink, &["lamp", "keeper"]), [["lamp"], ["keeper"]]);
    assert_eq!(
        ledger(&lantern, ann).await,
        ["added news daily by cli", "left news daily by header", "resumed news daily by preferences"]
    );
}

async fn what_went_out_while_somebody_was_away_comes_with_the_next_digest(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    let ann = lantern.reader(ANN, Cadence::Daily, None).await;
    lantern.reader("ben@reader.example", Cadence::Daily, None).await;
    lantern.release(&["lamp"]).await;
    let (past, _) = lantern.compose().await.unwrap();
    lantern.release(&["keeper"]).await;
    let store = &lantern.publication.store;
    store.leave(ann, None, lantern.now()).await.unwrap();
    assert_eq!(lantern.dispatch().await.sent, 1, "Ben's");
    assert_eq!(store.digest(past.id).await.unwrap().unwrap().state.parts().0, "sent");
    lantern.pass(TimeDelta::minutes(30));
    assert_eq!(click_back(&lantern, ann).await, 1);
    assert_eq!(lantern.dispatch().await.sent, 0, "a digest that is out is not opened again");
    lantern.compose().await.unwrap();
    assert_eq!(lantern.dispatch().await.sent, 2);
    let anns = sink.messages();
    let anns: Vec<_> = anns.iter().filter(|message| message.to.concat() == ANN).collect();
    assert_eq!(anns.len(), 1);
    let mut all = Letter::read(&anns[0].bytes).brings(&["keeper", "lamp"]);
    all.sort_unstable();
    assert_eq!(all, ["keeper", "lamp"], "nothing is missed and nothing comes twice");
}

async fn a_way_back_is_for_its_own_click_alone(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    let ann = lantern.reader(ANN, Cadence::Daily, None).await;
    let store = &lantern.publication.store;
    let back = async || choices::way_back(&lantern.publication, ann, Some(&news())).await.unwrap();
    assert_eq!(back().await, None, "nobody has left");
    store.leave(ann, None, lantern.now()).await.unwrap();
    let old = back().await.unwrap();
    // The page is loaded again, and once more: it is the same click.
    lantern.pass(TimeDelta::hours(3));
    store.leave(ann, None, lantern.now()).await.unwrap();
    assert_eq!(back().await.unwrap(), old);
    // Who comes again with the form and leaves again has another way back.
    store.choose(ann, &news(), Cadence::Weekly, lantern.now()).await.unwrap();
    lantern.pass(TimeDelta::hours(1));
    store.leave(ann, None, lantern.now()).await.unwrap();
    let link = lantern.publication.keyring.verify(Purpose::Return, &old, lantern.now()).unwrap();
    assert!(choices::take_back(&lantern.publication, &link).await.unwrap().is_empty());
    assert_eq!(states(&lantern, ann).await, ["news weekly ended"]);
    assert!(back().await.is_some());
    lantern.pass(BACK_WITHIN);
    assert_eq!(back().await, None, "and after a day there is none");
    // What was paused or never confirmed is that again.
    for state in [SubscriptionState::Pending, SubscriptionState::Paused] {
        let address = format!("{}@reader.example", state.as_str());
        let who = lantern.reader(&address, Cadence::Daily, None).await;
        match state {
            SubscriptionState::Paused => {
                store.pause(who, lantern.now() + TimeDelta::days(9), lantern.now()).await.unwrap();
            }
            _ => drop(
                lantern.rows(&format!("UPDATE subscriptions SET state = 'pending', confirmed_at = NULL WHERE subscriber = '{who}' RETURNING feed")).await,
            ),
        }
        store.leave(who, None, lantern.now()).await.unwrap();
        assert_eq!(click_back(&lantern, who).await, 1);
        assert_eq!(states(&lantern, who).await, [format!("news daily {}", state.as_str())]);
    }
}

async fn send(lantern: &Lantern) -> u64 {
    let (_word, stop) = Stop::new();
    send_letters(&lantern.publication, &stop).await.unwrap()
}

async fn wish(lantern: &Lantern, who: SubscriberId, address: &str) {
    choices::ask_move(&lantern.publication, who, &EmailAddress::parse(address).unwrap()).await.unwrap();
}

/// The token of the link in the last message.
fn token(sink: &Sink) -> String {
    let letter = Letter::read(&sink.messages().last().unwrap().bytes);
    let link = format!("{URL}/address/");
    letter.text.split_whitespace().find_map(|word| word.strip_prefix(&link)).expect("a link").to_owned()
}

/// What the button behind a token does.
async fn press(lantern: &Lantern, token: &str) -> bool {
    let publication = &lantern.publication;
    let Some((reader, address)) = choices::asked_move(publication, token).await.unwrap() else { return false };
    choices::make_move(publication, reader.subscriber.id, &address).await.unwrap()
}

async fn mail_moves_to_an_address_that_says_yes(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    let ann = lantern.reader(ANN, Cadence::Daily, None).await;
    lantern.release(&["lamp"]).await;
    wish(&lantern, ann, "Ann@new.example").await;
    assert_eq!(send(&lantern).await, 1);
    assert_eq!(send(&lantern).await, 0);
    let letter = Letter::read(&sink.messages()[0].bytes);
    assert_eq!((letter.to.as_str(), letter.unsubscribe), ("Ann@new.example", None));
    assert!(letter.subject.contains("The Harbour Lantern"), "{}", letter.subject);
    let first = token(&sink);
    assert_eq!(person(&lantern, ann).await.address.as_str(), ANN, "a mail alone moves nothing");
    // An earlier wish is dropped by a later one, and its link with it.
    wish(&lantern, ann, "ann@third.example").await;
    assert_eq!(send(&lantern).await, 1);
    assert!(!press(&lantern, &first).await);
    let second = token(&sink);
    assert!(press(&lantern, &second).await);
    assert_eq!(person(&lantern, ann).await.address.as_str(), "ann@third.example");
    assert!(!press(&lantern, &second).await, "once");
    // The old address is told, and the next digest goes to the new one.
    assert_eq!(send(&lantern).await, 1);
    let told = Letter::read(&sink.messages().last().unwrap().bytes);
    assert_eq!(told.to, ANN);
    assert!(told.text.contains("/preferences/") && !told.text.contains("third.example"), "{}", told.text);
    assert_eq!(send(&lantern).await, 0);
    lantern.compose().await.unwrap();
    lantern.dispatch().await;
    assert_eq!(sink.messages().last().unwrap().to.concat(), "ann@third.example");
    assert_eq!(ledger(&lantern, ann).await, ["added news daily by cli", "address_changed by preferences"]);
    // Whoever was moved against their will takes it back at once.
    lantern.pass(TimeDelta::minutes(1));
    wish(&lantern, ann, ANN).await;
    assert_eq!(send(&lantern).await, 1);
    assert!(press(&lantern, &token(&sink)).await);
    assert_eq!(person(&lantern, ann).await.address.as_str(), ANN);
    // A link that is too old moves nothing.
    lantern.pass(TimeDelta::days(3));
    wish(&lantern, ann, "ann@late.example").await;
    assert_eq!(send(&lantern).await, 1);
    let late = token(&sink);
    lantern.pass(MOVE_WITHIN);
    assert!(!press(&lantern, &late).await);
    tidy::purge(&lantern.publication).await.unwrap();
    lantern.pass(TimeDelta::minutes(1));
    tidy::purge(&lantern.publication).await.unwrap();
    assert_eq!(lantern.count("SELECT COUNT(*) FROM moves").await, 0);
}

async fn an_address_that_is_taken_banned_or_wished_for_by_another_is_not_written_to(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    let ann = lantern.reader(ANN, Cadence::Daily, None).await;
    let ben = lantern.reader("ben@reader.example", Cadence::Daily, None).await;
    let store = &lantern.publication.store;
    let banned = lantern.publication.keyring.address_hash("banned@reader.example");
    store.suppress(&banned, "complaint", "", lantern.now()).await.unwrap();
    for address in ["BEN@reader.example", "banned@reader.example", ANN] {
        wish(&lantern, ann, address).await;
        assert_eq!(
            (send(&lantern).await, store.wished_move(ann, lantern.now() - MOVE_WITHIN).await.unwrap()),
            (0, None)
        );
    }
    wish(&lantern, ann, "new@reader.example").await;
    wish(&lantern, ben, "new@reader.example").await;
    assert_eq!(send(&lantern).await, 1);
    let link = token(&sink);
    // Taken or banned while the link was on its way.
    store
        .suppress(&lantern.publication.keyring.address_hash("new@reader.example"), "complaint", "", lantern.now())
        .await
        .unwrap();
    assert!(!press(&lantern, &link).await);
    store.lift(&lantern.publication.keyring.address_hash("new@reader.example")).await.unwrap();
    let cid = lantern.reader("new@reader.example", Cadence::Daily, None).await;
    assert!(!press(&lantern, &link).await);
    store.remove_subscriber(cid).await.unwrap();
    assert!(!press(&lantern, &link).await, "what is held of an address goes with it, a wish too");
    assert_eq!(person(&lantern, ben).await.address.as_str(), "ben@reader.example");
}

async fn an_address_is_asked_once_a_day_whoever_wishes_for_it(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    let ann = lantern.reader(ANN, Cadence::Daily, None).await;
    let ben = lantern.reader("ben@reader.example", Cadence::Daily, None).await;
    wish(&lantern, ann, "x@victim.example").await;
    assert_eq!(send(&lantern).await, 1);
    for _ in 0..3 {
        lantern.pass(TimeDelta::hours(1));
        wish(&lantern, ann, "y@victim.example").await;
        wish(&lantern, ann, "x@victim.example").await;
        wish(&lantern, ben, "x@victim.example").await;
        wish(&lantern, ann, "z@victim.example").await;
        send(&lantern).await;
    }
    // Nor by the form, which would be a second mail.
    let asked = Subscriber {
        id: SubscriberId::new(lantern.now()),
        address: EmailAddress::parse("x@victim.example").unwrap(),
        name: None,
        language: None,
        time_zone: None,
    };
    let feeds = [(news(), Cadence::Daily)];
    confirm::subscribe(&lantern.publication, &asked, &feeds, SubscriptionState::Pending).await.unwrap();
    assert_eq!(confirm::send_confirmations(&lantern.publication).await.unwrap(), 0);
    lantern.pass(TimeDelta::hours(2));
    for name in 0..9 {
        wish(&lantern, ann, &format!("reader{name}@victim.example")).await;
        send(&lantern).await;
    }
    let to: Vec<String> = sink.messages().iter().map(|message| message.to.concat()).collect();
    let count = |address: &str| to.iter().filter(|to| *to == address).count();
    assert_eq!(count("x@victim.example"), 1, "{to:?}");
    assert!(to.iter().all(|address| count(address) == 1), "{to:?}");
    assert!(to.len() <= 4, "one reader cannot have many written to: {to:?}");
}

async fn every_step_stands_in_the_ledger(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    let (publication, store) = (&lantern.publication, &lantern.publication.store);
    let asked = Subscriber {
        id: SubscriberId::new(lantern.now()),
        address: EmailAddress::parse(ANN).unwrap(),
        name: None,
        language: None,
        time_zone: None,
    };
    let agreed = Agreed { text_version: "2026-11".into(), ip: Some("192.0.2.7".parse().unwrap()) };
    let asked = SignUp { subscriber: asked, feeds: vec![(news(), Cadence::Daily)], agreed };
    let form = || Consent {
        text_version: Some("2026-11".into()),
        ip: Some("192.0.2.7".parse().unwrap()),
        ..Consent::new(Source::Form, lantern.now())
    };
    for _ in 0..3 {
        sign_up::store(publication, std::slice::from_ref(&asked)).await.unwrap();
        confirm::send_confirmations(publication).await.unwrap();
        lantern.pass(TimeDelta::minutes(1));
    }
    let ann = lantern.who(ANN).await;
    store.confirm_and_welcome(ann, &[], form()).await.unwrap();
    lantern.pass(TimeDelta::minutes(1));
    store.confirm_and_welcome(ann, &[], form()).await.unwrap();
    let own = || Consent::new(Source::Preferences, lantern.now());
    for cadence in [Cadence::Daily, Cadence::Weekly, Cadence::Weekly] {
        store.choose(ann, &news(), cadence, own()).await.unwrap();
        lantern.pass(TimeDelta::minutes(1));
    }
    store.leave(ann, None, Consent::new(Source::Header, lantern.now())).await.unwrap();
    store.leave(ann, None, Consent::new(Source::Header, lantern.now())).await.unwrap();
    lantern.pass(TimeDelta::minutes(1));
    store.choose(ann, &news(), Cadence::Monthly, own()).await.unwrap();
    let entries = store.consents_of(ann).await.unwrap();
    assert_eq!(
        steps(&entries),
        [
            "asked news daily by form",
            "confirmed news daily by form",
            "changed news weekly by preferences",
            "left news weekly by header",
            "confirmed news monthly by preferences",
        ]
    );
    assert_eq!(entries[0].text_version.as_deref(), Some("2026-11"));
    assert_eq!(entries[1].ip.as_deref(), Some("192.0.2.7"));
    assert_eq!((entries[3].text_version.as_deref(), entries[3].ip.as_deref()), (None, None));
    store.remove_subscriber(ann).await.unwrap();
    assert_eq!(lantern.count("SELECT COUNT(*) FROM consents").await, 0, "it goes with the person");
}

async fn an_import_is_in_the_ledger_without_a_line_of_its_own(url: String) {
    use tidings::task::exchange::{Form, Import, Which, export, import};
    let lantern = Lantern::open(&url, Setup::default()).await;
    let store = &lantern.publication.store;
    let take = async |file: &str, overwrite: bool| {
        let how = Import { file: "list.csv", default_feed: None, dry_run: false, overwrite, lists: &[] };
        import(&lantern.publication, &how, Box::new(std::io::Cursor::new(file.to_owned().into_bytes())), &|_, _| {})
            .await
            .unwrap()
    };
    let report =
        take(&format!("address,feeds,created_at,confirmed_at\n{ANN},news:daily,2025-01-01,2025-01-02\n"), false).await;
    assert_eq!(report.subscriptions, 1, "{report:?}");
    assert_eq!(lantern.count("SELECT COUNT(*) FROM consents").await, 0);
    let ann = lantern.who(ANN).await;
    assert_eq!(ledger(&lantern, ann).await, ["confirmed news by import", "imported news daily by import"]);
    lantern.pass(TimeDelta::minutes(1));
    take(&format!("address,feeds\n{ANN},news:weekly\n"), true).await;
    take(&format!("address,feeds\n{ANN},news:weekly\n"), true).await;
    assert_eq!(
        ledger(&lantern, ann).await,
        ["confirmed news by import", "imported news by import", "changed news weekly by import"]
    );
    // The export of everyone has it too, and can be brought back.
    let mut out = vec![];
    export(&lantern.publication, &Which { everyone: true, ..Which::default() }, Form::Json, &mut out).await.unwrap();
    let people: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(people[0]["consents"][2]["step"], "changed", "{people}");
    store.remove_subscriber(ann).await.unwrap();
    assert_eq!(take(&String::from_utf8(out).unwrap(), false).await.subscriptions, 1);
}

async fn reasons_are_counted_and_outlive_their_person_in_nobodys_words(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    let (publication, store) = (&lantern.publication, &lantern.publication.store);
    let ann = lantern.reader(ANN, Cadence::Daily, None).await;
    store.leave(ann, None, lantern.now()).await.unwrap();
    let long = "x".repeat(2000);
    choices::give_reason(publication, ann, Some(news()), "nonsense", " ").await.unwrap();
    assert!(store.reason_counts().await.unwrap().is_empty());
    choices::give_reason(publication, ann, Some(news()), "too_often", "Every\nhour! I am Ann").await.unwrap();
    choices::give_reason(publication, ann, Some(news()), "other", &long).await.unwrap();
    let given = store.reasons(None, 9).await.unwrap();
    assert_eq!(given.len(), 1, "the later counts");
    assert!(given[0].words.chars().count() <= 500 && given[0].reason == "other", "{given:?}");
    choices::give_reason(publication, ann, Some(news()), "too_often", "Every\nhour! I am Ann").await.unwrap();
    assert_eq!(store.reasons(Some(ann), 9).await.unwrap()[0].words, "Every hour! I am Ann");
    store.remove_subscriber(ann).await.unwrap();
    assert_eq!(store.reason_counts().await.unwrap(), [("news".to_owned(), "too_often".to_owned(), 1)]);
    assert_eq!(store.reasons(None, 9).await.unwrap()[0].words, "");
    assert_eq!(lantern.count(&format!("SELECT COUNT(*) FROM reasons WHERE subscriber = '{ann}'")).await, 0);
    choices::give_reason(publication, ann, None, "too_often", "").await.unwrap();
    assert_eq!(store.reason_counts().await.unwrap().len(), 1, "nobody is there to have a reason");
}

async fn all_that_is_held_is_given_out_and_goes_with_the_person(url: String) {
    let sink = Sink::start(Options::default()).await;
    let lantern = Lantern::with_relay(&url, sink.port()).await;
    let (publication, store) = (&lantern.publication, &lantern.publication.store);
    let ann = lantern.reader(ANN, Cadence::Daily, None).await;
    lantern.release(&["lamp"]).await;
    lantern.compose().await.unwrap();
    lantern.dispatch().await;
    let hash = publication.keyring.address_hash(ANN);
    store.suppress(&hash, "complaint", "said so", lantern.now()).await.unwrap();
    wish(&lantern, ann, "ann@new.example").await;
    store.leave(ann, None, lantern.now()).await.unwrap();
    choices::give_reason(publication, ann, None, "other", "words of Ann").await.unwrap();
    let held = choices::held(publication, &person(&lantern, ann).await).await.unwrap();
    assert_eq!(held["address"], ANN);
    assert_eq!(held["subscriptions"][0]["state"], "ended");
    assert_eq!(held["consents"][1]["step"], "left");
    assert_eq!(held["deliveries"][0]["state"], "sent");
    assert_eq!(held["suppression"]["cause"], "complaint");
    assert_eq!(held["asked_address"], "ann@new.example");
    assert_eq!(held["reasons"][0]["words"], "words of Ann");
    assert!(held["reports"].is_array());
    choices::erase(publication, &person(&lantern, ann).await).await.unwrap();
    for (table, columns) in [
        ("subscribers", "id || address || address_hash"),
        ("subscriptions", "subscriber"),
        ("deliveries", "subscriber || COALESCE(log, '')"),
        ("consents", "subscriber"),
        ("moves", "subscriber || COALESCE(address, '') || address_hash"),
        ("reasons", "subscriber || words"),
    ] {
        for text in [ann.to_string(), "ann@".into(), hash.clone(), "Ann".into()] {
            let sql = format!("SELECT COUNT(*) FROM {table} WHERE {columns} LIKE '%{text}%'");
            assert_eq!(lantern.count(&sql).await, 0, "{sql}");
        }
    }
    assert!(store.ban(&hash).await.unwrap().is_some(), "a ban outlives the person");
}

/// A site with Ann on it, and a token of a purpose of hers.
async fn site() -> (Site, SubscriberId) {
    let site = Site::serve(Place::sample(), clock_at("2026-11-24T12:00:00Z")).await;
    let publication = &site.app.publication;
    let ann = Subscriber {
        id: SubscriberId::new(publication.clock.now()),
        address: EmailAddress::parse(ANN).unwrap(),
        name: Some("Ann".into()),
        language: None,
        time_zone: None,
    };
    let feeds = [(news(), Cadence::Daily), ("offers".parse_feed(), Cadence::Weekly)];
    confirm::subscribe(publication, &ann, &feeds, SubscriptionState::Active).await.unwrap();
    (site, ann.id)
}

trait ParseFeed {
    fn parse_feed(&self) -> tidings::domain::feed::FeedName;
}

impl ParseFeed for str {
    fn parse_feed(&self) -> tidings::domain::feed::FeedName {
        tidings::domain::feed::FeedName::parse(self).unwrap()
    }
}

fn signed(site: &Site, purpose: Purpose, who: SubscriberId, feed: Option<&str>) -> String {
    let expires_at = matches!(purpose, Purpose::Return | Purpose::Erase)
        .then(|| site.app.publication.clock.now() + TimeDelta::hours(1));
    let link = Link { purpose, subscriber: who, feed: feed.map(str::parse_feed), expires_at };
    site.app.publication.keyring.sign(&link)
}

/// What `attribute="…"` holds, everywhere in a page.
fn attributes(html: &str, attribute: &str) -> Vec<String> {
    let start = format!(" {attribute}=\"");
    let values = html.split(&start).skip(1).filter_map(|rest| rest.split('"').next());
    values.map(|value| value.replace("&#x3D;", "=").replace("&#x3d;", "=").replace("&amp;", "&")).collect()
}

#[tokio::test]
async fn one_page_holds_every_choice_and_each_way_works_without_a_script() {
    let (site, ann) = site().await;
    let token = signed(&site, Purpose::Preferences, ann, None);
    let page = format!("/preferences/{token}");
    let html = site.get(&page).await.text();
    let ways = attributes(&html, "action");
    for way in ["", "/address", "/feed"] {
        assert!(ways.iter().any(|action| action.ends_with(&format!("{page}{way}"))), "{way}: {ways:?}");
    }
    // The language is the reader's from then on, on the page as well.
    let fields = [
        ("feed", "news"),
        ("cadence.news", "weekly"),
        ("language", "de"),
        ("time_zone", "Europe/Berlin"),
        ("pause_until", "2026-12-24"),
    ];
    let saved = site.post(&page, &fields).await;
    let text = saved.text();
    assert!(
        text.contains("lang=\"de\"") && text.contains("Gespeichert.") && text.contains("24. Dezember 2026"),
        "{text}"
    );
    assert!(text.contains("value=\"2026-12-24\""));
    let resume = attributes(&text, "action").into_iter().find(|action| action.ends_with("/resume")).expect("a button");
    assert!(!site.post(&resume, &[]).await.text().contains("/resume"), "it rests no more");
    let arabic = site.post(&page, &[("feed", "news"), ("language", "ar")]).await.text();
    assert!(arabic.contains("dir=\"rtl\"") && arabic.contains("lang=\"ar\""), "{arabic}");
    let unknown = site.post(&page, &[("feed", "news"), ("language", "xx\r\n")]).await.text();
    assert!(unknown.contains("lang=\"ar\""), "one that has no words changes nothing");
    site.post(&page, &[("feed", "news"), ("language", "en")]).await;
    assert_eq!(site.app.publication.store.subscriber(ann).await.unwrap().unwrap().language, None);

    let data = site.get(&format!("{page}/data")).await;
    assert_eq!(data.header("content-type"), Some("application/json"));
    assert!(data.header("content-disposition").unwrap().starts_with("attachment"));
    let held: serde_json::Value = serde_json::from_slice(&data.body).unwrap();
    assert_eq!((&held["address"], &held["consents"][0]["step"]), (&ANN.into(), &"added".into()));

    let wrong = site.post(&format!("{page}/address"), &[("address", "nobody")]).await;
    assert!(wrong.status == 422 && wrong.text().contains("“nobody”"), "{}", wrong.text());
    let mut answers = std::collections::BTreeSet::new();
    for address in ["ann@new.example", ANN, "stranger@new.example"] {
        let answer = site.post(&format!("{page}/address"), &[("address", address)]).await;
        answers.insert((answer.status, answer.text().replace(address, "ADDRESS")));
    }
    assert_eq!(answers.len(), 1, "nobody learns whose an address is");

    let left = site.post(&format!("{page}/feed"), &[]).await.text();
    assert!(left.contains("/feeds/news/rss.xml") && left.contains("/back/"), "{left}");
    let erase = site.get(&format!("{page}/erase")).await.text();
    let button = attributes(&erase, "action").into_iter().find(|action| action.contains("/erase/")).expect("a button");
    assert_eq!(site.post(&button, &[]).await.status, 200);
    assert_eq!(site.post(&button, &[]).await.status, 404, "once");
    assert_eq!(site.get(&page).await.status, 404);
    assert!(!site.database().await.contains(ANN));
}

#[tokio::test]
async fn a_click_by_mistake_is_taken_back_on_the_page_that_follows_it() {
    let (site, ann) = site().await;
    let leave = format!("/unsubscribe/{}", signed(&site, Purpose::Leave, ann, Some("news")));
    assert!(site.get(&leave).await.text().contains("Leave everything"));
    let page = site.ask("POST", &leave).await.text();
    assert!(page.contains("You have left") && page.contains("Leave everything"), "{page}");
    let actions = attributes(&page, "action");
    let way = |part: &str| {
        actions.iter().find(|action| action.contains(part)).unwrap_or_else(|| panic!("{part}: {actions:?}"))
    };
    let thanks = site.post(way("/reason"), &[("reason", "too_often"), ("words", "Every hour")]).await;
    assert!(thanks.status == 200 && thanks.text().contains("Thank you"));
    assert_eq!(site.app.publication.store.reason_counts().await.unwrap().len(), 1);
    assert_eq!(site.get(way("/back/")).await.status, 200);
    let back = site.post(way("/back/"), &[]).await;
    assert!(back.status == 200 && back.text().contains("Latest news"), "{}", back.text());
    assert!(site.app.publication.store.reason_counts().await.unwrap().is_empty(), "there is no reason any more");
    assert_eq!(site.post(way("/back/"), &[]).await.status, 404, "once");
    let store = &site.app.publication.store;
    assert!(store.subscriptions_of(ann).await.unwrap().iter().all(|one| one.state == SubscriptionState::Active));
    let entries = store.consents_of(ann).await.unwrap();
    assert!(steps(&entries).contains(&"left news daily by preferences".to_owned()), "{entries:?}");
    let one_click = b"List-Unsubscribe=One-Click";
    let kind = [("Content-Type", "application/x-www-form-urlencoded")];
    let leave = format!("/unsubscribe/{}", signed(&site, Purpose::Leave, ann, Some("offers")));
    assert_eq!(ask(site.at, "POST", &leave, &kind, one_click).await.status, 200);
    assert!(steps(&store.consents_of(ann).await.unwrap()).contains(&"left offers weekly by header".to_owned()));
}

#[tokio::test]
async fn looking_changes_nothing_and_no_token_serves_another_purpose() {
    let (site, ann) = site().await;
    let purposes =
        [Purpose::Confirm, Purpose::Leave, Purpose::Preferences, Purpose::Return, Purpose::Erase, Purpose::Address];
    let tokens: Vec<(Purpose, String)> =
        purposes.into_iter().map(|purpose| (purpose, signed(&site, purpose, ann, None))).collect();
    let hash = site.app.publication.keyring.address_hash("ann@new.example");
    choices::ask_move(&site.app.publication, ann, &EmailAddress::parse("ann@new.example").unwrap()).await.unwrap();
    let until = site.app.publication.clock.now() + MOVE_WITHIN;
    let address = site.app.publication.keyring.sign_address(ann, &hash, until);
    let places = [
        ("/preferences/T", Purpose::Preferences),
        ("/preferences/T/resume", Purpose::Preferences),
        ("/preferences/T/address", Purpose::Preferences),
        ("/preferences/T/feed", Purpose::Preferences),
        ("/preferences/T/data", Purpose::Preferences),
        ("/preferences/T/erase", Purpose::Preferences),
        ("/erase/T", Purpose::Erase),
        ("/address/T", Purpose::Address),
        ("/unsubscribe/T", Purpose::Leave),
        ("/unsubscribe/T/reason", Purpose::Leave),
        ("/back/T", Purpose::Return),
    ];
    let before = site.database().await;
    for (place, purpose) in places {
        for (signed_for, token) in tokens.iter().chain(&[(Purpose::Address, address.clone())]) {
            let path = place.replace('T', token);
            for method in ["GET", "HEAD"] {
                let answer = site.ask(method, &path).await;
                assert!([200, 404, 405].contains(&answer.status), "{method} {place}: {}", answer.status);
                if answer.status != 405 {
                    assert_eq!(answer.header("cache-control"), Some("no-store"), "{place}");
                    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{place}");
                }
            }
            if *signed_for != purpose {
                let answer = site.post(&path, &[("address", "x@y.example"), ("reason", "other")]).await;
                assert!([404, 405].contains(&answer.status), "{place} with {signed_for:?}: {}", answer.status);
            }
        }
        // No bit of a token can be changed.
        let mut token = tokens.iter().find(|(known, _)| *known == purpose).unwrap().1.clone().into_bytes();
        for at in (0..token.len()).step_by(5) {
            let kept = token[at];
            token[at] = if kept == b'A' { b'B' } else { b'A' };
            let path = place.replace('T', std::str::from_utf8(&token).unwrap());
            let answer = site.post(&path, &[("address", "x@y.example")]).await;
            assert!([404, 405].contains(&answer.status), "{place}: {}", answer.status);
            token[at] = kept;
        }
    }
    assert_eq!(site.database().await, before);
}

#[test]
fn an_editor_is_shown_all_that_is_held_and_why_people_left() {
    let place = Place::new();
    place.run(&["subscribers", "add", ANN, "--name", "Ann"]).ended(0);
    let shown = place.run(&["subscribers", "show", ANN]).ended(0).out;
    assert!(shown.contains(ANN) && shown.contains("news") && shown.contains("added"), "{shown}");
    let json = place.run(&["subscribers", "show", ANN, "--json"]).ended(0).json();
    assert_eq!((&json["name"], &json["consents"][0]["source"]), (&"Ann".into(), &"cli".into()));
    place.run(&["subscribers", "show", "ben@reader.example"]).ended(1);
    place.run(&["subscribers", "show", "nobody"]).ended(2);
    let none = place.run(&["subscribers", "reasons", "--json"]).ended(0).json();
    assert_eq!((&none["counts"], &none["reasons"]), (&serde_json::json!([]), &serde_json::json!([])));
    assert!(place.run(&["subscribers", "reasons"]).ended(0).out.contains("nobody"));
}
