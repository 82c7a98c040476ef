//! The files of shelves: what changed since the last publish, and nothing of what is gone.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::{Files, Presenter, Publication, TaskError, founded_by, with_codings, write_coded, write_if_new};
use crate::domain::shelf::{Kind, Shelf};
use crate::syndication::Format;
use crate::task::shelves::{Shown, all, has_own_list, list_page};
use crate::template::view::Common;

/// Where `public/` keeps which shelves it has.
const SHELVES: &str = ".tidings-shelves";

/// A folder that may be one of ours: `tags/harbour`.
fn is_folder(line: &str) -> bool {
    let known = |(folder, slug): (&str, &str)| {
        Kind::ALL.iter().any(|kind| kind.folder() == folder) && !slug.is_empty() && !slug.contains(['/', '.', '\\'])
    };
    line.split_once('/').is_some_and(known)
}

/// Everything in the folder of a shelf.
fn files_in(folder: &str) -> Vec<String> {
    let documents = Format::ALL.map(|format| format!("{folder}/{}", format.file_name()));
    let mut files: Vec<String> = documents.iter().flat_map(|path| with_codings(path)).collect();
    files.push(format!("{folder}/index.html"));
    files
}

impl Files {
    /// Writes the shelves that changed since a revision (0: all), and removes those on which nothing stands any more.
    /// Returns the paths of everything that is there.
    pub(super) async fn write_shelves(
        &mut self,
        publication: &Publication,
        presenter: &Presenter<'_>,
        common: &Common,
        since: i64,
    ) -> Result<Vec<String>, TaskError> {
        let shelves = all(publication).await?;
        let folder = |shelf: &Shelf| format!("{}/{}", shelf.kind.folder(), shelf.slug);
        let now: BTreeSet<String> = shelves.iter().map(folder).collect();
        let listed = std::fs::read_to_string(self.root.join(SHELVES)).unwrap_or_default();
        let before: BTreeSet<String> = listed.lines().filter(|line| is_folder(line)).map(str::to_owned).collect();
        let kinds = publication.config.feed_rules.by;
        if kinds.is_empty() && now.is_empty() && listed.is_empty() {
            return Ok(vec![]);
        }
        for gone in before.difference(&now) {
            for path in files_in(gone) {
                self.remove(&path)?;
            }
        }
        let founded_by = founded_by(publication).await?;
        for shelf in &shelves {
            let place = folder(shelf);
            if shelf.revision <= since && before.contains(&place) {
                continue;
            }
            let shown = Shown::new(publication, presenter, shelf);
            let articles = shown.articles().await?;
            if let Some(document) = shown.document(&articles, &founded_by).await? {
                let write = |format: Format| {
                    write_coded(&self.root, &format!("/{place}/{}", format.file_name()), &format.bytes(&document))
                };
                self.written +=
                    Format::ALL.into_par_iter().map(write).collect::<Result<Vec<_>, _>>()?.into_iter().sum::<usize>();
            }
            self.write(&format!("/{place}/index.html"), shown.page(&articles, common)?.as_bytes())?;
        }
        let mut lines: String = now.iter().flat_map(|folder| [folder, "\n"]).collect();
        let mut paths: Vec<String> = now.iter().flat_map(|folder| files_in(folder)).collect();
        for kind in Kind::ALL {
            let (list, path) = (format!("{}/", kind.folder()), format!("/{}/index.html", kind.folder()));
            if has_own_list(publication, kind) {
                continue;
            }
            if kinds.has(kind) {
                self.write(&path, list_page(publication, presenter, common, kind, &shelves)?.as_bytes())?;
                paths.push(path.trim_start_matches('/').to_owned());
                lines.extend([&list, "\n"]);
            } else if listed.lines().any(|line| line == list) {
                self.remove(&path)?;
            }
        }
        write_if_new(&self.root, SHELVES, lines.as_bytes())?;
        Ok(paths)
    }
}
