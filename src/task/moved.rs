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

/// Writes the pages that are new or lead elsewhere than before, or all; and removes those that lead nowhere any more.
/// `taken` are the slugs that articles have: theirs is the page there. `own` are paths of other pages and documents.
///
/// # Errors
/// When the store fails, the template cannot be rendered, or a file cannot be written.
pub(super) async fn write(
    publication: &Publication,
    presenter: &Presenter<'_>,
    common: &Common,
    taken: &HashSet<&str>,
    own: &dyn Fn(&str) -> bool,
    all: bool,
) -> Result<Written, TaskError> {
    let root: &Path = &publication.config.public;
    let before = std::fs::read_to_string(root.join(MOVED)).unwrap_or_default();
    // The file is in anybody's reach who writes there: what it names is a path, or nothing.
    let mut before: BTreeMap<&str, &str> =
        before.lines().filter_map(|line| line.rsplit_once(' ')).filter(|(path, _)| alias(path).is_some()).collect();
    let is_article = |path: &str| {
        let slug = path.strip_prefix("/articles/").and_then(|rest| rest.strip_suffix("/index.html"));
        slug.is_some_and(|slug| taken.contains(slug))
    };
    let mut wanted: BTreeMap<String, String> = BTreeMap::new();
    // Of several who stood there, the one that came out last.
    wanted.extend(publication.store.aliases().await?.into_iter().map(|(alias, now)| (file_at(&alias), now)));
    wanted.extend(publication.store.moved().await?.into_iter().map(|(slug, now)| (path(&slug), now)));
    wanted.retain(|path, _| !is_article(path) && !own(path));
    let mut done = Written::default();
    let mut lines = String::new();
    for (path, now) in wanted {
        lines.extend([path.as_str(), " ", &now, "\n"]);
        if before.remove(path.as_str()) != Some(&now) || all {
            let page = moved_page(publication, presenter, common, &now)?;
            done.new += usize::from(write_if_new(root, &path, page.as_bytes())?);
        }
        done.paths.push(path);
    }
    for path in before.into_keys().filter(|path| !is_article(path) && !own(path)) {
        done.removed += usize::from(remove(root, path)?);
    }
    if !lines.is_empty() || root.join(MOVED).exists() {
        write_if_new(root, MOVED, lines.as_bytes())?;
    }
    Ok(done)
}
