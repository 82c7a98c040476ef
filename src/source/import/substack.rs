//! The export of Substack: a ZIP with `posts.csv` and a file of HTML for each post.
//!
//! Nothing is unpacked: what is needed is read, within limits of number, size and ratio. Names that lead elsewhere and
//! symbolic links are refused and named.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{Cursor, Read as _};

use url::Url;
use zip::ZipArchive;
use zip::result::ZipError;

use super::markup::{self, Place};
use super::{Brought, Fate, Form, Piece, instant, piece, said};
use crate::problem::Problem;
use crate::source::{Context, MAX_BYTES, date};

/// Files of one archive.
const MAX_FILES: usize = 50_000;

/// Bytes of all that is read, unpacked.
const MAX_TOTAL: u64 = 512 * 1024 * 1024;

/// Bytes of the table of posts.
const MAX_TABLE: u64 = 32 * 1024 * 1024;

/// Bytes that one byte may become: text is packed to a tenth, seldom to a fiftieth.
const MAX_RATIO: u64 = 200;

/// Where a post without an address of its own is said to stand: relative links would lead nowhere anyway.
const NOWHERE: &str = "https://substack.invalid/";

pub(super) fn read(name: &str, bytes: &[u8], context: &Context<'_>) -> Brought {
    let mut export = Export { name, context, brought: Brought::default(), files: HashMap::new() };
    export.unpack(bytes);
    export.posts();
    export.brought
}

struct Export<'a> {
    name: &'a str,
    context: &'a Context<'a>,
    brought: Brought,
    /// What was read, by its name.
    files: HashMap<String, String>,
}

impl Export<'_> {
    fn problem(&mut self, file: &str, what: impl Into<String>, hint: &str) {
        let name = if file.is_empty() { self.name.to_owned() } else { format!("{}/{file}", self.name) };
        self.brought.problems.push(Problem::new(name, what).hint(hint));
    }

    fn unpack(&mut self, bytes: &[u8]) {
        const ANEW: &str = "export it anew";
        let mut archive = match ZipArchive::new(Cursor::new(bytes)) {
            Ok(archive) => archive,
            Err(error) => return self.problem("", format!("not a ZIP that can be read: {error}"), ANEW),
        };
        if archive.len() > MAX_FILES {
            return self.problem("", format!("more than {MAX_FILES} files in it"), "export it in parts");
        }
        let mut total = 0;
        for index in 0..archive.len() {
            let read = archive.by_index(index).map_err(Refusal::from).and_then(|mut file| {
                let name = file.name().map(Cow::into_owned).unwrap_or_default();
                let content = content(&mut file, &mut total);
                content.map_err(|what| Refusal { name: name.clone(), what }).map(|content| (name, content))
            });
            match read {
                Ok((name, Some(content))) => {
                    self.files.insert(name, content);
                }
                Ok((_, None)) => {}
                Err(Refusal { name, what }) => self.problem(&name, what, ANEW),
            }
        }
    }

    fn posts(&mut self) {
        let Some((table, _)) = self.files.iter().find(|(name, _)| name.rsplit('/').next() == Some("posts.csv")) else {
            if self.brought.problems.is_empty() {
                self.problem(
                    "",
                    "no export of Substack: posts.csv is not in it",
                    "unpack it, and bring what is in it: a folder, an .xml or a .json",
                );
            }
            return;
        };
        let (table_name, folder) = (table.clone(), table.strip_suffix("posts.csv").unwrap_or_default().to_owned());
        let text = self.files.remove(&table_name).unwrap_or_default();
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
        let columns: Vec<String> =
            reader.headers().map(|row| row.iter().map(str::to_owned).collect()).unwrap_or_default();
        for row in reader.records() {
            match row {
                Ok(row) => {
                    let line = row.position().map_or(0, |at| usize::try_from(at.line()).unwrap_or(0));
                    let row: HashMap<&str, &str> = columns.iter().map(String::as_str).zip(row.iter()).collect();
                    self.post(&row, &folder, &table_name, line);
                }
                Err(error) => self.problem(&table_name, format!("not a table: {error}"), "export it anew"),
            }
        }
    }

    fn post(&mut self, row: &HashMap<&str, &str>, folder: &str, table: &str, line: usize) {
        let get = |key: &str| row.get(key).map_or("", |text| text.trim());
        let table = format!("{}/{table}", self.name);
        let (id, title) = (get("post_id"), get("title"));
        let kind = get("type");
        let leave_out =
            |what: &str| said(table.clone(), line, if title.is_empty() { id } else { title }, Fate::Dropped, what);
        if !matches!(kind, "" | "newsletter" | "podcast" | "video") {
            return self.brought.account.push(leave_out(&format!("a {kind}, not a post")));
        }
        let is_published = get("is_published").eq_ignore_ascii_case("true");
        let file = format!("{folder}posts/{id}.html");
        let Some(html) = self.files.get(&file).cloned() else {
            if is_published {
                let problem = Problem::new(table, format!("the text of {id:?} is not in it: posts/{id}.html"));
                self.brought.problems.push(problem.at(line).hint("export it anew"));
            } else {
                self.brought.account.push(leave_out("a draft without a text"));
            }
            return;
        };
        if title.is_empty() {
            let entry = leave_out("a draft without a title");
            if !is_published {
                return self.brought.account.push(entry);
            }
            return self.brought.problems.push(
                Problem::new(table, "a post without a title").at(line).hint("give it one there, and export it anew"),
            );
        }
        let is_open = matches!(get("audience"), "" | "everyone");
        if !is_open {
            self.brought.account.push(said(
                table,
                line,
                title,
                Fate::Read,
                "it was for some readers only there: a draft here",
            ));
        }
        let draft = !is_published || !is_open;
        let at = date::parse(get("post_date"), chrono_tz::UTC);
        let origin = format!("{}/{file}", self.name);
        let Ok(page) = Url::parse(NOWHERE) else { return };
        let body =
            markup::cleaned(&html, &Place { page: &page, name: &origin, line: Some(1) }, &mut self.brought.problems);
        // "12345.the-lamp": a number and the slug.
        let slug = id.split_once('.').map_or(id, |(_, slug)| slug);
        self.brought.pieces.push(Piece {
            origin,
            title: markup::plain(title),
            slug: Some(slug.to_owned()).filter(|slug| !slug.is_empty()),
            date: Some(instant(at.unwrap_or(self.context.now))),
            is_dated_now: at.is_none(),
            summary: Some(markup::plain(get("subtitle"))).filter(|summary| !summary.is_empty()),
            draft,
            archive: !draft && at.is_none_or(|at| at <= self.context.now),
            // Whatever its address ends in, it is what podcast apps were given.
            enclosure: piece::enclosure(get("podcast_url"), None, Some("audio/mpeg")),
            form: Form::Html,
            body,
            ..Piece::default()
        });
    }
}

/// A file that is not read, and why.
struct Refusal {
    name: String,
    what: String,
}

impl From<ZipError> for Refusal {
    fn from(error: ZipError) -> Self {
        Self { name: String::new(), what: format!("a file in it cannot be read: {error}") }
    }
}

/// What a file of the archive holds, if it is one of those that are needed.
fn content<R: std::io::Read>(file: &mut zip::read::ZipFile<'_, R>, total: &mut u64) -> Result<Option<String>, String> {
    let name = file.name().map(Cow::into_owned).map_err(|error| format!("its name cannot be read: {error}"))?;
    if file.is_symlink() {
        return Err("a symbolic link: it was not followed".into());
    }
    if file.enclosed_name().is_none() || name.contains("..") || name.starts_with(['/', '\\']) {
        return Err("its name leads out of the archive: it was not read".into());
    }
    if file.is_dir() {
        return Ok(None);
    }
    let is_table = name.rsplit('/').next() == Some("posts.csv");
    if !(is_table || (name.contains("posts/") && name.rsplit_once('.').is_some_and(|(_, ending)| ending == "html"))) {
        return Ok(None);
    }
    let limit = if is_table { MAX_TABLE } else { MAX_BYTES }.min(MAX_TOTAL.saturating_sub(*total));
    let mut bytes = vec![];
    // What the archive says of its sizes is not believed: what comes out is counted.
    let packed = file.compressed_size();
    let ratio_limit = packed.saturating_mul(MAX_RATIO).max(64 * 1024);
    let allowed = limit.min(ratio_limit);
    file.take(allowed + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot be unpacked: {error}"))?;
    let length = bytes.len() as u64;
    *total += length;
    if length > allowed {
        return Err(if length > limit {
            format!("larger than {} MiB unpacked, or the archive is all told: it was not read", limit / 1024 / 1024)
        } else {
            format!("unpacked it is more than {MAX_RATIO} times as large: it was not read")
        });
    }
    Ok(Some(crate::source::decode::text(&bytes, None).into_owned()))
}
