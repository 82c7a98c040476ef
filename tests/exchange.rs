//! Subscribers in and out as CSV and JSON.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

#[path = "../benches/support/corpus.rs"]
mod corpus;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use corpus::{Malformed, write_subscribers_csv};
use support::publication::{Lantern, NEWS, Setup, news};
use tidings::domain::attributes::Attributes;
use tidings::domain::consent::{Consent, Source};
use tidings::domain::newsletter::Cadence;
use tidings::task::TaskError;
use tidings::task::exchange::{Form, Import, ImportReport, Which, export};

support::engines::for_each_engine! {
    each_faulty_line_of_a_thousand_is_named_and_the_rest_is_taken,
    spreadsheets_write_their_own_csv_and_it_is_read,
    a_line_has_the_number_that_an_editor_shows,
    a_heading_that_cannot_be_meant_is_refused,
    a_line_that_cannot_be_meant_is_named_with_a_remedy,
    nobody_is_revived_and_no_choice_is_changed,
    a_trial_run_changes_nothing,
    what_is_not_on_offer_becomes_the_default_and_is_said,
    an_export_holds_no_formula_and_comes_back_as_it_was,
    who_gets_no_mail_is_not_exported,
    an_export_of_everyone_fills_an_empty_publication_with_the_same,
    what_readers_did_comes_back_with_their_ledger,
    what_other_tools_know_becomes_attributes,
    overwriting_changes_choices_but_brings_nobody_back,
    whoever_left_or_bounced_elsewhere_is_not_made_active,
    a_trial_run_says_line_by_line_what_would_happen,
    every_encoding_and_separator_is_read,
    a_file_that_is_no_list_changes_nothing,
    endless_garbage_is_given_up_early_and_takes_no_room,
    what_was_taken_in_before_a_file_broke_off_is_said,
}

/// The file that everything here is read from.
const LIST: Import<'_> = Import { file: "list.csv", default_feed: None, dry_run: false, overwrite: false, lists: &[] };

/// The same, with a default.
fn with_default() -> Import<'static> {
    Import { default_feed: Some((news(), Cadence::Daily)), ..LIST }
}

async fn read(lantern: &Lantern, text: impl AsRef<[u8]>) -> Result<ImportReport, String> {
    read_as(lantern, &LIST, text).await
}

async fn read_as(lantern: &Lantern, how: &Import<'_>, text: impl AsRef<[u8]>) -> Result<ImportReport, String> {
    let imported = tidings::task::exchange::import(&lantern.publication, how, text.as_ref(), &|_, _| {}).await;
    imported.map_err(|error| match error {
        TaskError::Problems(problems) => problems[0].to_string(),
        other => panic!("{other}"),
    })
}

async fn people(lantern: &Lantern) -> i64 {
    lantern.count("SELECT COUNT(*) FROM subscribers").await
}

async fn each_faulty_line_of_a_thousand_is_named_and_the_rest_is_taken(url: String) {
    let feeds = ["news", "offers", "announcements", "sport", "culture"].map(|name| (name, NEWS.to_owned())).into();
    let lantern = Lantern::open(&url, Setup { feeds, ..Setup::default() }).await;
    let path = lantern.folder.path().join("list.csv");
    let faults = write_subscribers_csv(&path, 1000, 7, 20).unwrap();
    let (offered, faults): (Vec<_>, Vec<_>) =
        faults.into_iter().partition(|(_, kind)| *kind == Malformed::UnknownCadence);
    let text = fs::read(&path).unwrap();
    let report = read(&lantern, &text).await.unwrap();
    let taken = 1000 + offered.len() as u64;
    assert_eq!((report.lines, report.subscribers, report.faulty), (1020, taken, 1020 - taken));
    assert_eq!(report.remarks.iter().map(|remark| remark.line).collect::<Vec<_>>(), lines_of(&offered));
    assert!(report.remarks.iter().all(|remark| remark.what.contains("hourly")), "{:?}", report.remarks);
    let named: Vec<_> = report.problems.iter().map(|problem| problem.line.unwrap()).collect();
    assert_eq!(named, lines_of(&faults));
    for ((line, kind), problem) in faults.iter().zip(&report.problems) {
        assert!(problem.hint.is_some(), "{problem}");
        let words = match kind {
            Malformed::UnknownTimeZone => "Europe/Atlantis",
            Malformed::BadUtf8 => "UTF-8",
            Malformed::TooFewColumns => "2 fields",
            Malformed::TooManyColumns => "6 fields",
            Malformed::NoAtSign | Malformed::EmptyAddress | Malformed::BrokenAddress | Malformed::UnknownCadence => {
                ": "
            }
        };
        assert!(problem.to_string().contains(words), "line {line}, {kind:?}: {problem}");
    }
    assert_eq!(people(&lantern).await, taken.cast_signed());
    assert_eq!(report.subscriptions.cast_signed(), lantern.count("SELECT COUNT(*) FROM subscriptions").await);
    let again = read(&lantern, &text).await.unwrap();
    assert_eq!((again.subscribers, again.subscriptions), (0, 0), "twice is once");
    assert_eq!(again.reasons["known"], taken);
}

fn lines_of(faults: &[(usize, Malformed)]) -> Vec<usize> {
    faults.iter().map(|(line, _)| *line).collect()
}

async fn spreadsheets_write_their_own_csv_and_it_is_read(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    let text = "\u{FEFF}\"E-mail\",\"Full Name\",Notes,Feeds\r\n\
                ann@reader.example,\"Quill,\r\nAnn \"\"A\"\"\",\"two\nlines\",news:weekly\r\n\
                \r\n , , , \r\n\
                ben@reader.example,,,news,,\r\n\
                nobody,,,news\r\n";
    let report = read(&lantern, text).await.unwrap();
    assert_eq!((report.subscribers, report.faulty), (2, 1), "{:?}", report.problems);
    assert_eq!(report.problems[0].line, Some(8), "lines within quotation marks count");
    let ann = lantern.publication.store.subscriber(lantern.who("ann@reader.example").await).await.unwrap().unwrap();
    assert_eq!(ann.name.as_deref(), Some("Quill, Ann \"A\""));
    let cadences = lantern
        .rows("SELECT cadence FROM subscriptions n JOIN subscribers s ON s.id = n.subscriber ORDER BY s.address");
    assert_eq!(cadences.await, [["weekly"], ["daily"]], "the newsletter's default where none is named");
}

async fn a_line_has_the_number_that_an_editor_shows(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    for end in ["\n", "\r\n", "\r"] {
        let lines =
            ["address,name,feeds", "ann,,news", "", "", "\"ben", "\",x,news", " ", "cid,,news", "", "dora,,news"];
        let report = read(&lantern, lines.join(end)).await.unwrap();
        let named: Vec<_> = report.problems.iter().map(|problem| problem.line.unwrap()).collect();
        assert_eq!((named, report.lines), (vec![2, 5, 8, 10], 4), "{end:?}");
    }
}

async fn a_heading_that_cannot_be_meant_is_refused(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    for (text, words) in [
        ("", "holds no text"),
        ("name,feeds\n", "no column \"address\""),
        ("address,email,feeds\n", "comes twice"),
        ("address,name,name\n", "comes twice"),
        ("address,time_zome\n", "did you mean time_zone?"),
    ] {
        let said = read(&lantern, text).await.unwrap_err();
        assert!(said.contains(words) && said.contains("hint: "), "{said}");
    }
}

async fn a_line_that_cannot_be_meant_is_named_with_a_remedy(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    let long = "x".repeat(70_000);
    for (line, words) in [
        ("ann@reader.example,,nwes:daily", "there is no newsletter \"nwes\""),
        ("ann@reader.example,,", "no feed is named"),
        ("ann@reader.example,Quill, Ann,news", "4 fields where the first line has 3"),
        ("\"ann@reader.example\nBcc: all@reader.example\",,news", "ann@reader.example\\nBcc"),
        (&format!("ann@reader.example,\"{long},news"), "longer than 65536 bytes"),
    ] {
        let report = read(&lantern, format!("address,name,feeds\n{line}\n")).await.unwrap();
        assert_eq!((report.faulty, report.subscribers), (1, 0), "{line}");
        let said = report.problems[0].to_string();
        assert!(said.starts_with("list.csv:2: ") && said.contains(words) && said.contains("hint: "), "{said}");
    }
    assert_eq!(people(&lantern).await, 0);
}

async fn nobody_is_revived_and_no_choice_is_changed(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    let store = &lantern.publication.store;
    let left = lantern.reader("left@reader.example", Cadence::Daily, None).await;
    store.leave(left, None, lantern.now()).await.unwrap();
    lantern.reader("keeps@reader.example", Cadence::Weekly, None).await;
    let hash = lantern.publication.keyring.address_hash("banned@reader.example");
    store.suppress(&hash, "complaint", "spam", lantern.now()).await.unwrap();
    let text = "address,feeds\nleft@reader.example,news:daily\nkeeps@reader.example,news:daily\n\
                Banned@reader.example,news:daily\nnew@reader.example,news:daily\nNEW@reader.example,news:weekly\n";
    let report = read(&lantern, text).await.unwrap();
    assert_eq!((report.subscribers, report.subscriptions, report.suppressed), (1, 1, 1));
    let rows = lantern.rows(
        "SELECT s.address, n.cadence, n.state FROM subscriptions n JOIN subscribers s ON s.id = n.subscriber ORDER BY s.address",
    );
    assert_eq!(
        rows.await,
        [
            ["keeps@reader.example", "weekly", "active"],
            ["left@reader.example", "daily", "ended"],
            ["new@reader.example", "daily", "active"]
        ]
    );
}

async fn a_trial_run_changes_nothing(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    let text = "address\nann@reader.example\nben\n";
    let report = read_as(&lantern, &Import { dry_run: true, ..with_default() }, text).await.unwrap();
    assert_eq!((report.lines, report.faulty, report.subscribers), (2, 1, 1));
    assert_eq!(people(&lantern).await, 0);
}

/// What an export holds, by address.
async fn exported(lantern: &Lantern) -> BTreeMap<String, Vec<String>> {
    let mut text = vec![];
    export(&lantern.publication, &Which::default(), Form::Csv, &mut text).await.unwrap();
    let rows = csv::Reader::from_reader(&*text).into_records().map(|row| row.unwrap());
    rows.map(|row| (row[0].to_owned(), row.iter().map(str::to_owned).collect())).collect()
}

async fn what_is_not_on_offer_becomes_the_default_and_is_said(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    let text = "address,feeds\nann@reader.example,news:sometimes\nben@reader.example,nwes:weekly\n\
                cid@reader.example,nwes;news:weekly\n";
    let report = read_as(&lantern, &with_default(), text).await.unwrap();
    assert_eq!((report.subscribers, report.subscriptions, report.faulty), (3, 3, 0), "{report:?}");
    let said: Vec<_> = report.remarks.iter().map(|remark| (remark.line, remark.what.as_str())).collect();
    assert_eq!(said.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3, 4]);
    assert!(said[0].1.contains("\"sometimes\"") && said[0].1.ends_with("daily instead"), "{said:?}");
    assert_eq!(said[1].1, "there is no newsletter \"nwes\": news daily instead");
    assert_eq!(said[2].1, "there is no newsletter \"nwes\": left out");
    let cadences = "SELECT n.cadence FROM subscriptions n JOIN subscribers s ON s.id = n.subscriber ORDER BY s.address";
    assert_eq!(lantern.rows(cadences).await, [["daily"], ["daily"], ["weekly"]]);
}

async fn an_export_holds_no_formula_and_comes_back_as_it_was(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    let text = "address,name,language,time_zone,feeds\n\
                =cmd@reader.example,\"=HYPERLINK(\"\"https://evil.example\"\")\",en,Asia/Tokyo,news:weekly\n\
                +1@reader.example,+Ann,,,news:daily\n\
                -2@reader.example,-Ben,,,news:instant\n\
                ''=3@reader.example,''@Cid,,,news:monthly\n\
                dora@reader.example,'Dora',pt,,news:daily\n";
    let report = read(&lantern, text).await.unwrap();
    assert_eq!(report.subscribers, 5, "{:?}", report.problems);
    let names = "SELECT address, name, language, time_zone FROM subscribers ORDER BY address";
    let before = lantern.rows(names).await;
    let written = exported(&lantern).await;
    assert_eq!(written.len(), 5);
    for cell in written.values().flatten() {
        assert!(!cell.starts_with(['=', '+', '-', '@']), "{cell}");
    }
    let mut bytes = vec![];
    export(&lantern.publication, &Which { feed: Some(news()), ..Which::default() }, Form::Csv, &mut bytes)
        .await
        .unwrap();
    for table in ["subscribers", "subscriptions"] {
        lantern.rows(&format!("DELETE FROM {table} WHERE '' = '' RETURNING ''")).await;
    }
    assert_eq!(read(&lantern, bytes).await.unwrap().subscribers, 5);
    assert_eq!(lantern.rows(names).await, before);
    assert_eq!(exported(&lantern).await, written);
}

async fn who_gets_no_mail_is_not_exported(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    lantern.readers(2500).await;
    let left = lantern.who("reader7@reader.example").await;
    lantern.publication.store.leave(left, None, lantern.now()).await.unwrap();
    let hash = lantern.publication.keyring.address_hash("reader8@reader.example");
    lantern.publication.store.suppress(&hash, "refused", "550", lantern.now()).await.unwrap();
    let written = exported(&lantern).await;
    assert_eq!(written.len(), 2498);
    assert!(!written.contains_key("reader7@reader.example") && !written.contains_key("reader8@reader.example"));
}

/// All that is held of everyone.
async fn everything(lantern: &Lantern, form: Form) -> String {
    let mut bytes = vec![];
    export(&lantern.publication, &Which { everyone: true, ..Which::default() }, form, &mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

/// An export without the lines of the ledger that an import makes: they say when something came here, and what is brought
/// back came at another time.
fn without_arrivals(json: &str) -> serde_json::Value {
    let mut people: serde_json::Value = serde_json::from_str(json).unwrap();
    // Who came in one moment has an id of that moment, and stands anywhere among the others.
    people.as_array_mut().unwrap().sort_by_key(|person| person["address"].to_string());
    for person in people.as_array_mut().unwrap() {
        person["consents"].as_array_mut().unwrap().retain(|entry| entry["source"] != "import");
    }
    people
}

async fn an_export_of_everyone_fills_an_empty_publication_with_the_same(url: String) {
    let feeds = ["news", "sport"].map(|name| (name, NEWS.to_owned())).into();
    let lantern = Lantern::open(&url, Setup { feeds, ..Setup::default() }).await;
    let text = "address,name,language,time_zone,feeds,state,created_at,confirmed_at,ended_at,preferred,suppressed\n\
        ann@reader.example,\"=1+1\",en,Asia/Tokyo,news:weekly;sport,active;ended,2024-01-02T03:04:05.678Z,2024-01-03;,;2024-02-01,fri 18:00;,\n\
        ben@reader.example,\"Quill, Ben\",,,news,pending,2026-11-20,,,,\n\
        cid@reader.example,,,,sport:monthly,paused,2025-01-01,2025-01-02,,15,\n\
        dora@reader.example,,,,news:instant,active,2025-01-01,2025-01-02,,,complained\n\
        \u{7528}\u{6237}@reader.example,\u{1F3EE},,,news,,,,,,\n";
    let report = read(&lantern, text).await.unwrap();
    assert_eq!((report.subscribers, report.subscriptions, report.banned), (5, 6, 1), "{report:?}");
    lantern.pass(chrono::TimeDelta::days(1));
    let (csv, json) = (everything(&lantern, Form::Csv).await, everything(&lantern, Form::Json).await);
    assert!(
        csv.contains("news:weekly;sport:daily,active;ended,2024-01-02T03:04:05.678Z;2024-01-02T03:04:05.678Z"),
        "{csv}"
    );
    assert!(csv.contains(",fri 18:00;,") && csv.contains(",15,"), "{csv}");
    assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&json).unwrap().len(), 5);
    for copy in [&csv, &json] {
        for table in ["subscribers", "subscriptions", "suppressions"] {
            lantern.rows(&format!("DELETE FROM {table} WHERE '' = '' RETURNING ''")).await;
        }
        let report = read(&lantern, copy).await.unwrap();
        assert_eq!((report.subscribers, report.faulty), (5, 0), "{report:?}");
        assert_eq!(everything(&lantern, Form::Csv).await, csv);
        assert_eq!(without_arrivals(&everything(&lantern, Form::Json).await), without_arrivals(&json));
    }
    let again = read(&lantern, &csv).await.unwrap();
    assert_eq!((again.subscribers, again.suppressed, again.reasons["known"]), (0, 1, 4));
}

async fn what_readers_did_comes_back_with_their_ledger(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    let store = &lantern.publication.store;
    let ann = lantern.reader("ann@reader.example", Cadence::Daily, Some("Asia/Tokyo")).await;
    let form = Consent {
        text_version: Some("0f3a".into()),
        ip: Some("192.0.2.7".parse().unwrap()),
        ..Consent::new(Source::Form, lantern.now())
    };
    lantern.pass(chrono::TimeDelta::hours(1));
    store.leave(ann, None, lantern.now()).await.unwrap();
    let until = lantern.now() + chrono::TimeDelta::days(40);
    let ben = lantern.reader("ben@reader.example", Cadence::Weekly, None).await;
    store.set_language(ben, Some("ar")).await.unwrap();
    store.pause(ben, until, Consent { at: lantern.now(), ..form.clone() }).await.unwrap();
    let cid = lantern.reader("cid@reader.example", Cadence::Daily, None).await;
    let attributes = Attributes::parse(r#"{"city": "Port Example", "tags": ["=a", "b;-c"], "vip": true, "n": 2.5}"#);
    store.change_attributes(cid, &attributes.unwrap(), &[]).await.unwrap().unwrap();
    lantern.pass(chrono::TimeDelta::days(1));
    let (csv, json) = (everything(&lantern, Form::CsvWithConsents).await, everything(&lantern, Form::Json).await);
    assert!(json.contains("\"0f3a\"") && json.contains("192.0.2.7") && csv.contains("192.0.2.7"), "{json}\n{csv}");
    let people = |json: &str| serde_json::from_str::<Vec<serde_json::Value>>(json).unwrap().len();
    assert_eq!(people(&json), 3);
    // Once more from what came back: lines of the import are lines of the ledger then.
    for (round, copy) in [&csv, &json, &json].into_iter().enumerate() {
        for table in ["subscribers", "subscriptions", "suppressions", "consents"] {
            lantern.rows(&format!("DELETE FROM {table} WHERE '' = '' RETURNING ''")).await;
        }
        lantern.pass(chrono::TimeDelta::hours(1));
        let trial = read_as(&lantern, &Import { dry_run: true, ..LIST }, copy).await.unwrap();
        let report = read(&lantern, copy).await.unwrap();
        assert_eq!((report.subscribers, report.faulty, &report.problems), (3, 0, &vec![]), "{round}");
        assert_eq!((trial.subscribers, trial.attributes["tags"]), (3, 1), "{trial:?}");
        let back = everything(&lantern, Form::Json).await;
        assert!(!json.contains("\"import\""), "nothing of it is set aside: {json}");
        assert_eq!(without_arrivals(&back), without_arrivals(&json), "{round}");
        let again = read(&lantern, copy).await.unwrap();
        assert_eq!((again.subscribers, again.subscriptions, again.reasons["known"]), (0, 0, 3));
        assert_eq!(everything(&lantern, Form::Json).await, back, "twice is once");
    }
    // A pause that is over ends by itself, wherever it came from.
    assert_eq!(store.resume_due(until).await.unwrap(), 1);
    let wrong = json.replacen("\"source\":\"form\"", "\"source\":\"rumour\"", 1);
    assert!(read(&lantern, wrong).await.unwrap().problems[0].what.contains("unknown source"));
}

/// Exports of other tools, the columns that hold several values, and what is known of the first person then.
const KNOWN_ELSEWHERE: [(&str, &[&str], &str); 5] = [
    (
        "id,email,name,note,subscribed_to_emails,complimentary_plan,stripe_customer_id,created_at,deleted_at,labels,tiers\n\
         1,ann@reader.example,Ann,\"met, twice\",true,false,cus_1,2024-01-15T10:00:00.000Z,,\"vip,Founding member\",Silver\n\
         2,ben@reader.example,Ben,,true,,,2024-01-15T10:00:00.000Z,,,\n",
        &[],
        r#"{"complimentary_plan":false,"labels":["vip","Founding member"],"note":"met, twice","tiers":["Silver"]}"#,
    ),
    (
        "email_address,notes,metadata,tags,type,creation_date,secondary_id\n\
         ann@reader.example,1984,\"{\"\"city\"\": \"\"Port Example\"\", \"\"age\"\": 41, \"\"notes\"\": \"\"x\"\"}\",\"harbour, history\",regular,2024-01-15T10:00:00Z,7\n",
        &[],
        r#"{"age":41,"city":"Port Example","notes":1984,"tags":["harbour","history"]}"#,
    ),
    (
        "[{\"email_address\": \"ann@reader.example\", \"creation_date\": \"2024-01-15T10:00:00Z\", \"type\": \"regular\", \
         \"tags\": [\"harbour\"], \"metadata\": {\"vip\": true}, \"notes\": \"\"}]",
        &[],
        r#"{"notes":"","tags":["harbour"],"vip":true}"#,
    ),
    (
        "Email Address,First Name,Topics,City,MEMBER_RATING,OPTIN_TIME,LEID,TAGS\n\
         ann@reader.example,Ann,\"Boats\\, old, Lights\",\"Port Example, North\",2,2024-03-14 09:12:31,1,\"\"\"vip\"\",\"\"2024\"\"\"\n",
        &["topics"],
        r#"{"City":"Port Example, North","Topics":["Boats, old","Lights"],"tags":["vip","2024"]}"#,
    ),
    (
        "uuid,email,name,attributes,status,created_at,updated_at\n\
         1,ann@reader.example,Ann,\"{\"\"city\"\": \"\"X\"\", \"\"of\"\": {\"\"a\"\": [1, true]}}\",enabled,2024-03-14 09:12:31 +0000 UTC,\n",
        &[],
        r#"{"city":"X","of":{"a":[1,true]}}"#,
    ),
];

async fn what_other_tools_know_becomes_attributes(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    for (text, lists, known) in KNOWN_ELSEWHERE {
        for table in ["subscribers", "subscriptions"] {
            lantern.rows(&format!("DELETE FROM {table} WHERE '' = '' RETURNING ''")).await;
        }
        let lists: Vec<String> = lists.iter().map(|&list| list.to_owned()).collect();
        let how = Import { lists: &lists, ..with_default() };
        let trial = read_as(&lantern, &Import { dry_run: true, ..how.clone() }, text).await.unwrap();
        let report = read_as(&lantern, &how, text).await.unwrap();
        assert_eq!((report.faulty, &report.attributes), (0, &trial.attributes), "{report:?}");
        let rows = "SELECT attributes FROM subscribers WHERE address = 'ann@reader.example'";
        let found = Attributes::parse(&lantern.rows(rows).await[0][0]).unwrap();
        assert_eq!(found, Attributes::parse(known).unwrap());
        let named: Vec<&str> = report.attributes.keys().map(String::as_str).collect();
        assert_eq!(named, found.iter().map(|(name, _)| name).collect::<Vec<_>>());
    }
    let how = Import { lists: &["Topics".to_owned()], ..with_default() };
    let refused = read_as(&lantern, &how, "address\nann@reader.example\n").await.unwrap_err();
    assert!(refused.contains("no column \"Topics\"") && refused.contains("hint: there are address"), "{refused}");
}

async fn overwriting_changes_choices_but_brings_nobody_back(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    let store = &lantern.publication.store;
    let left = lantern.reader("left@reader.example", Cadence::Daily, None).await;
    store.leave(left, None, lantern.now()).await.unwrap();
    lantern.reader("ann@reader.example", Cadence::Daily, Some("Asia/Tokyo")).await;
    lantern.reader("same@reader.example", Cadence::Weekly, None).await;
    let hash = lantern.publication.keyring.address_hash("banned@reader.example");
    store.suppress(&hash, "complained", "spam", lantern.now()).await.unwrap();
    let text = "address,name,time_zone,feeds\nleft@reader.example,,,news:weekly\nann@reader.example,Ann,,news:weekly\n\
                same@reader.example,,,news:weekly\nbanned@reader.example,,,news:weekly\n";
    let overwriting = Import { overwrite: true, ..LIST };
    let told = read_as(&lantern, &Import { dry_run: true, ..overwriting.clone() }, text).await.unwrap();
    assert_eq!((told.changed, told.suppressed), (1, 1), "{told:?}");
    let report = read_as(&lantern, &overwriting, text).await.unwrap();
    assert_eq!(
        (report.changed, report.subscribers, report.suppressed),
        (2, 0, 1),
        "the name and the cadence: {report:?}"
    );
    let rows = "SELECT s.address, s.name, n.time_zone, n.cadence, n.state FROM subscriptions n \
                JOIN subscribers s ON s.id = n.subscriber ORDER BY s.address";
    assert_eq!(
        lantern.rows(rows).await,
        [
            ["ann@reader.example", "Ann", "Asia/Tokyo", "weekly", "active"],
            ["left@reader.example", "", "", "daily", "ended"],
            ["same@reader.example", "", "", "weekly", "active"],
        ]
    );
    assert_eq!(read_as(&lantern, &overwriting, text).await.unwrap().changed, 0, "twice is once");
    let moved = "address,time_zone,feeds\nann@reader.example,Europe/Berlin,news:weekly\n";
    read_as(&lantern, &overwriting, moved).await.unwrap();
    assert_eq!(lantern.rows(rows).await[0][2], "Europe/Berlin", "the clock of a subscription is its reader's");
}

/// Exports of other tools: the file's name, its text, who is active then, how many are banned.
const ELSEWHERE: [(&str, &str, &[&str], u64); 7] = [
    (
        "subscribers.csv",
        "uuid,email,name,attributes,status,created_at,updated_at\n\
         1,ann@reader.example,Ann,\"{\"\"city\"\": \"\"X\"\"}\",enabled,2024-03-14 09:12:31.5 +0000 UTC,2024-03-14 09:12:31.5 +0000 UTC\n\
         2,ben@reader.example,Ben,{},disabled,2024-03-14 09:12:31 +0000 UTC,\n\
         3,cid@reader.example,Cid,{},blocklisted,2024-03-14 09:12:31 +0000 UTC,\n",
        &["ann@reader.example"],
        1,
    ),
    (
        "subscribed_email_audience_export_1.csv",
        "Email Address,First Name,Last Name,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,TIMEZONE,UNSUB_REASON,UNSUB_TIME,LEID,TAGS\n\
         ann@reader.example,Ann,Quill,2,2024-03-14 09:12:31,192.0.2.1,2024-03-14 09:14:00,America/Los_Angeles,,,1,\"\"\"vip\"\"\"\n\
         ben@reader.example,Ben,,2,,,,Nowhere,Normal,2024-04-01 00:00:00,2,\n\
         cid@reader.example,Cid,,2,,,,,Abuse,2024-04-01 00:00:00,3,\n",
        &["ann@reader.example"],
        1,
    ),
    (
        "exports/cleaned_email_audience_export_1.csv",
        "Email Address,First Name,Last Name,MEMBER_RATING,CLEAN_TIME,CLEAN_CAMPAIGN_TITLE,LEID\n\
         ann@reader.example,Ann,Quill,2,2024-03-14 09:12:31,March,1\n",
        &[],
        1,
    ),
    (
        "unsubscribed_email_audience_export_1.csv",
        "Email Address,First Name,Last Name,MEMBER_RATING,LEID\nann@reader.example,Ann,Quill,2,1\n",
        &[],
        0,
    ),
    (
        "members.csv",
        "id,email,name,note,subscribed_to_emails,complimentary_plan,stripe_customer_id,created_at,deleted_at,labels,tiers\n\
         1,ann@reader.example,Ann,early,true,false,,2024-01-15T10:00:00.000Z,,vip,\n\
         2,ben@reader.example,Ben,,false,,,2024-01-15T10:00:00.000Z,,,\n\
         3,cid@reader.example,Cid,,true,,,2024-01-15T10:00:00.000Z,2024-02-15T10:00:00.000Z,,\n",
        &["ann@reader.example"],
        0,
    ),
    (
        "email_list.csv",
        "email,active_subscription,expiry,plan,email_disabled,created_at,first_payment_at\n\
         ann@reader.example,false,,other,false,2024-01-15T10:00:00.000Z,\n\
         ben@reader.example,true,,yearly,true,2024-01-15T10:00:00.000Z,\n",
        &["ann@reader.example"],
        0,
    ),
    (
        "subscribers.csv",
        "email_address,notes,tags,type,creation_date,unsubscription_date,undeliverability_date\n\
         ann@reader.example,,,regular,2024-01-15T10:00:00Z,,\n\
         ben@reader.example,,,unsubscribed,2024-01-15T10:00:00Z,2024-02-01,\n\
         cid@reader.example,,,unactivated,2024-01-15T10:00:00Z,,\n\
         dora@reader.example,,,undeliverable,2024-01-15T10:00:00Z,,2024-02-01\n\
         eve@reader.example,,,whatever,2024-01-15T10:00:00Z,,\n",
        &["ann@reader.example"],
        1,
    ),
];

async fn whoever_left_or_bounced_elsewhere_is_not_made_active(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    for (file, text, active, banned) in ELSEWHERE {
        for table in ["subscribers", "subscriptions", "suppressions"] {
            lantern.rows(&format!("DELETE FROM {table} WHERE '' = '' RETURNING ''")).await;
        }
        let report = read_as(&lantern, &Import { file, ..with_default() }, text).await.unwrap();
        assert_eq!(report.faulty, 0, "{file}: {report:?}");
        assert!(report.tool.name().is_some(), "{file}: {report:?}");
        assert_eq!((report.subscribers, report.banned), (active.len() as u64, banned), "{file}: {report:?}");
        let said: u64 = report.reasons.values().sum();
        assert_eq!(report.subscribers + said, report.lines, "each line has its reason: {report:?}");
        let rows =
            "SELECT s.address FROM subscriptions n JOIN subscribers s ON s.id = n.subscriber WHERE n.state = 'active'";
        assert_eq!(lantern.rows(rows).await.concat(), *active, "{file}");
        assert_eq!(lantern.count("SELECT COUNT(*) FROM suppressions").await, banned.cast_signed());
        let created = lantern.rows("SELECT created_at FROM subscribers WHERE created_at >= 1773000000000").await;
        assert!(created.is_empty(), "{file}: when somebody came there is when they came: {created:?}");
    }
}

async fn a_trial_run_says_line_by_line_what_would_happen(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    lantern.reader("ann@reader.example", Cadence::Weekly, None).await;
    let text = "address,feeds,status\nann@reader.example,news:daily,\nben@reader.example,news,\n\
                Ben@reader.example,news,\ncid@reader.example,news,unsubscribed\ndora@reader.example,news,bounced\n";
    let report = read_as(&lantern, &Import { dry_run: true, ..LIST }, text).await.unwrap();
    let mut said: Vec<_> = report.remarks.iter().map(|remark| (remark.line, remark.reason)).collect();
    said.sort_unstable();
    assert_eq!(said, [(2, "known"), (4, "twice in the file"), (5, "left there"), (6, "banned there")]);
    assert!(
        report.remarks.iter().any(|remark| remark.what.ends_with("is known: news weekly (active) stays")),
        "{report:?}"
    );
    assert_eq!((report.subscribers, report.subscriptions, report.banned, report.lines), (1, 1, 1, 5));
    assert_eq!(lantern.count("SELECT COUNT(*) FROM suppressions").await, 0);
    let done = read(&lantern, text).await.unwrap();
    assert_eq!((done.subscribers, done.subscriptions, done.banned, &done.reasons), (1, 1, 1, &report.reasons));
}

async fn every_encoding_and_separator_is_read(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    for (at, separator) in [",", ";", "\t"].into_iter().enumerate() {
        let text = format!("address|name|feeds\r\nzoe{at}@reader.example|Zo\u{eb} Quill|\"news:daily;news\"\r\n")
            .replace('|', separator);
        let units: Vec<u16> = text.encode_utf16().collect();
        let windows = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect::<Vec<u8>>();
        for bytes in [
            units.iter().flat_map(|unit| unit.to_le_bytes()).collect(),
            [0xFEFF].iter().chain(&units).flat_map(|unit: &u16| unit.to_le_bytes()).collect(),
            [0xFEFF].iter().chain(&units).flat_map(|unit: &u16| unit.to_be_bytes()).collect(),
            windows,
            [b"\xEF\xBB\xBF", text.as_bytes()].concat(),
        ] {
            lantern.rows("DELETE FROM subscribers WHERE '' = '' RETURNING ''").await;
            let report = read(&lantern, bytes).await.unwrap();
            assert_eq!((report.subscribers, report.faulty), (1, 0), "{report:?}");
            assert_eq!(lantern.rows("SELECT name FROM subscribers").await, [["Zo\u{eb} Quill"]]);
        }
    }
}

async fn a_file_that_is_no_list_changes_nothing(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    let garbage: String = "x\u{1}?;!\n".repeat(5000);
    for (text, words) in [
        (garbage.clone(), "no column \"address\""),
        (
            format!("address\n{garbage}"),
            "list.csv:1001: the 1000 lines up to this one all have faults; nothing was taken in",
        ),
        (format!("address\n{}", "ann@reader.example\n".repeat(3) + "\0\0"), "list.csv:5: a byte of zero stands here"),
        (format!("address\n{}", "x".repeat(9 << 20)), "list.csv:2: the line is longer than 8 MiB"),
        ("[{\"address\": \"ann@reader.example\"},".into(), ""),
        ("[{\"address\": \"ann@reader.example\"}, 17]".into(), "list.csv:1: no object stands here"),
        ("PK\u{3}\u{4}\0\0".into(), "a byte of zero"),
    ] {
        let before = people(&lantern).await;
        match read_as(&lantern, &with_default(), &text).await {
            Ok(_) => assert_eq!(words, "", "{}", &text[..text.len().min(60)]),
            Err(said) => {
                assert!(!words.is_empty() && said.contains(words) && said.contains("hint: "), "{said}");
                assert_eq!(people(&lantern).await, before);
            }
        }
    }
    let nameless = format!("address,name\n{}ann@reader.example,\n", ",Ann\n".repeat(1500));
    let report = read_as(&lantern, &Import { dry_run: true, ..with_default() }, nameless).await.unwrap();
    assert_eq!(
        (report.faulty, report.problems.len()),
        (1500, 1000),
        "lists of customers have people without an address"
    );
    let many = (0..25_000).map(|number| format!("reader{number}@reader.example\n")).collect::<Vec<_>>().concat();
    let before = people(&lantern).await;
    let said = read_as(&lantern, &with_default(), format!("address\n{many}{garbage}")).await.unwrap_err();
    let taken = people(&lantern).await - before;
    assert!(taken >= 15_000 && said.contains(&format!("the lines well before it are taken in, {taken} new")), "{said}");
}

/// A file that is made as it is read: a beginning, then the same over and over again, then maybe a fault of the disk.
struct Made<'a> {
    beginning: &'a [u8],
    repeated: &'a [u8],
    left: usize,
    breaks: bool,
    at: usize,
    read: &'a AtomicUsize,
}

impl std::io::Read for Made<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            return if self.breaks { Err(std::io::Error::other("the disk is broken")) } else { Ok(0) };
        }
        let size = out.len().min(self.left);
        for place in &mut out[..size] {
            *place = match self.beginning.get(self.at) {
                Some(byte) => *byte,
                None => self.repeated[(self.at - self.beginning.len()) % self.repeated.len()],
            };
            self.at += 1;
        }
        self.left -= size;
        self.read.fetch_add(size, Ordering::Relaxed);
        Ok(size)
    }
}

/// Imports such a file: what is said, and how many bytes of it were read.
async fn made(lantern: &Lantern, beginning: &[u8], repeated: &[u8], left: usize, breaks: bool) -> (String, usize) {
    let read = AtomicUsize::new(0);
    let input = Made { beginning, repeated, left, breaks, at: 0, read: &read };
    let how = with_default();
    let imported = tidings::task::exchange::import(&lantern.publication, &how, input, &|_, _| {}).await;
    (imported.unwrap_err().to_string(), read.load(Ordering::Relaxed))
}

async fn endless_garbage_is_given_up_early_and_takes_no_room(url: String) {
    const ENDLESS: usize = 200 << 20;
    /// What may be read of it: the longest line there is, and a little.
    const EARLY: usize = 12 << 20;
    let lantern = Lantern::open(&url, Setup::default()).await;
    for (beginning, repeated, words) in [
        ("", "x", "longer than 8 MiB"),
        ("", "\n", "nothing stands in the 8 MiB"),
        ("", "\0", "a byte of zero"),
        ("", "\u{FFFD}?;\u{1}\n", "no column \"address\""),
        ("address\n", "?\n", "1000 lines up to this one"),
        ("address\n", "\"", "longer than 8 MiB"),
        ("address\n", "\"a\n", "1000 lines up to this one"),
        ("address,name\n", " \t\n", "nothing stands in the 8 MiB"),
        ("[", ",", "nothing stands in the 8 MiB"),
        ("[", "{\"a\":", "longer than 4194304 bytes"),
        ("[{\"address\": \"ann@reader.example\"}", "]", "nothing stands in the 8 MiB"),
        ("{\"address\": \"x\"}\n", "{\n", "1000 lines up to this one"),
        ("{\"address\": \"x\"}\n", "x", "longer than 8 MiB"),
    ] {
        let (said, read) = made(&lantern, beginning.as_bytes(), repeated.as_bytes(), ENDLESS, false).await;
        assert!(said.contains(words) && said.contains("hint: "), "{beginning:?} {repeated:?}: {said}");
        assert!(read <= EARLY, "{beginning:?} {repeated:?}: {read} bytes");
    }
    assert_eq!(people(&lantern).await, 0);
}

async fn what_was_taken_in_before_a_file_broke_off_is_said(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    let list = (0..30_000).map(|number| format!("reader{number}@reader.example\n")).collect::<Vec<_>>().concat();
    let text = format!("address\n{list}");
    let (said, _) = made(&lantern, text.as_bytes(), b"x", text.len(), true).await;
    assert!(said.contains("list.csv:30002: the file cannot be read any further: the disk is broken"), "{said}");
    let taken = people(&lantern).await;
    let new = format!("the lines well before it are taken in, {taken} new subscribers");
    assert!(taken >= 10_000 && said.contains(&new), "{taken}: {said}");
    let again = read_as(&lantern, &with_default(), &text).await.unwrap();
    assert_eq!((again.subscribers.cast_signed(), again.reasons["known"].cast_signed()), (30_000 - taken, taken));
}
