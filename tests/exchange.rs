//! Subscribers in and out as CSV.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

#[path = "../benches/support/corpus.rs"]
mod corpus;
mod support;

use std::collections::BTreeMap;
use std::fs::File;

use corpus::{Malformed, write_subscribers_csv};
use support::publication::{Lantern, NEWS, Setup, news};
use tidings::domain::newsletter::Cadence;
use tidings::task::TaskError;
use tidings::task::exchange::{ImportReport, export, import};

support::engines::for_each_engine! {
    each_faulty_line_of_a_thousand_is_named_and_the_rest_is_taken,
    spreadsheets_write_their_own_csv_and_it_is_read,
    a_line_has_the_number_that_an_editor_shows,
    a_heading_that_cannot_be_meant_is_refused,
    a_line_that_cannot_be_meant_is_named_with_a_remedy,
    nobody_is_revived_and_no_choice_is_changed,
    a_trial_run_changes_nothing,
    an_export_holds_no_formula_and_comes_back_as_it_was,
    who_gets_no_mail_is_not_exported,
}

async fn read(lantern: &Lantern, text: impl AsRef<[u8]>) -> Result<ImportReport, String> {
    let imported = import(&lantern.publication, "list.csv", text.as_ref(), None, false, &|_, _| {}).await;
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
    let file = File::open(&path).unwrap();
    let report = import(&lantern.publication, "list.csv", file, None, false, &|_, _| {}).await.unwrap();
    assert_eq!((report.lines, report.subscribers, report.faulty), (1020, 1000, 20));
    let named: Vec<_> = report.problems.iter().map(|problem| problem.line.unwrap()).collect();
    assert_eq!(named, faults.iter().map(|(line, _)| *line).collect::<Vec<_>>());
    for ((line, kind), problem) in faults.iter().zip(&report.problems) {
        assert!(problem.hint.is_some(), "{problem}");
        let words = match kind {
            Malformed::UnknownTimeZone => "Europe/Atlantis",
            Malformed::UnknownCadence => "hourly",
            Malformed::BadUtf8 => "UTF-8",
            Malformed::TooFewColumns => "2 fields",
            Malformed::TooManyColumns => "6 fields",
            Malformed::NoAtSign | Malformed::EmptyAddress | Malformed::BrokenAddress => ": ",
        };
        assert!(problem.to_string().contains(words), "line {line}, {kind:?}: {problem}");
    }
    assert_eq!(people(&lantern).await, 1000);
    assert_eq!(report.subscriptions.cast_signed(), lantern.count("SELECT COUNT(*) FROM subscriptions").await);
    let again = import(&lantern.publication, "list.csv", File::open(&path).unwrap(), None, false, &|_, _| {});
    let again = again.await.unwrap();
    assert_eq!((again.subscribers, again.subscriptions), (0, 0), "twice is once");
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
        ("ann@reader.example,,news:sometimes", "does not come \"sometimes\""),
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
    let default = Some((news(), Cadence::Daily));
    let report = import(&lantern.publication, "list.csv", text.as_bytes(), default, true, &|_, _| {}).await.unwrap();
    assert_eq!((report.lines, report.faulty), (2, 1));
    assert_eq!(people(&lantern).await, 0);
}

/// What an export holds, by address.
async fn exported(lantern: &Lantern) -> BTreeMap<String, Vec<String>> {
    let mut text = vec![];
    export(&lantern.publication, None, &mut text).await.unwrap();
    let rows = csv::Reader::from_reader(&*text).into_records().map(|row| row.unwrap());
    rows.map(|row| (row[0].to_owned(), row.iter().map(str::to_owned).collect())).collect()
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
    let export = exported(&lantern).await;
    assert_eq!(export.len(), 5);
    for cell in export.values().flatten() {
        assert!(!cell.starts_with(['=', '+', '-', '@']), "{cell}");
    }
    let mut bytes = vec![];
    tidings::task::exchange::export(&lantern.publication, Some(&news()), &mut bytes).await.unwrap();
    for table in ["subscribers", "subscriptions"] {
        lantern.rows(&format!("DELETE FROM {table} WHERE '' = '' RETURNING ''")).await;
    }
    assert_eq!(read(&lantern, bytes).await.unwrap().subscribers, 5);
    assert_eq!(lantern.rows(names).await, before);
    assert_eq!(exported(&lantern).await, export);
}

async fn who_gets_no_mail_is_not_exported(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    lantern.readers(2500).await;
    let left = lantern.who("reader7@reader.example").await;
    lantern.publication.store.leave(left, None, lantern.now()).await.unwrap();
    let hash = lantern.publication.keyring.address_hash("reader8@reader.example");
    lantern.publication.store.suppress(&hash, "refused", "550", lantern.now()).await.unwrap();
    let export = exported(&lantern).await;
    assert_eq!(export.len(), 2498);
    assert!(!export.contains_key("reader7@reader.example") && !export.contains_key("reader8@reader.example"));
}
