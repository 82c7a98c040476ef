//! A folder of Hugo, Jekyll or Zola, or of articles like ours. Their files are read as they are, so they stay as they are:
//! what is added is that they are archive, and what only their place in the folder said.

use std::path::{Path, PathBuf};

use super::super::front_matter;
use super::super::{Complaints, link};
use super::{Brought, Fate, Piece, instant, said};
use crate::domain::article::ArticleId;
use crate::problem::Problem;
use crate::source::{self, Context, MAX_BYTES};

/// Endings of texts that other programs read and we do not, and what they are called.
const UNREAD: [(&str, &str); 8] = [
    ("adoc", "AsciiDoc"),
    ("asciidoc", "AsciiDoc"),
    ("org", "Org"),
    ("rst", "reStructuredText"),
    ("textile", "Textile"),
    ("ipynb", "a notebook"),
    ("docx", "Word"),
    ("mdx", "MDX"),
];

/// Directories within directories.
const MAX_DEPTH: usize = 32;

/// What a person adds to every file.
pub(super) struct Added<'a> {
    pub(super) section: Option<&'a str>,
    pub(super) draft: bool,
}

pub(super) fn read(name: &str, path: &Path, wanted: &Added<'_>, context: &Context<'_>) -> Brought {
    let mut brought = Brought::default();
    for root in roots(path) {
        let below = if root.path == path { String::new() } else { format!("{}/", root.name) };
        let mut finds = source::walk(&root.path);
        brought.problems.append(&mut finds.problems);
        for file in finds.files {
            let shown = format!("{name}/{below}{}", file.key);
            if file.size > MAX_BYTES {
                brought.problems.push(source::too_large(&shown));
                continue;
            }
            match std::fs::read(&file.path) {
                Ok(bytes) => article(&shown, &file.key, &bytes, &root, wanted, context, &mut brought),
                Err(error) => brought.problems.push(Problem::new(shown, format!("cannot be read: {error}"))),
            }
        }
        unread(&root.path, &format!("{name}/{below}"), 0, &mut brought.problems);
    }
    brought
}

/// A folder in which the articles are.
struct Root {
    path: PathBuf,
    /// Its path below the folder that was brought.
    name: &'static str,
    /// The folders in it are sections (Hugo, Zola).
    has_sections: bool,
    /// What is in it is not public yet (Jekyll).
    is_drafts: bool,
}

/// Where the programs keep their articles; the folder itself where it is of none of them.
fn roots(path: &Path) -> Vec<Root> {
    let root =
        |name: &'static str, has_sections, is_drafts| Root { path: path.join(name), name, has_sections, is_drafts };
    if path.join("_posts").is_dir() {
        let drafts = Some(root("_drafts", false, true)).filter(|drafts| drafts.path.is_dir());
        return std::iter::once(root("_posts", false, false)).chain(drafts).collect();
    }
    if path.join("content").is_dir() {
        return vec![root("content", true, false)];
    }
    vec![Root { path: path.to_owned(), name: "", has_sections: false, is_drafts: false }]
}

fn article(
    shown: &str,
    key: &str,
    bytes: &[u8],
    root: &Root,
    wanted: &Added<'_>,
    context: &Context<'_>,
    brought: &mut Brought,
) {
    let parsed = |bytes: &[u8]| source::parse(ArticleId(uuid::Uuid::nil()), shown, key, bytes, context);
    let text = std::str::from_utf8(bytes).ok().map(|text| text.strip_prefix('\u{FEFF}').unwrap_or(text));
    let Some((text, table)) = text.and_then(|text| Some((text, keys(shown, text)?))) else {
        return brought.problems.extend(parsed(bytes).problems);
    };
    let has = |name: &str| table.iter().any(|(key, _)| key == name);
    let (mut added, mut is_dated_now) = (vec![], false);
    if (root.is_drafts || wanted.draft) && !has("draft") {
        added.push(("draft", "true".to_owned()));
    }
    if root.is_drafts && !has("date") && link::dated_stem(key.rsplit('/').next().unwrap_or(key)).is_none() {
        is_dated_now = true;
        added.push(("date", instant(context.now)));
    }
    let is_filed = ["section", "category", "categories"].iter().any(|key| has(key));
    let section = wanted.section.or_else(|| section(key).filter(|_| root.has_sections));
    if let Some(section) = section.filter(|_| !is_filed) {
        added.push(("section", format!("{section:?}")));
    } else if wanted.section.is_some() {
        brought.account.push(said(shown.to_owned(), 1, key, Fate::Read, "it has a section already, and keeps it"));
    }
    let text = with_keys(text, &added);
    let parsed = parsed(text.as_bytes());
    let Some(article) = parsed.article else { return brought.problems.extend(parsed.problems) };
    let archive = article.date <= context.now && !article.draft && !has("archive");
    let text = if archive { with_keys(&text, &[("archive", "true".to_owned())]) } else { text };
    brought.pieces.push(Piece {
        origin: shown.to_owned(),
        title: article.title,
        slug: Some(article.slug.as_str().to_owned()),
        date: Some(instant(article.date)),
        is_dated_now,
        draft: article.draft,
        archive,
        whole: Some((key.to_owned(), text)),
        ..Piece::default()
    });
}

/// What the front matter says; nothing where it cannot be read.
fn keys(shown: &str, text: &str) -> Option<front_matter::Table> {
    match front_matter::split(text).ok()?.front {
        Some(front) => front_matter::read(&front, &mut Complaints::new(shown)),
        None => Some(vec![]),
    }
}

/// The first folder that a file is in, unless that is the article itself (`spring/index.md`).
fn section(key: &str) -> Option<&str> {
    let (first, rest) = key.split_once('/')?;
    let is_bundle = !rest.contains('/') && rest.starts_with("index.");
    (!is_bundle).then_some(first)
}

/// The file with more keys at the top of its front matter, in the language that it has.
fn with_keys(text: &str, keys: &[(&str, String)]) -> String {
    if keys.is_empty() {
        return text.to_owned();
    }
    let first_end = text.find('\n').map_or(text.len(), |at| at + 1);
    let (fence, separator) = match text[..first_end].trim_end() {
        "+++" => ("", " = "),
        "---" => ("", ": "),
        _ => ("+++\n", " = "),
    };
    let mut lines = String::new();
    for (key, value) in keys {
        lines.extend([key, separator, value, "\n"]);
    }
    if fence.is_empty() {
        format!("{}{lines}{}", &text[..first_end], &text[first_end..])
    } else {
        format!("{fence}{lines}{fence}{text}")
    }
}

/// Names the texts that nobody here reads.
fn unread(path: &Path, shown: &str, depth: usize, problems: &mut Vec<Problem>) {
    let Ok(entries) = std::fs::read_dir(path) else { return };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && depth < MAX_DEPTH {
            unread(&entry.path(), &format!("{shown}{name}/"), depth + 1, problems);
        }
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        if let Some((_, kind)) = UNREAD.iter().find(|(known, _)| ending.eq_ignore_ascii_case(known)) {
            let problem = Problem::new(format!("{shown}{name}"), format!("{kind} is not read"));
            problems.push(problem.hint("convert it to Markdown, with pandoc for one, and bring it again"));
        }
    }
}
