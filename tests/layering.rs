//! The arrows between the rooms of the crate: who may use whom, as the table at the top of `src/lib.rs` says.
//!
//! Read from the text of the sources: every path that starts at the crate's root (`crate::`, `tidings::`, or enough
//! `super::`), in `use` trees and in expressions, in tests too. Comments and strings do not count. What a macro
//! assembles from pieces is not seen.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// Room → the rooms that it may use.
type Table = BTreeMap<String, Vec<String>>;

/// `main.rs` is not a room of the library; it sees the program's one front door.
const MAIN: &str = "main";
const MAIN_USES: &str = "cli";

/// A complaint to a person is everyone's, hence not spelt out in each row.
const EVERYONES: &str = "problem";

#[test]
fn no_room_uses_a_room_that_the_table_does_not_give_it() {
    let table = table(&read("src/lib.rs"));
    let (mut files, mut wrong) = (0, String::new());
    for file in sources(Path::new("src")) {
        files += 1;
        for fault in faults(&file, &read(&file), &table) {
            let _ = writeln!(wrong, "{fault}");
        }
    }
    assert!(files > table.len(), "only {files} files were read: the sources are not where this test looks");
    assert!(wrong.is_empty(), "against the table in src/lib.rs:\n{wrong}");
}

#[test]
fn every_top_level_module_is_in_the_table_and_every_row_is_a_module() {
    let in_table: Vec<String> = table(&read("src/lib.rs")).into_keys().filter(|room| room != MAIN).collect();
    let mut on_disk: Vec<String> = fs::read_dir("src")
        .expect("src")
        .map(|entry| entry.expect("an entry of src").path().with_extension(""))
        .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
        .filter(|name| !["lib", MAIN].contains(&name.as_str()))
        .collect();
    on_disk.sort();
    on_disk.dedup();
    assert_eq!(in_table, on_disk, "left: the table in src/lib.rs; right: what stands in src/");
}

#[test]
fn every_dependency_stands_in_the_table_of_crates_with_its_reason() {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("Cargo.toml");
    let document = read("docs/ARCHITECTURE.md");
    let rows: Vec<Vec<&str>> = document
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    for name in manifest["dependencies"].as_table().expect("dependencies").keys() {
        let row = rows.iter().find(|row| row[1].split(", ").any(|cell| cell == format!("`{name}`")));
        let row = row.unwrap_or_else(|| panic!("docs/ARCHITECTURE.md does not say why {name} is here"));
        assert!(row.len() == 5 && row[2..4].iter().all(|cell| !cell.is_empty()), "{row:?}");
    }
}

#[test]
fn the_table_is_read_as_it_is_meant() {
    let table = table(&read("src/lib.rs"));
    let uses = |room: &str| table[room].iter().map(String::as_str).collect::<Vec<_>>();
    assert!(uses("problem").is_empty());
    assert_eq!(uses("domain"), ["problem"]);
    for adapter in ["source", "syndication", "template", "mail", "fetch", "store"] {
        assert_eq!(uses(adapter), ["domain", "problem"], "{adapter} knows no other adapter");
    }
    assert_eq!(
        uses("task"),
        ["problem", "domain", "config", "source", "syndication", "template", "mail", "fetch", "store"],
        "the one place that joins the others"
    );
    assert_eq!(uses(MAIN), ["cli"]);
}

#[test]
fn a_forbidden_path_is_seen_however_it_is_written() {
    let table = table(&read("src/lib.rs"));
    let seen = |file: &str, text: &str| faults(Path::new(file), text, &table);
    for text in [
        "use crate::store;",
        "use crate::store::Store;",
        "use crate::{domain::article, store::Store};",
        "use crate::{\n    domain::{article::{Article, Slug}, feed},\n    store::{self, dialect},\n};",
        "use {crate::domain::feed, crate::store::Store};",
        "pub use crate :: r#store as attic;",
        "fn f() { let s = crate::store::Store::open(); }",
        "fn f<'a>(c: char) -> bool { c == '\"' && crate::store::open('\\'') }",
        "fn f(x: Vec<crate::store::Store>) {}",
        "use super::super::store;",
        "use super::super::{domain::feed, store};",
        "use tidings::store;",
        "mod tests { use super::super::super::store; }",
        "#[cfg(test)] mod tests { mod deep { fn f() { crate::store::open() } } }",
        "pub(in crate::store) fn f() {}",
        "/* a /* nested */ comment */ use crate::store;",
        "const A: &str = r#\"a \" b\"#; use crate::store;",
    ] {
        let faults = seen("src/domain/feed.rs", text);
        assert_eq!(faults.len(), 1, "in {text}: {faults:?}");
        assert!(faults[0].contains("domain → store"), "{}", faults[0]);
    }
    assert_eq!(
        seen("src/mail/smtp.rs", "use crate::domain::digest;\n\nuse crate::{\n    template,\n    task::send,\n};"),
        [
            "src/mail/smtp.rs:4: mail → template is not an arrow: mail may use domain, problem",
            "src/mail/smtp.rs:5: mail → task is not an arrow: mail may use domain, problem",
        ]
    );
    assert_eq!(
        seen("src/problem.rs", "use crate::domain;"),
        ["src/problem.rs:1: problem → domain is not an arrow: problem may use nothing"]
    );
    assert_eq!(
        seen("src/main.rs", "fn main() { tidings::cli::run(); tidings::web::run(); }"),
        ["src/main.rs:1: main → web is not an arrow: main may use cli"]
    );
    assert_eq!(seen("src/cli/sync.rs", "use crate::*;").len(), 1, "all rooms at once");
    assert_eq!(seen("src/cli/sync.rs", "use crate as house;").len(), 1, "all rooms under another name");
    assert_eq!(seen("src/cli/sync.rs", "use crate::attic::Trunk;").len(), 1, "a room that the table does not know");
    assert_eq!(seen("src/attic.rs", "").len(), 1, "a file that belongs to no room");
}

#[test]
fn what_is_allowed_or_only_talked_about_is_no_fault() {
    let table = table(&read("src/lib.rs"));
    for (file, text) in [
        ("src/domain/feed.rs", "use crate::{domain::article::Article, problem::Problem};"),
        ("src/domain/feed.rs", "use super::{article, digest}; mod tests { use super::*; use super::super::link; }"),
        ("src/domain/mod.rs", "pub(crate) mod feed; pub(super) fn f() { self::feed::f() }"),
        (
            "src/domain/feed.rs",
            "//! See [`crate::store`].\n/// crate::store\nfn f() { g(\"crate::store\", r#\"crate::web\"#) }",
        ),
        ("src/domain/feed.rs", "fn f<'crate_>(c: &'static str) { std::store::f('\\u{27}', b'\"', b\"crate::web\") }"),
        ("src/domain/feed.rs", "use other::crate_::store; use other::tidings::store;"),
        ("src/task/send.rs", "use crate::{config::Config, mail::smtp, store::Store, template};"),
        ("src/task/send.rs", "macro_rules! m { () => { $crate::mail::f() } }"),
        ("src/cli/run.rs", "use crate::{config::Config, domain, problem::Problem, task::publish, web};"),
    ] {
        assert_eq!(faults(Path::new(file), text, &table), [""; 0], "in {text}");
    }
}

/// The rows `| [`room`] | what it is | uses |` of the crate's front page.
fn table(front_page: &str) -> Table {
    let mut table = Table::from([(MAIN.to_owned(), vec![MAIN_USES.to_owned()])]);
    let mut above: Vec<String> = Vec::new();
    for row in front_page.lines().filter_map(|line| line.strip_prefix("//! | [`")) {
        let cells: Vec<&str> = row.trim_end_matches([' ', '|']).split(" | ").collect();
        let [room, _, uses] = cells[..] else { panic!("src/lib.rs: a row of three cells, not {row}") };
        let room = room.trim_end_matches("`]").to_owned();
        let mut uses = match uses {
            "all above" => above.clone(),
            "nothing" => Vec::new(),
            named => named.split(", ").map(|name| name.trim_matches('`').to_owned()).collect(),
        };
        if uses.iter().all(|used| used != EVERYONES) && room != EVERYONES {
            uses.push(EVERYONES.to_owned());
        }
        for used in &uses {
            assert!(above.contains(used), "src/lib.rs: {room} uses {used}, which is not a room above it");
        }
        above.push(room.clone());
        table.insert(room, uses);
    }
    assert!(table.len() > 2, "src/lib.rs: no table of rooms at its top");
    table
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display()))
}

/// Every Rust file below a folder, in order.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("an entry of the folder").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What one file uses and may not, as `file:line: room → room …`.
fn faults(file: &Path, text: &str, table: &Table) -> Vec<String> {
    let modules = modules_of(file);
    let from = match modules.first() {
        // lib.rs is the map, and nothing else.
        None => "lib",
        Some(room) => room.as_str(),
    };
    let nothing = Vec::new();
    let allowed = if from == "lib" {
        &nothing
    } else if let Some(allowed) = table.get(from) {
        allowed
    } else {
        return vec![format!("{}: {from} is not a room of the table in src/lib.rs", file.display())];
    };
    let may = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
    rooms_used(text, &modules)
        .into_iter()
        .filter(|(_, used)| used != from && !allowed.contains(used))
        .map(|(line, used)| format!("{}:{line}: {from} → {used} is not an arrow: {from} may use {may}", file.display()))
        .collect()
}

/// `src/domain/feed.rs` → domain, feed; `src/domain/mod.rs` → domain; `src/lib.rs` → nothing.
fn modules_of(file: &Path) -> Vec<String> {
    let below = file.strip_prefix("src").unwrap_or(file).with_extension("");
    let mut modules: Vec<String> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if modules.last().is_some_and(|last| last == "mod") || modules == ["lib"] {
        modules.pop();
    }
    modules
}

/// The rooms that a text names, with the lines where it does; `*` where it takes the whole root.
fn rooms_used(text: &str, modules: &[String]) -> Vec<(usize, String)> {
    let tokens = tokens(text);
    let word = |at: usize| tokens.get(at).map_or("", |(_, word)| word.as_str());
    let mut used = Vec::new();
    // The modules within the file that are open, each with the depth of braces that closes it.
    let (mut open, mut depth): (Vec<usize>, usize) = (Vec::new(), 0);
    let mut at = 0;
    while at < tokens.len() {
        match word(at) {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if open.last() == Some(&depth) {
                    open.pop();
                }
            }
            "mod" if word(at + 2) == "{" => open.push(depth),
            start @ ("crate" | "tidings" | "super" | "self") if at == 0 || word(at - 1) != "::" => {
                let in_use = at > 0 && word(at - 1) == "use" && word(at + 1) != "::";
                if word(at + 1) == "::" || in_use {
                    let above = if matches!(start, "crate" | "tidings") { 0 } else { modules.len() + open.len() };
                    let mut paths = Vec::new();
                    // The braces of a `use` tree open and close within it: the depth outside is not touched.
                    at = paths_from(&tokens, at, &[], &mut paths);
                    used.extend(paths.iter().filter_map(|path| room_of(path, above)));
                    // `store::{self, dialect}` is one fault of one line.
                    used.dedup();
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    used
}

/// A word of a path, with its line.
type Token = (usize, String);

/// The paths that begin at a token: one, or all of a `use` tree. Gives the index after them.
fn paths_from(tokens: &[Token], mut at: usize, before: &[Token], paths: &mut Vec<Vec<Token>>) -> usize {
    let word = |at: usize| tokens.get(at).map_or("", |(_, word)| word.as_str());
    let mut path = before.to_vec();
    if word(at) == "{" {
        at += 1;
        while !matches!(word(at), "}" | "") {
            at = if word(at) == "," { at + 1 } else { paths_from(tokens, at, &path, paths) };
        }
        return at + 1;
    }
    path.push(tokens[at].clone());
    if word(at + 1) == "::" && (word(at + 2) == "{" || word(at + 2) == "*" || is_word(word(at + 2))) {
        return paths_from(tokens, at + 2, &path, paths);
    }
    paths.push(path);
    // `as other` of a use tree would otherwise be taken for the next path.
    if word(at + 1) == "as" { at + 3 } else { at + 1 }
}

/// The room that a path leads to, if it climbs to the root; `above` is how many modules stand over its start.
fn room_of(path: &[Token], mut above: usize) -> Option<(usize, String)> {
    let mut line = path.first()?.0;
    for (place, word) in path {
        line = *place;
        match word.as_str() {
            "super" => above = above.saturating_sub(1),
            "crate" | "tidings" | "self" => {}
            _ if above > 0 => return None,
            room => return Some((line, room.to_owned())),
        }
    }
    // A path that ends at the root, as in `use crate as house`.
    (above == 0).then(|| (line, "*".to_owned()))
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The words and the marks of a Rust text, without comments, strings, characters and lifetimes.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let length = if first == '/' && rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = literal(rest) {
            length
        } else if first.is_alphanumeric() || first == '_' {
            let raw = if rest.starts_with("r#") { 2 } else { 0 };
            let length = raw + rest[raw..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len() - raw);
            tokens.push((line, rest[raw..length].to_owned()));
            length
        } else if rest.starts_with("::") {
            tokens.push((line, "::".to_owned()));
            2
        } else {
            if !first.is_whitespace() {
                tokens.push((line, first.to_string()));
            }
            first.len_utf8()
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// Length in bytes of the comment that a text starts with; such comments nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            match rest.chars().next() {
                Some(c) => at += c.len_utf8(),
                None => return at,
            }
        }
        if depth == 0 {
            return at;
        }
    }
}

/// Length in bytes of the string, the character or the lifetime that a text starts with, if it does.
fn literal(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        text.strip_prefix(prefix).is_some_and(|rest| match *prefix {
            "br" | "cr" | "r" => rest.trim_start_matches('#').starts_with('"'),
            "c" => rest.starts_with('"'),
            _ => rest.starts_with(['"', '\'']),
        })
    })?;
    let body = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let start = hashes + 1;
        return Some(prefix.len() + body[start..].find(&end).map_or(body.len(), |at| start + at + end.len()));
    }
    let quote = body.chars().next()?;
    let mut inner = body.char_indices().skip(1);
    if quote == '\'' {
        // 'a' is a character and 'a a lifetime: the closing quote tells.
        let (_, first) = inner.next()?;
        if first != '\\' {
            let (at, next) = inner.next()?;
            return Some(if next == '\'' { prefix.len() + at + 1 } else { 1 });
        }
        inner.next();
    }
    while let Some((at, c)) = inner.next() {
        if c == '\\' {
            inner.next();
        } else if c == quote {
            return Some(prefix.len() + at + 1);
        }
    }
    Some(text.len())
}
