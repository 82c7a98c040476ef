//! The files of a folder of articles: found, not read.
//!
//! Hidden files, `_index.md` (a section's own page in Zola and Hugo) and whatever a symbolic link reaches
//! outside the folder are left out. Every file that is wanted is asked for its size and time once.

use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rayon::prelude::*;

use crate::problem::Problem;

/// Endings of the files that can be articles.
const ENDINGS: [&str; 5] = ["md", "markdown", "html", "htm", "txt"];

/// Directories within directories; deeper is a loop of links or a mistake.
const MAX_DEPTH: usize = 32;

/// One file that may be an article.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its path below the folder, with `/`.
    pub key: String,
    /// Where it is.
    pub path: PathBuf,
    /// Size in bytes.
    pub size: u64,
    /// When it was last written, in nanoseconds since 1970; 0 where the file system does not say.
    pub modified_ns: i64,
}

/// What stands below a folder, as far as it could be looked at.
#[derive(Debug, Default)]
pub struct Finds {
    /// Every article file, sorted by key.
    pub files: Vec<Found>,
    /// What could not be looked at, and why.
    pub problems: Vec<Problem>,
    /// How the keys begin of which nothing is known, since their folder or file could not be looked at; an empty
    /// text is all of them.
    pub unseen: Vec<String>,
    /// Article files that nobody asked for.
    pub others: usize,
    /// Whether there is a symbolic link: what it leads to has another name as well.
    pub has_links: bool,
}

impl Finds {
    fn join(mut self, mut other: Self) -> Self {
        self.files.append(&mut other.files);
        self.problems.append(&mut other.problems);
        self.unseen.append(&mut other.unseen);
        self.others += other.others;
        self.has_links |= other.has_links;
        self
    }

    fn failed(path: &Path, key: &str, doing: &str, error: &io::Error) -> Self {
        let problem = Problem::new(path.to_string_lossy(), format!("cannot {doing}: {error}"));
        Self { problems: vec![problem], unseen: vec![key.to_owned()], ..Self::default() }
    }

    /// Whether a file of this key may be there without having been seen.
    pub fn may_hide(&self, key: &str) -> bool {
        self.unseen.iter().any(|unseen| key.starts_with(unseen.as_str()))
    }
}

/// Every article file below `folder`, and what could not be looked at.
pub fn walk(folder: &Path) -> Finds {
    walk_for(folder, &|_| true)
}

/// The same of those files alone whose keys are wanted; the others are counted.
pub fn walk_for(folder: &Path, is_wanted: Wanted<'_>) -> Finds {
    let mut found = match fs::canonicalize(folder) {
        Ok(root) => directory(&Walk { root: &root, is_wanted }, folder, "", 0),
        Err(error) => Finds::failed(folder, "", "open the folder", &error),
    };
    found.files.par_sort_unstable_by(|a, b| a.key.cmp(&b.key));
    found.problems.sort_unstable_by(|a, b| a.file.cmp(&b.file));
    found
}

/// Whether a file of this key is to be asked for its size and time.
type Wanted<'a> = &'a (dyn Fn(&str) -> bool + Sync);

/// Where a walk began, and for what.
struct Walk<'a> {
    root: &'a Path,
    is_wanted: Wanted<'a>,
}

fn directory(walk: &Walk<'_>, path: &Path, below: &str, depth: usize) -> Finds {
    let entries: Vec<_> = match fs::read_dir(path) {
        Ok(entries) => entries.collect(),
        Err(error) => return Finds::failed(path, below, "read the folder", &error),
    };
    entries
        .into_par_iter()
        .with_min_len(256)
        .fold(Finds::default, |finds, entry| match entry {
            Ok(entry) => look(finds, walk, path, below, depth, &entry),
            Err(error) => finds.join(Finds::failed(path, below, "read the folder", &error)),
        })
        .reduce(Finds::default, Finds::join)
}

fn look(mut finds: Finds, walk: &Walk<'_>, folder: &Path, below: &str, depth: usize, entry: &DirEntry) -> Finds {
    let name = entry.file_name();
    let Some(name) = name.to_str() else {
        let problem = Problem::new(entry.path().to_string_lossy(), "the file's name is not UTF-8")
            .hint("give it a name in plain letters");
        finds.problems.push(problem);
        return finds;
    };
    if name.starts_with('.') || name.starts_with("_index.") {
        return finds;
    }
    let path = || folder.join(name);
    let kind = match entry.file_type() {
        Ok(kind) => kind,
        Err(error) => return finds.join(Finds::failed(&path(), &format!("{below}{name}"), "look at the file", &error)),
    };
    finds.has_links |= kind.is_symlink();
    if kind.is_dir() || (kind.is_symlink() && path().is_dir()) {
        let inside = !kind.is_symlink() || stays_inside(walk.root, &path());
        if inside && depth < MAX_DEPTH {
            return finds.join(directory(walk, &path(), &format!("{below}{name}/"), depth + 1));
        }
        let what = if inside { "the folders are too deep" } else { LEADS_OUT };
        finds.problems.push(Problem::new(path().to_string_lossy(), what));
        return finds;
    }
    if !is_named_as_article(name) {
        return finds;
    }
    let (path, key) = (path(), format!("{below}{name}"));
    if !(walk.is_wanted)(&key) {
        finds.others += 1;
        return finds;
    }
    if kind.is_symlink() && !stays_inside(walk.root, &path) {
        finds.problems.push(Problem::new(path.to_string_lossy(), LEADS_OUT).hint("copy the file into the folder"));
        return finds;
    }
    let metadata = if kind.is_symlink() { fs::metadata(&path) } else { entry.metadata() };
    match metadata {
        Ok(metadata) if metadata.is_file() => {
            finds.files.push(Found { key, path, size: metadata.len(), modified_ns: modified_ns(&metadata) });
            finds
        }
        Ok(_) => finds,
        Err(error) => finds.join(Finds::failed(&path, &key, "look at the file", &error)),
    }
}

/// Whether a file of this name can be an article, as far as its name goes.
pub fn is_named_as_article(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, ending)| is_article_ending(ending))
}

/// Whether files with this ending can be articles.
pub(super) fn is_article_ending(ending: &str) -> bool {
    ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known))
}

const LEADS_OUT: &str = "the symbolic link leads out of the folder";

fn stays_inside(root: &Path, link: &Path) -> bool {
    // A directory that contains the link itself would be walked without end.
    let parent = link.parent().and_then(|parent| fs::canonicalize(parent).ok());
    fs::canonicalize(link)
        .is_ok_and(|target| target.starts_with(root) && !parent.is_some_and(|parent| parent.starts_with(&target)))
}

fn modified_ns(metadata: &Metadata) -> i64 {
    let modified = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    modified.and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(folder: &Path) -> (Vec<String>, Vec<String>) {
        let Finds { files: found, problems, .. } = walk(folder);
        (found.into_iter().map(|found| found.key).collect(), problems.into_iter().map(|p| p.what).collect())
    }

    #[test]
    fn only_article_files_are_found_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("2024/deep")).unwrap();
        fs::create_dir_all(folder.path().join(".git")).unwrap();
        for name in
            ["b.md", "a.HTML", "2024/c.txt", "2024/deep/d.markdown", "_index.md", ".e.md", ".git/f.md", "g.png", "md"]
        {
            fs::write(folder.path().join(name), "text").unwrap();
        }
        let Finds { files: found, problems, .. } = walk(folder.path());
        let keys: Vec<_> = found.iter().map(|found| found.key.as_str()).collect();
        assert_eq!(keys, ["2024/c.txt", "2024/deep/d.markdown", "a.HTML", "b.md"]);
        assert_eq!(found[3].size, 4);
        assert!(found[3].modified_ns > 0);
        assert_eq!(problems, []);
    }

    #[test]
    fn who_wants_some_is_given_those_and_the_number_of_the_others() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        for name in ["a/1.md", "a/2.md", "b.md", "c.md", "d.png"] {
            fs::write(folder.path().join(name), "text").unwrap();
        }
        let finds = walk_for(folder.path(), &|key| ("a/2.md".."c.md").contains(&key));
        let keys: Vec<_> = finds.files.iter().map(|found| found.key.as_str()).collect();
        assert_eq!((keys, finds.others, finds.has_links), (vec!["a/2.md", "b.md"], 2, false));
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_is_followed_inside_the_folder_only() {
        use std::os::unix::fs::symlink;
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("secret.md"), "x").unwrap();
        fs::write(folder.path().join("real.md"), "x").unwrap();
        symlink(folder.path().join("real.md"), folder.path().join("link.md")).unwrap();
        symlink(outside.path().join("secret.md"), folder.path().join("out.md")).unwrap();
        symlink(outside.path(), folder.path().join("outside")).unwrap();
        symlink(folder.path(), folder.path().join("loop")).unwrap();
        assert!(walk_for(folder.path(), &|_| false).has_links);
        let (keys, problems) = keys(folder.path());
        assert_eq!(keys, ["link.md", "real.md"]);
        assert_eq!(problems, vec![LEADS_OUT; 3]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_a_problem() {
        let (keys, problems) = keys(Path::new("/no/such/folder"));
        assert_eq!((keys.len(), problems.len()), (0, 1));
    }
}
