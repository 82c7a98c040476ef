//! Pages at the addresses that articles had before, for those who serve `public/`: `serve` answers with a redirection.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use super::pages::{Common, moved_page};
use super::present::Presenter;
use super::publish::{remove, write_if_new};
use super::{Publication, TaskError};

/// Where `public/` keeps which such pages it has: the slug of before, and the one that it leads to.
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

/// Writes the pages that are new or lead elsewhere than before, or all; and removes those that lead nowhere any more.
/// `taken` are the slugs that articles have: theirs is the page there.
///
/// # Errors
/// When the store fails, the template cannot be rendered, or a file cannot be written.
pub(super) async fn write(
    publication: &Publication,
    presenter: &Presenter<'_>,
    common: &Common,
    taken: &HashSet<&str>,
    all: bool,
) -> Result<Written, TaskError> {
    let root: &Path = &publication.config.public;
    let before = std::fs::read_to_string(root.join(MOVED)).unwrap_or_default();
    let mut before: BTreeMap<&str, &str> = before
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(slug, _)| !slug.contains(['/', '\\', '.']))
        .collect();
    let mut done = Written::default();
    let mut lines = String::new();
    for (slug, now) in publication.store.moved().await? {
        lines.extend([slug.as_str(), " ", &now, "\n"]);
        if before.remove(slug.as_str()) != Some(&now) || all {
            let page = moved_page(publication, presenter, common, &now)?;
            done.new += usize::from(write_if_new(root, &path(&slug), page.as_bytes())?);
        }
        done.paths.push(path(&slug));
    }
    for slug in before.into_keys().filter(|slug| !taken.contains(slug)) {
        done.removed += usize::from(remove(root, &path(slug))?);
    }
    if !lines.is_empty() || root.join(MOVED).exists() {
        write_if_new(root, MOVED, lines.as_bytes())?;
    }
    Ok(done)
}
