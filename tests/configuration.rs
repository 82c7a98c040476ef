//! `docs/CONFIGURATION.md` names every key there is, and no other. Which there are the program itself says: a key that
//! it does not know makes it name those that it does.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

use std::collections::BTreeSet;
use std::path::Path;

use tidings::config::{Config, load_feeds, load_segments};

const LEAST: &str = "[publication]\ntitle = \"A\"\nurl = \"https://a.example/\"\n";
/// No key is like this one, so that none is taken for the one that was meant.
const UNKNOWN: &str = "zzzzzzzzzzzzzzzzzzzz";

/// What is known beside a key that is not, where `line` stands in a file.
fn known(complaints: &[String]) -> Option<Vec<String>> {
    let hint = complaints.iter().find(|one| one.contains(&format!("unknown key `{UNKNOWN}`")))?;
    let list = hint.split_once("known here: ").map_or("", |(_, list)| list.trim());
    Some(list.split(", ").filter(|key| !key.is_empty()).map(str::to_owned).collect())
}

fn complaints_of_config(line: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.toml"), line).unwrap();
    Config::load(folder.path(), []).unwrap_err().iter().map(ToString::to_string).collect()
}

fn complaints_of_feed(line: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.toml"), LEAST).unwrap();
    std::fs::create_dir(folder.path().join("feeds")).unwrap();
    std::fs::write(folder.path().join("feeds/news.toml"), line).unwrap();
    let config = Config::load(folder.path(), []).unwrap();
    load_feeds(&config).1.iter().map(ToString::to_string).collect()
}

fn complaints_of_segment(line: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.toml"), LEAST).unwrap();
    std::fs::create_dir(folder.path().join("segments")).unwrap();
    std::fs::write(folder.path().join("segments/lisbon.toml"), line).unwrap();
    let config = Config::load(folder.path(), []).unwrap();
    load_segments(&config, &[]).1.iter().map(ToString::to_string).collect()
}

/// All keys below `path`, whose value begins with `before` and ends with `after`.
fn keys(
    complain: fn(&str) -> Vec<String>,
    path: &str,
    before: &str,
    after: &str,
    above: &[String],
) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let Some(here) = known(&complain(&format!("{before}{UNKNOWN} = 1{after}"))) else { return found };
    // A selection is made of selections.
    if here == above {
        return found;
    }
    for key in &here {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        for (open, close) in [("{ ", " }"), ("[{ ", " }]")] {
            let (before, after) = (format!("{before}{key} = {open}"), format!("{close}{after}"));
            found.extend(keys(complain, &path, &before, &after, &here));
        }
        found.insert(path);
    }
    found
}

fn documented(part: &str) -> BTreeSet<String> {
    let rows = part.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split('`').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_key_is_documented_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CONFIGURATION.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (of_config, rest) = text.split_once("\n## `feeds/").unwrap();
    let (of_feeds, of_segments) = rest.split_once("\n## `segments/").unwrap();
    let all = keys(complaints_of_config, "", "", "", &[]);
    // The sections themselves are headings.
    let known: BTreeSet<_> = all.iter().filter(|key| key.contains('.')).cloned().collect();
    assert!(known.contains("relay.warm_up.start") && known.contains("reports.imap.host"), "{known:#?}");
    assert_eq!(documented(of_config), known);
    for section in all.iter().filter(|key| !key.contains('.')) {
        assert!(of_config.contains(&format!("[{section}]")), "{section}");
    }
    let known = keys(complaints_of_feed, "", "", "", &[]);
    assert!(known.contains("newsletter.cadences.weekly.on") && known.contains("select.any"), "{known:#?}");
    assert_eq!(documented(of_feeds), known);
    let known = keys(complaints_of_segment, "", "", "", &[]);
    assert!(known.contains("select.joined.after") && known.contains("select.any"), "{known:#?}");
    assert_eq!(documented(of_segments), known);
}

/// A configuration with its commented examples brought to life.
fn alive(text: &str) -> String {
    let is_example = |line: &str| {
        line.starts_with('[')
            || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(|c: char| c.is_whitespace()))
    };
    let lines = text.lines().map(|line| line.strip_prefix("# ").filter(|line| is_example(line)).unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_examples_in_the_configurations_that_we_write_hold() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["config.toml", "src/cli/starter/config.toml"] {
        let text = alive(&std::fs::read_to_string(root.join(file)).unwrap());
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("secrets")).unwrap();
        std::fs::write(folder.path().join("secrets/relay"), "secret").unwrap();
        std::fs::write(folder.path().join("secrets/webhook"), "secret").unwrap();
        std::fs::write(folder.path().join("config.toml"), &text).unwrap();
        let config = Config::load(folder.path(), []).unwrap_or_else(|problems| panic!("{file}: {problems:?}\n{text}"));
        assert_eq!((config.relays.len(), config.paces.len(), config.dkim.len()), (1, 1, 1), "{file}");
        assert!(config.relays[0].rate.is_some() && config.relays[0].warm_up.is_some(), "{file}");
        assert!(config.mail.bounces.is_some() && config.reports.maildir.is_some(), "{file}");
        assert!(config.database_url.reveal().starts_with("postgres://"), "{file}");
    }
}
