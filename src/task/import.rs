//! Articles from elsewhere into the articles' folder: what is there already, what is new, and the files themselves.
//!
//! What was brought is read by `source::import`; nothing is overwritten, so bringing it again changes nothing.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use url::Url;

use super::{Clock, TaskError, chain};
use crate::config::Config;
use crate::domain::article::{ArticleId, Slug};
use crate::fetch::{Fetcher, Reach, Request};
use crate::problem::Problem;
use crate::source::import::Way;
use crate::source::{self, Context};

pub use crate::source::import::{Brought, Entry, Fate, Kind, Piece};

/// What a person adds to what was brought.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// The section of every article.
    pub section: Option<String>,
    /// Every article is a draft.
    pub draft: bool,
    /// Every article comes out without a mail.
    pub archive: bool,
    /// A folder below that of the articles.
    pub into: Option<PathBuf>,
}

/// What is to become of one article.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its file is not there yet.
    New,
    /// Its file is there, with the same in it.
    There,
    /// A file of that name is there, with something else in it; or it has no article in it that could be published.
    Refused,
}

/// One article and the file that it is to be in.
#[derive(Debug)]
pub struct Planned {
    /// What it says.
    pub piece: Piece,
    /// The file, as people know it.
    pub file: String,
    /// Where that is.
    path: PathBuf,
    /// What is to be in it.
    pub text: String,
    /// What is to become of it.
    pub state: State,
}

/// What an import would do.
#[derive(Debug)]
pub struct Plan {
    /// What was brought.
    pub kind: Kind,
    /// The articles, in the order in which they came.
    pub articles: Vec<Planned>,
    /// What became of what is not simply in them.
    pub account: Vec<Entry>,
    /// Everything wrong.
    pub problems: Vec<Problem>,
}

impl Plan {
    /// How many articles stand so.
    pub fn count(&self, state: State) -> usize {
        self.articles.iter().filter(|planned| planned.state == state).count()
    }
}

/// Something to be read.
#[derive(Debug, Clone, Default)]
pub struct Material {
    /// How problems call it.
    pub name: String,
    /// All of it.
    pub bytes: Vec<u8>,
    /// Where it was found, if it was fetched.
    pub url: Option<Url>,
    /// The `Content-Type` that its server says.
    pub content_type: Option<String>,
}

/// Fetches what is at an address; `may_be_private` lets it be one of a private network.
///
/// # Errors
/// When it is not there, or is more than an article can be.
pub async fn fetch(fetcher: &Fetcher, url: Url, may_be_private: bool) -> Result<Material, TaskError> {
    let name = source::bare(&url).to_string();
    let fault = |what: String, hint: &str| TaskError::from(Problem::new(name.clone(), what).hint(hint));
    let request = Request::get(url)
        .header("accept", "text/html,application/xhtml+xml,text/plain;q=0.8,*/*;q=0.5")
        .within(Reach::of(may_be_private, "--private"));
    let answer = fetcher
        .fetch(request)
        .await
        .map_err(|error| fault(chain(&error), "save the page from a browser, and bring the file"))?;
    if !answer.status.is_success() {
        let what = format!("its server answers {}", answer.status);
        return Err(fault(what, "open it in a browser, save it there, and bring the file"));
    }
    let content_type = answer.header("content-type").map(str::to_owned);
    Ok(Material { name, content_type, url: Some(source::bare(&answer.url)), bytes: answer.body })
}

/// What is known of the publication while articles are brought in.
#[derive(Debug)]
pub struct Desk<'a> {
    config: &'a Config,
    now: chrono::DateTime<chrono::Utc>,
}

impl<'a> Desk<'a> {
    /// The publication's, at this moment.
    pub fn new(config: &'a Config, clock: &Clock) -> Self {
        Self { config, now: clock.now() }
    }

    fn context(&self) -> Context<'a> {
        let publication = &self.config.publication;
        Context { base: &publication.url, time_zone: publication.time_zone, now: self.now }
    }

    /// Reads what was brought, whatever it is.
    pub fn read(&self, material: &Material) -> Brought {
        let way = Way { url: material.url.as_ref(), content_type: material.content_type.as_deref() };
        source::import::read(&material.name, &material.bytes, way, &self.context(), &self.config.publication.language)
    }

    /// Reads a folder that was brought.
    pub fn read_folder(&self, name: &str, path: &Path, wishes: &Wishes) -> Brought {
        source::import::folder(name, path, wishes.section.as_deref(), wishes.draft, &self.context())
    }

    /// What is to become of it: which files, and whether they are there already.
    pub fn plan(&self, brought: Brought, wishes: &Wishes) -> Plan {
        let Brought { kind, pieces, mut account, mut problems } = brought;
        let folder = wishes.into.as_ref().map_or(self.config.articles.clone(), |into| self.config.articles.join(into));
        let mut taken = HashSet::new();
        let mut articles = Vec::with_capacity(pieces.len());
        let titles = if pieces.iter().any(|piece| !piece.related.is_empty()) { self.titles() } else { HashMap::new() };
        for mut piece in pieces {
            wish(&mut piece, wishes);
            meet(&mut piece, &titles, &mut account);
            let Some(name) = file_name(&mut piece, &mut taken) else {
                let problem = located(&piece, "its title has no letters or digits that a file could be named after");
                problems.push(problem.hint("give it another title there, and bring it again"));
                continue;
            };
            articles.push(self.planned(piece, &name, &folder, &mut problems));
        }
        Plan { kind, articles, account, problems }
    }

    /// The slugs of the articles that are there, by their titles.
    fn titles(&self) -> HashMap<String, String> {
        let finds = source::walk(&self.config.articles);
        let parsed = finds.files.iter().filter_map(|file| {
            let bytes = std::fs::read(&file.path).ok()?;
            source::parse(ArticleId(uuid::Uuid::nil()), &file.key, &file.key, &bytes, &self.context()).article
        });
        parsed.map(|article| (title_key(&article.title), article.slug.as_str().to_owned())).collect()
    }

    fn planned(&self, piece: Piece, name: &str, folder: &Path, problems: &mut Vec<Problem>) -> Planned {
        let path = folder.join(name);
        let file = self.config.name_of(&path);
        let text = piece.text();
        let mut state = match std::fs::read(&path) {
            Ok(bytes) if is_same(&bytes, &text, piece.is_dated_now) => State::There,
            Ok(_) => {
                let problem =
                    located(&piece, &format!("{file} is there already, with something else in it; it stays as it is"));
                problems
                    .push(problem.hint("compare the two with --dry-run, and delete or rename the one that is there"));
                State::Refused
            }
            Err(_) => State::New,
        };
        // The sync would complain of it later: better now.
        let key = path.strip_prefix(&self.config.articles).map_or_else(|_| path.clone(), Path::to_path_buf);
        let key = key.to_string_lossy().replace('\\', "/");
        let parsed = source::parse(ArticleId(uuid::Uuid::nil()), &file, &key, text.as_bytes(), &self.context());
        if parsed.article.is_none() && state == State::New {
            state = State::Refused;
        }
        problems.extend(parsed.problems);
        Planned { piece, file, path, text, state }
    }

    /// Writes every file that is new. Returns how many that were.
    ///
    /// # Errors
    /// When a file cannot be written; those before it are there, and bringing it again goes on behind them.
    pub fn write(&self, plan: &Plan) -> Result<usize, TaskError> {
        let mut written = 0;
        for planned in plan.articles.iter().filter(|planned| planned.state == State::New) {
            let failed = |source| TaskError::Write { path: planned.file.clone(), source };
            write_new(&planned.path, planned.text.as_bytes()).map_err(failed)?;
            written += 1;
        }
        Ok(written)
    }
}

/// Whether a file holds a text; where its date is that of the import, whatever day that was.
fn is_same(bytes: &[u8], text: &str, is_dated_now: bool) -> bool {
    let dateless =
        |text: &str| text.lines().filter(|line| !line.starts_with("date")).map(str::to_owned).collect::<Vec<_>>();
    bytes == text.as_bytes()
        || (is_dated_now && std::str::from_utf8(bytes).is_ok_and(|bytes| dateless(bytes) == dateless(text)))
}

/// A complaint about one of the articles that were brought.
fn located(piece: &Piece, what: &str) -> Problem {
    let problem = Problem::new(piece.origin.clone(), what);
    match piece.line {
        Some(line) => problem.at(line),
        None => problem,
    }
}

/// A title as titles are compared.
fn title_key(title: &str) -> String {
    Slug::from_text(title).map_or_else(String::new, |slug| slug.as_str().to_owned())
}

fn wish(piece: &mut Piece, wishes: &Wishes) {
    if let Some(section) = &wishes.section {
        piece.section = Some(section.clone());
    }
    piece.draft |= wishes.draft;
    // A draft that is published one day is news on that day.
    piece.archive = (piece.archive || wishes.archive) && !piece.draft;
}

/// Lets what the article names lead to the articles that are there under those titles.
fn meet(piece: &mut Piece, titles: &HashMap<String, String>, account: &mut [Entry]) {
    for related in &mut piece.related {
        if let Some(slug) = titles.get(related.as_str()) {
            related.clone_from(slug);
            continue;
        }
        let said = format!("also read: {related}");
        for entry in account.iter_mut().filter(|entry| entry.what == said && entry.file == piece.origin) {
            (entry.unsure, entry.what) =
                (true, format!("{said}, which is not there (yet): until then it shows nothing"));
        }
    }
}

/// A name that no other of these articles has: its slug, with a number where that is taken.
fn file_name(piece: &mut Piece, taken: &mut HashSet<String>) -> Option<String> {
    if let Some((key, _)) = &piece.whole {
        return Some(key.clone());
    }
    let stem = piece.stem()?.as_str().to_owned();
    let mut name = stem.clone();
    let mut number = 1;
    while !taken.insert(name.clone()) {
        number += 1;
        name = format!("{stem}-{number}");
    }
    // The file's name says it.
    piece.slug = None;
    Some(format!("{name}.{}", piece.ending()))
}

/// Writes a file that is not there: whole, or not at all.
fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    // A hidden file is no article: whoever looks meanwhile sees all of it or nothing.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let half = folder.join(format!(".{name}.{}", std::process::id()));
    let write = || {
        let mut file = std::fs::File::create(&half)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        // Unlike a rename, a link never takes the place of what came there meanwhile.
        std::fs::hard_link(&half, path)
    };
    let written = write();
    let _ = std::fs::remove_file(&half);
    written
}
