//! The test support itself: the made-up articles and subscribers are what they claim to be.

#[path = "../benches/support/corpus.rs"]
mod corpus;

use std::{collections::BTreeSet, fs, path::Path};

use corpus::{Broken, Malformed, write_articles, write_subscribers_csv};

fn front_matter(path: &Path) -> Option<toml::Table> {
    let text = fs::read_to_string(path).ok()?;
    let (front, body) = text.strip_prefix("+++\n")?.split_once("\n+++\n")?;
    (!body.trim().is_empty()).then(|| front.parse().ok())?
}

#[test]
fn the_same_seed_writes_the_same_bytes_and_another_seed_others() {
    let folder = tempfile::tempdir().unwrap();
    let all = |name: &str, seed| {
        let articles = folder.path().join(name);
        write_articles(&articles, 60, seed, 10).unwrap();
        let list = folder.path().join(format!("{name}.csv"));
        write_subscribers_csv(&list, 60, seed, 4).unwrap();
        let bytes: Vec<_> =
            (0..60).map(|index| fs::read(articles.join(format!("{}.md", corpus::slug(index)))).unwrap()).collect();
        (bytes, fs::read(list).unwrap())
    };
    assert_eq!(all("one", 7), all("same", 7));
    assert_ne!(all("one", 7), all("other", 8));
}

#[test]
fn good_articles_have_what_they_need_and_are_of_about_5_kb() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = write_articles(folder.path(), 400, 1, 0).unwrap();
    assert_eq!((corpus.good, corpus.broken.len()), (400, 0));
    let (mut bytes, mut sections) = (0, BTreeSet::new());
    for index in 0..400 {
        let path = folder.path().join(format!("{}.md", corpus::slug(index)));
        bytes += fs::metadata(&path).unwrap().len();
        let front = front_matter(&path).unwrap_or_else(|| panic!("{} is not an article", path.display()));
        assert!(!front["title"].as_str().unwrap().trim().is_empty());
        assert!(front["date"].is_datetime());
        sections.insert(front["section"].as_str().unwrap().to_owned());
    }
    assert!((4_500..=5_500).contains(&(bytes / 400)), "{} bytes on average", bytes / 400);
    assert_eq!(sections.len(), 5);
}

#[test]
fn as_many_are_broken_as_was_asked_for_and_each_kind_has_its_turn() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = write_articles(folder.path(), 1000, 1, 5).unwrap();
    assert_eq!((corpus.good, corpus.broken.len()), (950, 50));
    let kinds: BTreeSet<_> = corpus.broken.iter().map(|(_, kind)| *kind).collect();
    assert_eq!(kinds, BTreeSet::from(Broken::ALL));
    for (name, kind) in &corpus.broken {
        let front = front_matter(&folder.path().join(name));
        let is_unreadable =
            matches!(kind, Broken::BadToml | Broken::BadUtf8 | Broken::Empty | Broken::UnclosedFrontMatter);
        assert_eq!(front.is_none(), is_unreadable, "{name}: {kind:?}");
        if *kind == Broken::DuplicateSlug {
            let slug = front.unwrap()["slug"].as_str().unwrap().to_owned();
            let first = format!("{slug}.md");
            assert!(front_matter(&folder.path().join(&first)).is_some() && first != *name);
        }
    }
    assert_eq!(write_articles(folder.path(), 30, 1, 100).unwrap().good, 0);
}

#[test]
fn subscribers_are_distinct_and_malformed_lines_are_where_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("readers.csv");
    let faults = write_subscribers_csv(&path, 500, 1, 20).unwrap();
    let lines: Vec<Vec<u8>> = fs::read(&path).unwrap().split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    assert_eq!(faults.len(), 20);
    for (line, kind) in &faults {
        if *kind == Malformed::NoAtSign {
            assert!(!lines[*line - 1].contains(&b'@'));
        }
        if *kind == Malformed::BadUtf8 {
            assert!(std::str::from_utf8(&lines[*line - 1]).is_err());
        }
    }
    let malformed: BTreeSet<_> = faults.iter().map(|(line, _)| *line).collect();
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(&path).unwrap();
    let mut addresses = BTreeSet::new();
    for record in reader.byte_records() {
        let record = record.unwrap();
        let line = usize::try_from(record.position().unwrap().line()).unwrap();
        if !malformed.contains(&line) {
            assert_eq!(record.len(), 5, "line {line}");
            assert!(addresses.insert(record[0].to_vec()), "line {line}");
        }
    }
    assert_eq!(addresses.len(), 500);
    assert!(write_subscribers_csv(&path, 0, 1, 0).unwrap().is_empty());
}
