//! Segments: what is selected by SQL, on either engine, is what `Whom::takes` selects; and nothing that a person wrote is
//! ever part of a statement.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::collections::BTreeSet;
use std::fs;

use chrono::{DateTime, TimeDelta};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use support::publication::{Lantern, NEWS, Setup, at, news};
use tidings::domain::attributes::Attributes;
use tidings::domain::digest::DigestState;
use tidings::domain::feed::FeedName;
use tidings::domain::newsletter::Cadence;
use tidings::domain::report::ReportKind;
use tidings::domain::segment::{Between, Moment, Person, SegmentName, Standing, Test, Whom, Within, Words};
use tidings::domain::subscription::{Subscriber, SubscriberId, SubscriptionState};
use tidings::store::{Arrival, Arriving};
use tidings::task::compose::{compose, newsletter, plan_now};
use tidings::task::exchange::{Form, Import, Which, export, import};
use tidings::task::publish::publish;

support::engines::for_each_engine! {
    sql_selects_whom_the_rules_select,
    a_digest_for_a_segment_is_had_by_its_people_alone_and_once,
    attributes_come_in_are_changed_and_go_out_as_they_were,
    whoever_changes_attributes_at_once_loses_none,
}

/// What could be part of a statement, of a path into JSON, or of a pattern.
const WORDS: [&str; 24] = [
    "city",
    "Lisbon",
    "lisbon",
    "LISBON",
    "İstanbul",
    "ß",
    "a.b",
    "$.city",
    "\"",
    "'",
    "''; DROP TABLE subscribers; --",
    "%",
    "_",
    "\\",
    "\\u0000",
    "$1",
    "?",
    "[0]",
    "0",
    "7",
    "true",
    "null",
    "{}",
    "\u{1F3EE}",
];

fn a_word() -> impl Strategy<Value = String> {
    prop_oneof![4 => prop::sample::select(WORDS.to_vec()).prop_map(str::to_owned), 1 => "\\PC{0,6}"]
}

fn a_name() -> impl Strategy<Value = String> {
    a_word().prop_map(|name| if name.trim().is_empty() { "x".to_owned() } else { name })
}

fn a_value() -> impl Strategy<Value = serde_json::Value> {
    let single = || {
        prop_oneof![
            4 => a_word().prop_map(serde_json::Value::from),
            2 => (-3_i32..8).prop_map(serde_json::Value::from),
            1 => (-8_i32..8).prop_map(|half| serde_json::Value::from(f64::from(half) / 4.0)),
            1 => any::<bool>().prop_map(serde_json::Value::from),
            1 => Just(serde_json::Value::Null),
        ]
    };
    prop_oneof![
        5 => single(),
        2 => prop::collection::vec(single(), 0..4).prop_map(serde_json::Value::from),
        1 => single().prop_map(|value| serde_json::json!({ "city": value })),
        1 => single().prop_map(|value| serde_json::json!([[value], { "city": "Lisbon" }])),
    ]
}

const FEEDS: [&str; 2] = ["news", "offers"];
const ZONES: [chrono_tz::Tz; 3] =
    [chrono_tz::Tz::Europe__Lisbon, chrono_tz::Tz::Asia__Kathmandu, chrono_tz::Tz::Pacific__Apia];
const STATES: [SubscriptionState; 4] =
    [SubscriptionState::Active, SubscriptionState::Paused, SubscriptionState::Pending, SubscriptionState::Ended];

fn now() -> DateTime<chrono::Utc> {
    at("2026-11-24T12:00:00Z")
}

fn a_moment() -> impl Strategy<Value = Moment> {
    prop_oneof![
        (0_i64..10).prop_map(|days| Moment::Ago(TimeDelta::days(days))),
        (0_i64..10).prop_map(|days| Moment::At(now() - TimeDelta::days(days))),
    ]
}

fn a_stretch() -> impl Strategy<Value = Within> {
    (prop::option::of(a_moment()), prop::option::of(a_moment())).prop_map(|(after, before)| Within { after, before })
}

fn numbers() -> impl Strategy<Value = Between> {
    let limit = || prop::option::of((-8_i32..16).prop_map(|half| f64::from(half) / 2.0));
    (limit(), limit()).prop_map(|(above, below)| Between { above, below })
}

fn some<T: Copy + std::fmt::Debug + 'static>(among: &'static [T]) -> impl Strategy<Value = Vec<T>> {
    prop::sample::subsequence(among.to_vec(), 0..=among.len())
}

fn a_selection() -> impl Strategy<Value = Whom> {
    let test = prop_oneof![
        3 => prop::collection::vec(a_word(), 1..4).prop_map(|words| Test::Is(Words::new(words))),
        2 => numbers().prop_map(Test::Between),
        1 => any::<bool>().prop_map(Test::Set),
    ];
    let feed = |name: &str| FeedName::parse(name).unwrap();
    let leaf = prop_oneof![
        6 => (a_name(), test).prop_map(|(name, test)| Whom::Has(tidings::domain::text::one_line(&name), test)),
        3 => (some(&FEEDS), some(&Cadence::ALL), some(&STATES), a_stretch()).prop_map(move |(feeds, cadences, states, confirmed)| {
            Whom::Takes { feeds: feeds.into_iter().map(feed).collect(), cadences, states, confirmed }
        }),
        1 => prop::collection::vec(prop_oneof![a_word(), Just("en".into()), Just("PT-br".into())], 0..3)
            .prop_map(|words| Whom::Speaks(Words::new(words))),
        1 => some(&ZONES).prop_map(Whom::Lives),
        1 => a_stretch().prop_map(Whom::Joined),
        1 => a_stretch().prop_map(Whom::Delivered),
        1 => Just(Whom::NeverDelivered),
        1 => numbers().prop_map(Whom::Bounces),
        1 => numbers().prop_map(Whom::Complaints),
        1 => any::<bool>().prop_map(Whom::Suppressed),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Whom::All),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Whom::Any),
            inner.prop_map(|whom| Whom::Not(Box::new(whom))),
        ]
    })
}

fn a_person() -> impl Strategy<Value = Person> {
    let attributes = prop::collection::vec((a_name(), a_value()), 0..5)
        .prop_map(|fields| Attributes::of(fields.into_iter().collect()).unwrap_or_default());
    let day = || (0_i64..10).prop_map(|days| now() - TimeDelta::days(days));
    let one =
        (prop::sample::select(Cadence::ALL.to_vec()), prop::sample::select(STATES.to_vec()), prop::option::of(day()));
    let subscriptions = prop::collection::vec(one, 1..=2).prop_map(|chosen| {
        let each = chosen.into_iter().zip(FEEDS);
        each.map(|((cadence, state, confirmed_at), feed)| Standing {
            feed: FeedName::parse(feed).unwrap(),
            cadence,
            state,
            confirmed_at,
        })
        .collect()
    });
    let language = prop::option::of(prop_oneof![a_word(), Just("EN".into()), Just("pt-BR".into())]);
    let language = language
        .prop_map(|word| word.map(|word| tidings::domain::text::one_line(&word)).filter(|word| !word.is_empty()));
    let zone = prop::option::of(prop::sample::select(ZONES.to_vec()));
    (language, zone, attributes, day(), subscriptions, prop::option::of(day()), 0_u32..4, 0_u32..3, any::<bool>())
        .prop_map(
            |(
                language,
                time_zone,
                attributes,
                joined_at,
                subscriptions,
                delivered_at,
                bounces,
                complaints,
                is_suppressed,
            )| {
                Person {
                    language,
                    time_zone,
                    attributes,
                    joined_at,
                    subscriptions,
                    delivered_at,
                    bounces,
                    complaints,
                    is_suppressed,
                }
            },
        )
}

/// Puts a person into the store as they are.
fn arrival(lantern: &Lantern, number: usize, person: &Person) -> Arrival {
    let address = tidings::domain::address::EmailAddress::parse(&format!("reader{number}@reader.example")).unwrap();
    Arrival {
        address_hash: lantern.publication.keyring.address_hash(&address.key()),
        subscriber: Subscriber {
            id: SubscriberId::new(now()),
            address,
            name: None,
            language: person.language.clone(),
            time_zone: person.time_zone,
        },
        attributes: person.attributes.clone(),
        subscriptions: person
            .subscriptions
            .iter()
            .map(|one| Arriving {
                feed: one.feed.clone(),
                cadence: one.cadence,
                state: one.state,
                created_at: person.joined_at,
                confirmed_at: one.confirmed_at,
                ended_at: None,
                preferred: None,
                paused_until: None,
            })
            .collect(),
        consents: vec![],
        ban: person.is_suppressed.then(|| ("blocked".to_owned(), String::new())),
    }
}

async fn settle(lantern: &Lantern, people: &[Person]) -> Vec<SubscriberId> {
    let store = &lantern.publication.store;
    let arrivals: Vec<Arrival> =
        people.iter().enumerate().map(|(number, person)| arrival(lantern, number, person)).collect();
    store.take_in(&arrivals, false, now()).await.unwrap();
    for digest in ["a", "b", "c"] {
        let sql = format!(
            "INSERT INTO digests (id, newsletter, cadence, slot, cut_off, state, created_at, page, revision, segment) \
             VALUES ('{digest}', 'news', 'daily', 0, 0, 'sent', 0, '', 0, '{digest}') RETURNING id"
        );
        lantern.rows(&sql).await;
    }
    let mut ids = vec![];
    for (number, (person, arrival)) in people.iter().zip(&arrivals).enumerate() {
        let who = lantern.who(&format!("reader{number}@reader.example")).await;
        ids.push(who);
        for (kind, times) in [(ReportKind::SoftBounce, person.bounces), (ReportKind::Complaint, person.complaints)] {
            for time in 0..times {
                let sql = format!(
                    "INSERT INTO reports (id, subscriber, address_hash, kind, text, created_at) \
                     VALUES ('{who}-{}-{time}', '{who}', '{}', '{}', '', {time}) RETURNING id",
                    kind.as_str(),
                    arrival.address_hash,
                    kind.as_str()
                );
                lantern.rows(&sql).await;
            }
        }
        if let Some(at) = person.delivered_at {
            for (digest, state, at) in
                [("a", "sent", at - TimeDelta::days(3)), ("b", "sent", at), ("c", "refused", now())]
            {
                let sql = format!(
                    "INSERT INTO deliveries (digest, subscriber, cursor_from, state, due_at, attempts, settled_at) \
                     VALUES ('{digest}', '{who}', 0, '{state}', 0, 1, {}) RETURNING digest",
                    at.timestamp_millis()
                );
                lantern.rows(&sql).await;
            }
        }
    }
    ids
}

async fn sql_selects_whom_the_rules_select(url: String) {
    const PEOPLE: usize = 60;
    const SELECTIONS: usize = 400;
    let feeds = FEEDS.map(|name| (name, NEWS.to_owned())).into();
    let lantern = Lantern::open(&url, Setup { feeds, ..Setup::default() }).await;
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let people: Vec<Person> = (0..PEOPLE).map(|_| a_person().new_tree(&mut runner).unwrap().current()).collect();
    let ids = settle(&lantern, &people).await;
    let (store, setting) = (&lantern.publication.store, lantern.publication.setting());
    let (mut selected, mut left_out) = (0, 0);
    for _ in 0..SELECTIONS {
        let whom = a_selection().new_tree(&mut runner).unwrap().current();
        let meant: BTreeSet<SubscriberId> =
            people.iter().zip(&ids).filter_map(|(person, who)| whom.takes(person, &setting).then_some(*who)).collect();
        let found: BTreeSet<SubscriberId> = store.those_in(&whom, &setting, &ids).await.unwrap().into_iter().collect();
        for (person, who) in people.iter().zip(&ids) {
            assert_eq!(found.contains(who), meant.contains(who), "{whom:#?}\n{person:#?}");
        }
        assert_eq!(store.count_in(&whom, &setting).await.unwrap(), meant.len() as u64, "{whom:?}");
        let first: Vec<_> = meant.iter().copied().take(10).collect();
        assert_eq!(store.first_in(&whom, &setting, 10).await.unwrap(), first, "{whom:?}");
        let readers = store.readers_in(&news(), &whom, &setting).await.unwrap();
        let is_reader = |person: &Person| {
            !person.is_suppressed
                && person.subscriptions.iter().any(|one| one.feed == news() && one.state == SubscriptionState::Active)
        };
        let expected = people.iter().filter(|person| is_reader(person) && whom.takes(person, &setting)).count();
        assert_eq!(readers.iter().map(|group| group.readers).sum::<u64>(), expected as u64, "{whom:?}");
        selected += meant.len();
        left_out += ids.len() - meant.len();
    }
    assert!(
        selected > 2000 && left_out > 2000,
        "{selected} selected, {left_out} left out: the rules select too little"
    );
}

/// A publication whose readers in Lisbon are a segment.
async fn with_segment(url: &str) -> Lantern {
    let mut lantern = Lantern::open(url, Setup { archive: vec!["old"], ..Setup::default() }).await;
    fs::create_dir(lantern.folder.path().join("segments")).unwrap();
    let text = "title = \"In Lisbon\"\n[select]\nattribute.city = \"Lisbon\"\n";
    fs::write(lantern.folder.path().join("segments/lisbon.toml"), text).unwrap();
    let publication = lantern.again().await;
    assert!(publication.segment_problems.is_empty(), "{:?}", publication.segment_problems);
    for number in 0..6 {
        let who = lantern.reader(&format!("reader{number}@reader.example"), Cadence::Daily, None).await;
        if number < 2 {
            let city = Attributes::parse(r#"{"city": "Lisbon"}"#).unwrap();
            publication.store.change_attributes(who, &city, &[]).await.unwrap().unwrap();
        }
    }
    lantern.publication = publication;
    lantern
}

async fn a_digest_for_a_segment_is_had_by_its_people_alone_and_once(url: String) {
    let lantern = Box::pin(with_segment(&url)).await;
    let publication = &lantern.publication;
    let (feed, letter) = newsletter(publication, "news").unwrap();
    let lisbon = publication.segments.first();
    lantern.pass(TimeDelta::minutes(5));
    lantern.release(&["one"]).await;
    let plan = plan_now(publication, feed, letter, None, lisbon, None).await.unwrap();
    assert_eq!((plan.readers(), plan.articles.len()), (2, 1));
    let again = lantern.again().await;
    // Said by two at once, it is one digest.
    let (here, there) =
        tokio::join!(compose(publication, &plan, DigestState::Sending), compose(&again, &plan, DigestState::Sending));
    let ((digest, is_ours), (same, is_theirs)) = (here.unwrap(), there.unwrap());
    assert!(is_ours != is_theirs && digest.id == same.id);
    assert_eq!(digest.key.segment.as_ref().map(SegmentName::as_str), Some("lisbon"));
    assert_eq!(publication.store.tally(digest.id).await.unwrap().total(), 2);
    let plan = plan_now(publication, feed, letter, None, lisbon, None).await.unwrap();
    assert_eq!((plan.readers(), plan.existing.map(|digest| digest.id)), (0, Some(digest.id)), "nobody gets it twice");
    // The others miss nothing, and those who had it do not get it again.
    let (rest, is_new) = lantern.compose().await.unwrap();
    assert!(is_new && rest.key.segment.is_none() && rest.key.slot == digest.key.slot);
    assert_eq!(publication.store.tally(rest.id).await.unwrap().total(), 4);
    assert_eq!(lantern.dispatch().await.sent, 6);
    // Its page is for those who have its address; the archive has what went to everyone.
    let listed = publication.store.archive(&feed.name, None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|digest| digest.id).collect::<Vec<_>>(), [rest.id]);
    assert_ne!(digest.page, rest.page);
    publish(publication, false, &|_, _| {}).await.unwrap();
    let public = |path: &str| fs::read_to_string(lantern.folder.path().join("public/digests/news").join(path)).unwrap();
    assert!(public(&format!("{}/index.html", digest.page)).contains("one"));
    for list in ["index.html", "atom.xml", &format!("{}/index.html", &rest.page[..4])] {
        let (theirs, everyones) = (format!("/{}/", digest.page), format!("/{}/", rest.page));
        assert!(public(list).contains(&everyones) && !public(list).contains(&theirs), "{list}");
    }
    lantern.pass(TimeDelta::minutes(5));
    lantern.release(&["two"]).await;
    let (all, _) = lantern.compose().await.unwrap();
    assert_eq!(publication.store.tally(all.id).await.unwrap().total(), 6);
    // A digest to a segment that is cancelled gives its articles back.
    lantern.pass(TimeDelta::minutes(5));
    lantern.release(&["three"]).await;
    let plan = plan_now(publication, feed, letter, None, lisbon, None).await.unwrap();
    let held = DigestState::Held { why: "for a yes".into(), until: None };
    let (third, _) = compose(publication, &plan, held).await.unwrap();
    let waiting = plan_now(publication, feed, letter, None, None, None).await.unwrap();
    assert_eq!(waiting.readers(), 4, "who waits for one gets no other before");
    publication.store.cancel_digest(third.id, lantern.now()).await.unwrap();
    let waiting = plan_now(publication, feed, letter, None, None, None).await.unwrap();
    assert_eq!(waiting.readers(), 6);
}

async fn attributes_come_in_are_changed_and_go_out_as_they_were(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    let how = Import {
        file: "list.csv",
        default_feed: Some((news(), Cadence::Daily)),
        dry_run: false,
        overwrite: false,
        lists: &[],
    };
    let read = async |how: &Import<'_>, text: &str| {
        import(&lantern.publication, how, text.as_bytes(), &|_, _| {}).await.unwrap()
    };
    let text = "address,attribute.City,attribute.visits,attribute.zip,attributes\n\
        ann@reader.example,Port Example,7,01234,\"{\"\"plan\"\": \"\"free\"\", \"\"City\"\": \"\"x\"\"}\"\n\
        ben@reader.example,,,,\ncid@reader.example,=1+1,1.5,true,{\ndora@reader.example,\"'=1+1\",,,\n";
    let report = read(&how, text).await;
    assert_eq!((report.subscribers, report.faulty), (3, 1), "{report:?}");
    assert!(report.problems[0].to_string().contains("list.csv:4: attributes are no JSON object"), "{report:?}");
    let rows = "SELECT address, attributes FROM subscribers ORDER BY address";
    let expected = [
        ["ann@reader.example", r#"{"City":"Port Example","plan":"free","visits":7,"zip":"01234"}"#],
        ["ben@reader.example", ""],
        ["dora@reader.example", r#"{"City":"=1+1"}"#],
    ];
    assert_eq!(lantern.rows(rows).await, expected);
    for form in [Form::Csv, Form::Json] {
        let mut bytes = vec![];
        export(&lantern.publication, &Which::default(), form, &mut bytes).await.unwrap();
        lantern.rows("DELETE FROM subscribers WHERE '' = '' RETURNING ''").await;
        lantern.rows("DELETE FROM subscriptions WHERE '' = '' RETURNING ''").await;
        let report = read(&how, std::str::from_utf8(&bytes).unwrap()).await;
        assert_eq!((report.subscribers, report.faulty), (3, 0), "{report:?}");
        assert_eq!(lantern.rows(rows).await, expected);
    }
    let changed = "address,attribute.visits,attribute.plan\nann@reader.example,8,\nben@reader.example,1,paid\n";
    assert_eq!(read(&how, changed).await.changed, 0);
    assert_eq!(lantern.rows(rows).await, expected);
    let overwriting = Import { overwrite: true, ..how.clone() };
    assert_eq!(read(&overwriting, changed).await.changed, 2);
    assert_eq!(read(&overwriting, changed).await.changed, 0, "twice is once");
    let found = lantern.rows(rows).await;
    assert_eq!(found[0][1], r#"{"City":"Port Example","plan":"free","visits":8,"zip":"01234"}"#);
    assert_eq!(found[1][1], r#"{"plan":"paid","visits":1}"#);

    let mailchimp = "Email Address,First Name,MEMBER_RATING,LEID,Phone Number,TAGS,NOTES\n\
        eve@reader.example,Eve,2,1,01234,\"\"\"vip\"\",\"\"early bird\"\"\",secret\n";
    read(&how, mailchimp).await;
    let listmonk = "uuid,email,name,attributes,status\n\
        1,fay@reader.example,Fay,\"{\"\"city\"\": \"\"X\"\", \"\"deep\"\": {\"\"a\"\": 1}}\",enabled\n";
    read(&how, listmonk).await;
    let found = lantern.rows(rows).await;
    assert_eq!(found[3], ["eve@reader.example", r#"{"Phone Number":"01234","tags":["vip","early bird"]}"#]);
    assert_eq!(found[4], ["fay@reader.example", r#"{"city":"X","deep":{"a":1}}"#]);
    let eve = lantern.who("eve@reader.example").await;
    assert!(lantern.publication.store.remove_subscriber(eve).await.unwrap());
    assert_eq!(lantern.count("SELECT COUNT(*) FROM subscribers WHERE attributes LIKE '%vip%'").await, 0);
    let twice = read_fault(&lantern, &how, "address,attribute.a,attribute.a\n").await;
    assert!(twice.contains("comes twice") && twice.contains("hint: "), "{twice}");
}

async fn read_fault(lantern: &Lantern, how: &Import<'_>, text: &str) -> String {
    import(&lantern.publication, how, text.as_bytes(), &|_, _| {}).await.unwrap_err().to_string()
}

async fn whoever_changes_attributes_at_once_loses_none(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    let who = lantern.reader("ann@reader.example", Cadence::Daily, None).await;
    let changes = (0..8).map(|number| {
        let store = lantern.publication.store.clone();
        async move {
            let one = Attributes::parse(&format!("{{\"a{number}\": {number}}}")).unwrap();
            store.change_attributes(who, &one, &[]).await.unwrap().unwrap();
        }
    });
    futures_util::future::join_all(changes).await;
    let store = &lantern.publication.store;
    let known = store.attributes_of(&[who]).await.unwrap().remove(&who).unwrap();
    assert_eq!(known.iter().count(), 8);
    let left =
        store.change_attributes(who, &Attributes::default(), &["a1".into(), "a7".into()]).await.unwrap().unwrap();
    assert_eq!(left.iter().count(), 6);
    let long = Attributes::parse(&format!("{{\"long\": \"{}\"}}", "x".repeat(16_360))).unwrap();
    assert!(store.change_attributes(who, &long, &[]).await.unwrap().is_err(), "within their limits");
    assert_eq!(store.attributes_of(&[who]).await.unwrap()[&who], left);
}
