//! Articles in: the files of a folder (Markdown, HTML, plain text) become [`Article`]s.
//!
//! [`walk`] finds the files, [`parse`] reads one. Folders of Hugo, Zola and Jekyll come in as they are. Every body
//! is sanitised here, once, and every link in it made absolute, so that what leaves this room can stand in a feed, in
//! a mail and on a page. This room knows nothing of feeds, of the database or of the clock.
//!
//! | File | What it knows |
//! |---|---|
//! | `folder` | which files are articles |
//! | `front_matter` | TOML and YAML as values with lines |
//! | `fields` | what the keys mean; below it, those of what is heard or watched |
//! | `date` | how dates are written |
//! | `control` | what XML cannot hold |
//! | `link` | where links lead, and which may |
//! | `markdown` | CommonMark with tables, footnotes, task lists, strikethrough, typographic punctuation |
//! | `footnote` | numbers, ids and the way back |
//! | `shortcode` | what is not run |
//! | `sanitise` | HTML that others wrote |
//! | `html` | how text is written into HTML |
//! | `prose` | words and first paragraphs |
//! | [`import`] | articles that people have elsewhere, on their way into files |
//! | [`remote`] | the documents of feeds elsewhere, and what their entries become |

mod control;
mod date;
mod decode;
mod fields;
mod folder;
mod footnote;
mod front_matter;
mod html;
pub mod import;
mod link;
mod markdown;
mod prose;
pub mod remote;
mod sanitise;
mod shortcode;

use chrono::{DateTime, Utc};

use self::control::cleaned;
use self::fields::Fields;
pub use self::link::bare;
use self::link::{Links, Use};
use crate::domain::article::{Article, ArticleId, Image, Question, Slug};
use crate::domain::text;
use crate::problem::Problem;

pub use self::folder::{Finds, Found, is_named_as_article, walk, walk_for};
pub use self::prose::text_of;

/// Largest file that is read, in bytes: ten times the longest novel's chapter, and nothing that memory would notice.
pub const MAX_BYTES: u64 = 5 * 1024 * 1024;

/// Longest summary that is made of a first paragraph, in characters.
const SUMMARY_MAX: usize = 300;

/// Complaints about one file that a person can use; what comes after them is not even looked for.
const MAX_PROBLEMS: usize = 100;

/// What reading an article needs to know about the publication.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Where readers find the publication; links that begin with `/` start at the root of its host.
    pub base: &'a url::Url,
    /// The zone of dates that name none.
    pub time_zone: chrono_tz::Tz,
    /// The moment of reading: a date far beyond it is pointed out.
    pub now: DateTime<Utc>,
}

/// One file, read: an article, complaints, or an article with complaints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The article, unless the file's faults keep it out.
    pub article: Option<Article>,
    /// Whether it says of itself that it comes out without a mail.
    pub archive: bool,
    /// Paths at which it says that it stood before.
    pub aliases: Vec<String>,
    /// Every fault found, in order of lines.
    pub problems: Vec<Problem>,
}

/// Reads one file's bytes. `name` is how problems call it, `key` its path below the folder, `id` its identity.
pub fn parse(id: ArticleId, name: &str, key: &str, bytes: &[u8], context: &Context<'_>) -> Parsed {
    let mut complaints = Complaints::new(name);
    let read = decode(bytes, &mut complaints).and_then(|text| read(id, key, text, context, &mut complaints));
    complaints.list.sort_by_key(|problem| problem.line);
    let (article, said) = read.unzip();
    let (archive, aliases) = said.unwrap_or_default();
    Parsed { article, archive, aliases, problems: complaints.list }
}

/// Complaints about one file.
struct Complaints<'a> {
    file: &'a str,
    list: Vec<Problem>,
}

/// The complaint just made, to be given its remedy.
struct Complaint<'a>(Option<&'a mut Problem>);

impl<'a> Complaints<'a> {
    fn new(file: &'a str) -> Self {
        Self { file, list: Vec::new() }
    }

    /// Whether more would not help.
    fn enough(&self) -> bool {
        self.list.len() >= MAX_PROBLEMS
    }

    /// A complaint about a line of the file, from 1.
    fn add(&mut self, line: usize, what: impl Into<String>) -> Complaint<'_> {
        if self.enough() {
            return Complaint(None);
        }
        self.list.push(Problem::new(self.file, what).at(line));
        Complaint(self.list.last_mut())
    }
}

impl Complaint<'_> {
    fn hint(self, hint: impl Into<String>) {
        if let Some(problem) = self.0 {
            problem.hint = Some(hint.into());
        }
    }
}

/// What a file is made of, by its ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Markdown,
    Html,
    Plain,
}

impl Kind {
    fn of(key: &str) -> Self {
        let ending = key.rsplit_once('.').map_or("", |(_, ending)| ending);
        let is = |known: &str| ending.eq_ignore_ascii_case(known);
        if is("html") || is("htm") {
            Self::Html
        } else if is("txt") {
            Self::Plain
        } else {
            Self::Markdown
        }
    }
}

/// A body made ready: what a feed, a mail and a page show.
struct Body {
    /// Sanitised HTML without the heading that is the title.
    html: String,
    /// The title as the body has it.
    title: Option<String>,
    /// The first paragraph, plain.
    summary: Option<String>,
    words: u32,
}

fn decode<'a>(bytes: &'a [u8], complaints: &mut Complaints<'_>) -> Option<&'a str> {
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_BYTES) {
        complaints.list.push(too_large(complaints.file));
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            let line = line_after(std::str::from_utf8(&bytes[..at]).unwrap_or_default(), 1);
            complaints.add(line, format!("the file is not UTF-8: byte {at}")).hint("save it with the encoding UTF-8");
            return None;
        }
    };
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    if text.trim().is_empty() {
        complaints.add(1, "the file is empty").hint("write it, or delete it");
        return None;
    }
    Some(text)
}

/// The complaint about a file of more than [`MAX_BYTES`].
pub fn too_large(name: &str) -> Problem {
    Problem::new(name, format!("the file is larger than {} MiB", MAX_BYTES / 1024 / 1024))
        .hint("put pictures and data into static/, and only their paths into the article")
}

/// The line that stands after the text `before`, which begins on `first`.
fn line_after(before: &str, first: usize) -> usize {
    first + before.matches('\n').count()
}

fn read(
    id: ArticleId,
    key: &str,
    text: &str,
    context: &Context<'_>,
    complaints: &mut Complaints<'_>,
) -> Option<(Article, (bool, Vec<String>))> {
    let parts = match front_matter::split(text) {
        Ok(parts) => parts,
        Err(fence) => {
            complaints
                .add(1, "front matter is not closed")
                .hint(format!("write a line {fence} between the last key and the body"));
            return None;
        }
    };
    let table =
        parts.front.as_ref().map_or(Some(front_matter::Table::new()), |front| front_matter::read(front, complaints));
    let readable = table.is_some();
    let mut fields = fields::read(table.unwrap_or_default(), context, complaints);
    let slug = slug(key, &mut fields, complaints)?;
    let links = Links::new(context.base, &slug);
    let page = Page { slug: slug.as_str(), links: &links };
    let source = Source { text: parts.body, line: parts.body_line };
    let body = body(Kind::of(key), &source, &fields, &page, complaints);
    let faq = faq(std::mem::take(&mut fields.faq), &page, complaints);
    let image = image(fields.image.take(), fields.image_alt.take(), &links, complaints);
    if !readable || fields.unusable {
        return None;
    }
    let date = fields.date.or_else(|| date_of_name(key, context.time_zone));
    let title = fields.title.take().or_else(|| Some(fields::short_title(&body.title?, parts.body_line, complaints)));
    if title.is_none() {
        complaints
            .add(1, "title is missing")
            .hint("write title = \"…\" in the front matter, or begin with # and a title");
    }
    if date.is_none() {
        complaints
            .add(1, "date is missing")
            .hint("write date = 2026-03-02 in the front matter (YAML: date: 2026-03-02)");
    }
    let said = (fields.archive, fields.aliases);
    let article = Article {
        id,
        key: key.to_owned(),
        title: title?,
        label: fields.label,
        place: fields.place,
        section: fields.section,
        language: fields.language,
        date: date?,
        updated: fields.updated,
        authors: fields.authors,
        tags: fields.tags,
        summary_given: fields.summary.is_some(),
        summary: fields.summary.or(body.summary.map(|first| text::shorten(&first, SUMMARY_MAX))).unwrap_or_default(),
        html: body.html,
        image,
        enclosure: fields.enclosure,
        featured: fields.featured,
        related: fields.related,
        faq,
        original: None,
        draft: fields.draft,
        words: body.words,
        slug,
    };
    Some((article, said))
}

fn slug(key: &str, fields: &mut Fields, complaints: &mut Complaints<'_>) -> Option<Slug> {
    let slug = fields.slug.take().or_else(|| link::slug_of_path(key));
    if slug.is_none() {
        complaints
            .add(1, "the file's name gives no slug: it has no letters or digits")
            .hint("write slug = \"…\" in the front matter");
    }
    slug
}

/// Jekyll's file names begin with a date.
fn date_of_name(key: &str, zone: chrono_tz::Tz) -> Option<DateTime<Utc>> {
    let name = key.rsplit('/').next()?;
    let (stem, _) = name.rsplit_once('.')?;
    date::parse(link::dated_stem(stem)?.0, zone)
}

fn image(
    written: Option<(String, usize)>,
    alt: Option<String>,
    links: &Links,
    complaints: &mut Complaints<'_>,
) -> Option<Image> {
    let (written, line) = written?;
    let url = links.resolve(&written, Use::Picture);
    if url.is_none() {
        complaints
            .add(line, format!("image is not an http or https address: {written:?}"))
            .hint("write https://… or the path of the picture");
    }
    Some(Image { url: url?.into(), alt: alt.unwrap_or_default(), size: None })
}

fn faq(written: Vec<(String, String, usize)>, page: &Page<'_>, complaints: &mut Complaints<'_>) -> Vec<Question> {
    written
        .into_iter()
        .enumerate()
        .map(|(number, (question, answer, line))| {
            // Footnotes of an answer must not meet those of the body.
            let prefix = format!("{}-faq{}", page.slug, number + 1);
            let page = Page { slug: &prefix, links: page.links };
            let source = Source { text: &answer, line };
            let answer = markdown::render(&source, &page, complaints);
            Question { question, answer_html: finish(answer, &source, &page, complaints).html }
        })
        .collect()
}

/// Where a body stands: whose links and ids it has.
struct Page<'a> {
    /// Begins every id in it.
    slug: &'a str,
    links: &'a Links,
}

/// A body as written, and the line of the file that it begins on.
struct Source<'a> {
    text: &'a str,
    line: usize,
}

impl Source<'_> {
    /// The line of the file at an offset of the text.
    fn line_at(&self, offset: usize) -> usize {
        line_after(self.text.get(..offset).unwrap_or_default(), self.line)
    }
}

fn body(kind: Kind, source: &Source<'_>, fields: &Fields, page: &Page<'_>, complaints: &mut Complaints<'_>) -> Body {
    let title = fields.title.as_deref();
    match kind {
        Kind::Markdown => {
            let mut rendered = markdown::render(source, page, complaints);
            let title = rendered.take_title(title);
            Body { title, ..finish(rendered, source, page, complaints) }
        }
        Kind::Html => sanitise::body(source, title, page, complaints),
        Kind::Plain => plain(source, title.is_some(), complaints),
    }
}

/// What Markdown became; sanitised where it holds HTML of the author's own.
fn finish(rendered: markdown::Rendered, source: &Source<'_>, page: &Page<'_>, complaints: &mut Complaints<'_>) -> Body {
    let (html, summary, words) = if rendered.has_html {
        let html = sanitise::clean(&rendered.html, source, page, complaints);
        let prose = prose::of_html(&html);
        (html, prose.summary, prose.words)
    } else {
        (rendered.html, rendered.summary, rendered.words)
    };
    let summary = summary.map(|summary| text::one_line(&summary));
    Body { html: cleaned(html, source, complaints), title: None, summary, words }
}

/// Plain text: the first line is the title unless there is one, blank lines part the paragraphs.
fn plain(source: &Source<'_>, titled: bool, complaints: &mut Complaints<'_>) -> Body {
    let body = cleaned(source.text.trim().replace("\r\n", "\n"), source, complaints);
    let (title, rest) = match body.split_once('\n') {
        _ if titled => (None, body.as_str()),
        Some((first, rest)) => (Some(text::one_line(first)), rest),
        None => (Some(text::one_line(&body)), ""),
    };
    let mut words = prose::Words::default();
    let mut html = String::with_capacity(rest.len() + 64);
    let mut summary = None;
    let mut paragraph = String::new();
    for line in rest.lines().chain([""]) {
        if !line.trim().is_empty() {
            paragraph.push_str(if paragraph.is_empty() { "" } else { "\n" });
            paragraph.push_str(line.trim());
        } else if !paragraph.is_empty() {
            words.add(&paragraph);
            words.gap();
            html.push_str("<p>");
            html.push_str(&text::escape_html(&paragraph));
            html.push_str("</p>\n");
            let first = std::mem::take(&mut paragraph);
            summary = summary.or_else(|| Some(text::one_line(&first)));
        }
    }
    Body { html, title: title.filter(|title| !title.is_empty()), summary, words: words.count() }
}
