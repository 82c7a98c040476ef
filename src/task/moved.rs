//! Pages at the addresses that articles had before, or say that they had (`aliases`), for those who serve `public/`: `serve` answers with a redirection.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use super::pages::{Common, moved_page};
use super::present::Presenter;
use super::publish::{remove, write_if_new};
use super::{Publication, TaskError};
use crate::domain::article::alias;

/// Where `public/` keeps which such pages it has: the path, and the slug that it leads to.
const MOVED: &str = ".tidings-moved";

/// What became of such pages.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// The paths of all that there are.
    pub(super) paths: Vec<String>,
    /// Files whose bytes were new.
    pub(super) new: usize,
    /// Files removed.
    pub(super) removed: usize,
}

fn path(slug: &str) -> String {
    format!("/articles/{slug}/index.html")
}

/// The file that answers at a path of before.
fn file_at(alias: &str) -> String {
    let is_file = alias.rsplit('/').next().is_some_and(|name| name.contains('.'));
    if is_file { alias.to_owned() } else { format!("{alias}/index.html") }
}

/// Everything else that `public/` has.
pub(super) struct Others<'a> {
    /// The slugs that articles have: theirs is the page there.
    pub(super) taken: &'a HashSet<&'a str>,
    /// Paths of files that are written, without a slash in front.
    pub(super) files: &'a HashSet<String>,
    /// The folder whose files are copied.
    pub(super) statics: &'a Path,
}

impl Others<'_> {
    fn is_written(&self, path: &str) -> bool {
        let slug = path.strip_prefix("/articles/").and_then(|rest| rest.strip_suffix("/index.html"));
        slug.is_some_and(|slug| self.taken.contains(slug)) || self.files.contains(path.trim_start_matches('/'))
    }

    /// Whether something else stands at a path.
    fn has(&self, path: &str) -> bool {
        self.is_written(path) || self.statics.join(path.trim_start_matches('/')).exists()
    }

    /// Whether a file stands at a path, so that nothing can stand below it.
    fn has_file(&self, path: &str) -> bool {
        self.is_written(path) || self.statics.join(path.trim_start_matches('/')).is_file()
    }
}

/// The paths above a path: `/a` and `/a/b` of `/a/b/c`.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').skip(1).map(|(end, _)| &path[..end])
}

/// Removes the pages that lead nowhere any more; then writes those that are new or lead elsewhere than before, or all. One
/// that can be no file is complained of, and the others are written.
///
/// # Errors
/// When the store fails, the template cannot be rendered, or what is noted of them cannot be written.
pub(super) async fn write(
    publication: &Publication,
    presenter: &Presenter<'_>,
    common: &Common,
    others: &Others<'_>,
    all: bool,
) -> Result<Written, TaskError> {
    let root: &Path = &publication.config.public;
    let before = std::fs::read_to_string(root.join(MOVED)).unwrap_or_default();
    // The file is in anybody's reach who writes there: what it names is a path, or nothing.
    let is_path = |path: &str| alias(path.strip_suffix("/index.html").unwrap_or(path)).is_some();
    let mut before: BTreeMap<&str, &str> =
        before.lines().filter_map(|line| line.rsplit_once(' ')).filter(|(path, _)| is_path(path)).collect();
    let mut wanted: BTreeMap<String, String> = BTreeMap::new();
    // Of several who stood there, the one that came out last.
    wanted.extend(publication.store.aliases().await?.into_iter().map(|(alias, now)| (file_at(&alias), now)));
    wanted.extend(publication.store.moved().await?.into_iter().map(|(slug, now)| (path(&slug), now)));
    wanted.retain(|path, _| !others.has(path));
    let is_file = |path: &str| wanted.contains_key(path) || others.has_file(path);
    let hidden: Vec<String> = wanted.keys().filter(|path| above(path).any(is_file)).cloned().collect();
    for path in &hidden {
        tracing::warn!(path, "there is no page at an address of before: it lies below that of a file");
        wanted.remove(path);
    }
    let mut done = Written::default();
    let mut lines = String::new();
    // First what is gone: a folder may stand where a file is to be, or the other way round.
    before.retain(|path, now| {
        if wanted.contains_key(*path) {
            return true;
        }
        if !others.has(path) {
            match remove(root, path) {
                Ok(is_removed) => done.removed += usize::from(is_removed),
                Err(error) => {
                    tracing::warn!(path, %error, "the page at an address of before stays");
                    lines.extend([*path, " ", *now, "\n"]);
                }
            }
        }
        false
    });
    for (path, now) in wanted {
        if before.get(path.as_str()) != Some(&now.as_str()) || all {
            let page = moved_page(publication, presenter, common, &now)?;
            match write_if_new(root, &path, page.as_bytes()) {
                Ok(is_new) => done.new += usize::from(is_new),
                Err(error) => {
                    tracing::warn!(path, %error, "there is no page at an address of before");
                    continue;
                }
            }
        }
        lines.extend([path.as_str(), " ", &now, "\n"]);
        done.paths.push(path);
    }
    if !lines.is_empty() || root.join(MOVED).exists() {
        write_if_new(root, MOVED, lines.as_bytes())?;
    }
    Ok(done)
}
