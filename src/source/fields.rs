//! What the keys of front matter mean: ours, and those of Hugo, Zola and Jekyll that say the same.
//!
//! Faults are collected, never thrown. A fault in what decides whether, where and to whom an article appears (title,
//! date, slug, archive, draft) keeps it out; any other fault costs that one key.

mod media;

use std::collections::HashSet;

use chrono::{DateTime, Duration, Utc};

use super::front_matter::{Node, Table, Value};
use super::{Complaints, Context, date};
use crate::domain::article::{Slug, alias};
use crate::domain::language::is_tag;
use crate::domain::media::Enclosure;
use crate::domain::text;
use crate::problem::{did_you_mean, is_deceptive};

/// Keys that mean something here.
const KNOWN: &[&str] = &[
    "title",
    "slug",
    "date",
    "updated",
    "lastmod",
    "last_modified_at",
    "authors",
    "author",
    "section",
    "category",
    "categories",
    "tags",
    "keywords",
    "summary",
    "description",
    "excerpt",
    "label",
    "place",
    "image",
    "images",
    "image_alt",
    "cover",
    "featured",
    "related",
    "aliases",
    "redirect_from",
    "faq",
    "archive",
    "draft",
    "enclosure",
    "episode",
    "published",
    "language",
    "lang",
    "extra",
    "params",
    "taxonomies",
];

/// Keys that other site generators and their themes give a meaning that feeds and mail have no use for.
const FOREIGN: &[&str] = &[
    "audio",
    "build",
    "_build",
    "cascade",
    "classes",
    "comments",
    "excerpt_separator",
    "expiryDate",
    "expirydate",
    "headless",
    "id",
    "in_search_index",
    "isCJKLanguage",
    "iscjklanguage",
    "layout",
    "linkTitle",
    "linktitle",
    "linktitles",
    "markup",
    "math",
    "menu",
    "menus",
    "outputs",
    "page_template",
    "path",
    "permalink",
    "publishDate",
    "publishdate",
    "render",
    "resources",
    "search",
    "series",
    "share",
    "sitemap",
    "sort_by",
    "subtitle",
    "template",
    "theme",
    "toc",
    "translationKey",
    "translationkey",
    "type",
    "url",
    "video",
    "videos",
    "weight",
];

/// Longest title that reads as one, in characters.
const TITLE_LONG: usize = 300;

/// Longest title that is kept, in characters.
const TITLE_MAX: usize = 1000;

/// What the front matter said.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub(super) struct Fields {
    /// Something that decides whether or where the article appears could not be understood.
    pub(super) unusable: bool,
    pub(super) title: Option<String>,
    pub(super) slug: Option<Slug>,
    pub(super) date: Option<DateTime<Utc>>,
    pub(super) updated: Option<DateTime<Utc>>,
    pub(super) authors: Vec<String>,
    pub(super) section: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) summary: Option<String>,
    pub(super) label: Option<String>,
    pub(super) place: Option<String>,
    /// Destination as written, and its line.
    pub(super) image: Option<(String, usize)>,
    pub(super) image_alt: Option<String>,
    /// What comes along, its addresses made absolute.
    pub(super) enclosure: Option<Enclosure>,
    pub(super) featured: bool,
    pub(super) related: Vec<String>,
    /// Paths at which it stood before.
    pub(super) aliases: Vec<String>,
    /// Question, answer in Markdown, and the line of the answer.
    pub(super) faq: Vec<(String, String, usize)>,
    pub(super) draft: bool,
    pub(super) archive: bool,
    pub(super) language: Option<String>,
}

/// Reads the keys in order of rank: where two say the same, ours wins over the synonym.
pub(super) fn read(mut table: Table, context: &Context<'_>, complaints: &mut Complaints<'_>) -> Fields {
    for (key, node) in &table {
        if !KNOWN.contains(&key.as_str()) && !FOREIGN.contains(&key.as_str()) {
            let complaint = complaints.add(node.line, format!("unknown key {key:?}"));
            if let Some(meant) = did_you_mean(key, KNOWN.iter().copied()) {
                complaint.hint(format!("did you mean \"{meant}\"?"));
            }
        }
    }
    for inner in ["taxonomies", "extra", "params"] {
        if let Some(Node { value: Value::Table(inner), .. }) = take(&mut table, inner) {
            let wanted = ["author", "authors", "categories", "tags"];
            table.extend(inner.into_iter().filter(|(key, _)| wanted.contains(&key.as_str())));
        }
    }
    Reader { table, base: context.base, zone: context.time_zone, now: context.now, complaints }.fields()
}

/// A title with a complaint where it is too long, and cut where it is far too long.
pub(super) fn short_title(title: &str, line: usize, complaints: &mut Complaints<'_>) -> String {
    let length = title.chars().count();
    if length <= TITLE_LONG {
        return title.to_owned();
    }
    let kept = if length > TITLE_MAX { format!("; shortened to {TITLE_MAX}") } else { String::new() };
    complaints
        .add(line, format!("title is {length} characters long{kept}"))
        .hint(format!("keep it below {TITLE_LONG}: feed readers and mail programs cut it off"));
    text::shorten(title, TITLE_MAX)
}

/// The first of the values under `key`, all of which are taken out.
fn take(table: &mut Table, key: &str) -> Option<Node> {
    let at = table.iter().position(|(name, _)| name == key)?;
    let (_, node) = table.remove(at);
    Some(node).filter(|node| node.value != Value::Nothing)
}

struct Reader<'a, 'b> {
    table: Table,
    base: &'a url::Url,
    zone: chrono_tz::Tz,
    now: DateTime<Utc>,
    complaints: &'a mut Complaints<'b>,
}

impl Reader<'_, '_> {
    fn fields(mut self) -> Fields {
        let mut fields = Fields::default();
        self.essentials(&mut fields);
        fields.updated = self.updated(fields.date);
        for key in ["authors", "author"] {
            self.authors(key, &mut fields.authors);
        }
        let categories = self.words("categories");
        fields.section = self.first(&["section", "category"]).or_else(|| categories.into_iter().next());
        let mut seen = HashSet::new();
        for key in ["tags", "keywords"] {
            fields.tags.extend(self.words(key).into_iter().filter(|word| seen.insert(word.clone())));
        }
        fields.summary = self.first(&["summary", "description", "excerpt"]);
        fields.label = self.first(&["label"]);
        fields.place = self.first(&["place"]);
        self.image(&mut fields);
        fields.enclosure = self.enclosure();
        fields.featured = self.flag("featured").unwrap_or(None).unwrap_or(false);
        fields.related = self.related();
        for key in ["aliases", "redirect_from"] {
            self.aliases(key, &mut fields.aliases);
        }
        fields.faq = self.faq();
        fields.language = self.language();
        fields
    }

    /// Title, slug, date, archive and draft: what cannot be guessed.
    fn essentials(&mut self, fields: &mut Fields) {
        match self.text("title") {
            Ok(title) => fields.title = title.map(|(title, line)| short_title(&title, line, self.complaints)),
            Err(()) => fields.unusable = true,
        }
        match self.text("slug") {
            Ok(None) => {}
            Ok(Some((written, line))) => {
                fields.slug = Slug::from_text(&written);
                if fields.slug.is_none() {
                    fields.unusable = true;
                    self.complaints
                        .add(line, format!("slug has no letters or digits: {written:?}"))
                        .hint("write a few plain words, such as the-lighthouse");
                }
            }
            Err(()) => fields.unusable = true,
        }
        match self.date("date") {
            Ok(date) => fields.date = date,
            Err(()) => fields.unusable = true,
        }
        match self.flag("archive") {
            Ok(archive) => fields.archive = archive.unwrap_or(false),
            Err(()) => fields.unusable = true,
        }
        match (self.flag("draft"), self.flag("published")) {
            (Ok(draft), Ok(published)) => fields.draft = draft.unwrap_or(false) || published == Some(false),
            _ => fields.unusable = true,
        }
    }

    /// When it was changed last; no feed says that it was changed in days to come.
    fn updated(&mut self, date: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        let mut found = None;
        for key in ["updated", "lastmod", "last_modified_at"] {
            match self.instant(key) {
                // An hour is what clocks and zones may be off.
                Ok(Some((at, line))) if at - self.now > Duration::hours(1) && date.is_none_or(|date| at > date) => {
                    self.complaints
                        .add(
                            line,
                            format!("{key} is still to come, and was left out: {}", at.format("%Y-%m-%d %H:%M UTC")),
                        )
                        .hint("write when the article was changed last");
                }
                Ok(instant) => found = found.or(instant.map(|(at, _)| at)),
                Err(()) => {}
            }
        }
        found
    }

    fn date(&mut self, key: &str) -> Result<Option<DateTime<Utc>>, ()> {
        /// Beyond this the year is a slip of the finger, and the article would wait for ever unseen.
        const FAR_YEARS: i64 = 10;
        let Some((at, line)) = self.instant(key)? else { return Ok(None) };
        if at - self.now > Duration::days(365 * FAR_YEARS) {
            self.complaints
                .add(line, format!("{key} lies more than {FAR_YEARS} years ahead: {}", at.format("%Y-%m-%d")))
                .hint("check the year; the article is not public before that day");
        }
        Ok(Some(at))
    }

    /// A date under `key`, with its line; `Err` where it is something else.
    fn instant(&mut self, key: &str) -> Result<Option<(DateTime<Utc>, usize)>, ()> {
        let Some(Node { line, value }) = take(&mut self.table, key) else { return Ok(None) };
        let parsed = match &value {
            Value::Text(written) | Value::Date(written) => date::parse(written, self.zone),
            _ => None,
        };
        let Some(at) = parsed else {
            self.complaints
                .add(line, format!("{key} is not a date: {}", value.describe()))
                .hint("write 2026-03-02 or 2026-03-02T09:00:00+01:00");
            return Err(());
        };
        Ok(Some((at, line)))
    }

    /// Clean text under `key`, with its line; `Err` where it is something else.
    fn text(&mut self, key: &str) -> Result<Option<(String, usize)>, ()> {
        let Some(node) = take(&mut self.table, key) else { return Ok(None) };
        let line = node.line;
        match self.as_text(key, node) {
            Some(text) => Ok(Some((text, line)).filter(|(text, _)| !text.is_empty())),
            None => Err(()),
        }
    }

    /// The first of these keys that says something. The others are read too, so that their faults come out.
    fn first(&mut self, keys: &[&str]) -> Option<String> {
        let mut found = None;
        for key in keys {
            let text = self.text(key).unwrap_or(None);
            found = found.or(text.map(|(text, _)| text));
        }
        found
    }

    fn as_text(&mut self, key: &str, node: Node) -> Option<String> {
        match node.value {
            Value::Text(written) => Some(self.one_line(key, node.line, &written)),
            Value::Number(written) => Some(written),
            Value::Nothing => Some(String::new()),
            value => {
                self.wrong(key, node.line, "text", &value).hint(format!("write {key} as text in quotes"));
                None
            }
        }
    }

    fn wrong(&mut self, key: &str, line: usize, wanted: &str, value: &Value) -> super::Complaint<'_> {
        self.complaints.add(line, format!("{key} is not {wanted}: {}", value.describe()))
    }

    fn one_line(&mut self, key: &str, line: usize, written: &str) -> String {
        let dropped =
            |c: char| !c.is_whitespace() && (is_deceptive(c) || text::clean(c.encode_utf8(&mut [0; 4])).is_empty());
        if let Some(c) = written.chars().find(|c| dropped(*c)) {
            let code = u32::from(c);
            self.complaints
                .add(line, format!("{key} holds a control character, U+{code:04X}; it was left out"))
                .hint("type the line anew: such characters come in unseen with copied text");
        }
        text::one_line(written)
    }

    fn flag(&mut self, key: &str) -> Result<Option<bool>, ()> {
        match take(&mut self.table, key) {
            None => Ok(None),
            Some(Node { value: Value::Bool(value), .. }) => Ok(Some(value)),
            Some(Node { line, value }) => {
                self.wrong(key, line, "true or false", &value)
                    .hint(format!("write {key} without quotes: true or false"));
                Err(())
            }
        }
    }

    /// A list of words. One text is a list as well: parted by commas, or by blanks as in Jekyll.
    fn words(&mut self, key: &str) -> Vec<String> {
        let Some(node) = take(&mut self.table, key) else { return Vec::new() };
        match node.value {
            Value::Text(written) => {
                let written = self.one_line(key, node.line, &written);
                let parts: Vec<_> =
                    if written.contains(',') { written.split(',').collect() } else { written.split(' ').collect() };
                parts.into_iter().map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
            }
            Value::List(items) => {
                items.into_iter().filter_map(|item| self.as_text(key, item)).filter(|word| !word.is_empty()).collect()
            }
            value => {
                self.wrong(key, node.line, "a list", &value).hint(format!("write {key} as a list: [\"one\", \"two\"]"));
                Vec::new()
            }
        }
    }

    /// Names: text, a table with a `name`, or a list of either.
    fn authors(&mut self, key: &str, authors: &mut Vec<String>) {
        let Some(node) = take(&mut self.table, key) else { return };
        let nodes = match node.value {
            Value::List(items) => items,
            value => vec![Node { line: node.line, value }],
        };
        for mut node in nodes {
            if let Value::Table(table) = &mut node.value
                && let Some(name) = take(table, "name")
            {
                node = name;
            }
            if let Some(name) = self.as_text(key, node)
                && !name.is_empty()
                && !authors.contains(&name)
            {
                authors.push(name);
            }
        }
    }

    /// `image`, or what others call it: `images[0]`, `cover.image`, `image.path`.
    fn image(&mut self, fields: &mut Fields) {
        fields.image_alt = self.first(&["image_alt"]);
        for key in ["image", "images", "cover"] {
            let Some(mut node) = take(&mut self.table, key) else { continue };
            if let Value::List(items) = node.value {
                let Some(first) = items.into_iter().next() else { continue };
                node = first;
            }
            if let Value::Table(mut table) = node.value {
                let alt = take(&mut table, "alt").and_then(|alt| self.as_text("alt", alt));
                fields.image_alt = fields.image_alt.take().or(alt);
                let names = ["path", "image", "url", "src", "feature"];
                let Some(inner) = names.iter().find_map(|name| take(&mut table, name)) else { continue };
                node = inner;
            }
            let line = node.line;
            if let Some(url) = self.as_text(key, node)
                && !url.is_empty()
                && fields.image.is_none()
            {
                fields.image = Some((url, line));
            }
        }
    }

    fn related(&mut self) -> Vec<String> {
        let Some(Node { line, value }) = take(&mut self.table, "related") else { return Vec::new() };
        let nodes = match value {
            Value::List(items) => items,
            value => vec![Node { line, value }],
        };
        let mut slugs = Vec::new();
        for node in nodes {
            let line = node.line;
            let Some(written) = self.as_text("related", node) else { continue };
            match super::link::slug_of_path(&written) {
                Some(slug) => slugs.push(slug.as_str().to_owned()),
                None => {
                    self.complaints
                        .add(line, format!("related is not an article: {written:?}"))
                        .hint("write the other article's slug: the last part of its address");
                }
            }
        }
        slugs
    }

    fn aliases(&mut self, key: &str, aliases: &mut Vec<String>) {
        let Some(Node { line, value }) = take(&mut self.table, key) else { return };
        let nodes = match value {
            Value::List(items) => items,
            value => vec![Node { line, value }],
        };
        for node in nodes {
            let line = node.line;
            let Some(written) = self.as_text(key, node) else { continue };
            match alias(&written) {
                Some(path) if !aliases.contains(&path) => aliases.push(path),
                Some(_) => {}
                None => self
                    .complaints
                    .add(line, format!("{key} holds what is no address of before: {written:?}"))
                    .hint("write a path such as /old/path/; those below /feeds/ and the like are taken"),
            }
        }
    }

    fn faq(&mut self) -> Vec<(String, String, usize)> {
        const HINT: &str = "write each as { question = \"…\", answer = \"…\" }";
        let Some(Node { line, value }) = take(&mut self.table, "faq") else { return Vec::new() };
        let Value::List(items) = value else {
            self.wrong("faq", line, "a list of questions", &value).hint(HINT);
            return Vec::new();
        };
        let mut questions = Vec::new();
        for Node { line, value } in items {
            let Value::Table(mut table) = value else {
                self.wrong("faq", line, "a question with its answer", &value).hint(HINT);
                continue;
            };
            let question = take(&mut table, "question").and_then(|node| self.as_text("question", node));
            let answer = match take(&mut table, "answer") {
                Some(Node { line, value: Value::Text(markdown) }) => Some((markdown, line)),
                Some(node) => self.as_text("answer", node).map(|text| (text, line)),
                None => None,
            };
            for (key, node) in table {
                let complaint = self.complaints.add(node.line, format!("unknown key {key:?} in faq"));
                if let Some(meant) = did_you_mean(&key, ["question", "answer"]) {
                    complaint.hint(format!("did you mean \"{meant}\"?"));
                }
            }
            match (question.filter(|text| !text.is_empty()), answer.filter(|(text, _)| !text.trim().is_empty())) {
                (Some(question), Some((answer, line))) => questions.push((question, answer, line)),
                _ => {
                    self.complaints.add(line, "faq has a question without an answer, or the reverse").hint(HINT);
                }
            }
        }
        questions
    }

    fn language(&mut self) -> Option<String> {
        let mut found = None;
        for key in ["language", "lang"] {
            let Some((written, line)) = self.text(key).unwrap_or(None) else { continue };
            let tag = written.replace('_', "-");
            if is_tag(&tag) {
                found = found.or(Some(tag));
            } else {
                self.complaints.add(line, format!("{key} is not a language: {written:?}")).hint("write en or pt-BR");
            }
        }
        found
    }
}
