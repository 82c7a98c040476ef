//! What changed since the last sync: word of it, and which files it was where that can be known.

use std::collections::BTreeSet;
use std::path::{Component, Path};
use std::sync::{Mutex, MutexGuard, PoisonError};

use notify::event::{CreateKind, EventKind, ModifyKind, RemoveKind};
use tokio::sync::Notify;

use crate::source::is_named_as_article;

/// More files than this are looked for like everything.
const FEW: usize = 64;

/// Word of changes, for whoever syncs.
#[derive(Debug, Default)]
pub struct Changes {
    word: Notify,
    said: Mutex<Said>,
}

/// What was said since the last sync.
#[derive(Debug, Default)]
enum Said {
    #[default]
    Nothing,
    /// The keys of articles' files.
    Files(BTreeSet<String>),
    Anything,
}

impl Changes {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something changed, and nobody can say what.
    pub fn anything(&self) {
        self.doubt();
        self.word.notify_one();
    }

    /// The files with these keys changed, or something else that is no article.
    pub fn files(&self, keys: impl IntoIterator<Item = String>) {
        {
            let mut said = self.said();
            if matches!(*said, Said::Nothing) {
                *said = Said::Files(BTreeSet::new());
            }
            if let Said::Files(files) = &mut *said {
                files.extend(keys);
                if files.len() > FEW {
                    *said = Said::Anything;
                }
            }
        }
        self.word.notify_one();
    }

    /// Whatever changed until the next word, everything is to be looked at.
    pub(super) fn doubt(&self) {
        *self.said() = Said::Anything;
    }

    /// Waits for word.
    pub(super) async fn heard(&self) {
        self.word.notified().await;
    }

    /// The files that were said to have changed since this was asked last; none where it may be anything.
    pub(super) fn take(&self) -> Option<BTreeSet<String>> {
        match std::mem::take(&mut *self.said()) {
            Said::Nothing | Said::Anything => None,
            Said::Files(files) => Some(files),
        }
    }

    /// Passes on what the system tells of the articles' folder and of others.
    pub(super) fn hear(&self, folder: &Path, event: notify::Result<notify::Event>) {
        match event {
            Ok(event) if event.kind.is_access() => {}
            Ok(event) => match touched(folder, &event) {
                Some(keys) => self.files(keys),
                None => self.anything(),
            },
            Err(_) => self.anything(),
        }
    }
}

/// The keys of the articles that an event is of; none where it may be of more, as what becomes of a folder is.
fn touched(folder: &Path, event: &notify::Event) -> Option<Vec<String>> {
    let is_of_file = match event.kind {
        _ if event.need_rescan() => return None,
        EventKind::Create(CreateKind::File)
        | EventKind::Remove(RemoveKind::File)
        | EventKind::Modify(ModifyKind::Data(_)) => true,
        EventKind::Modify(ModifyKind::Name(_) | ModifyKind::Metadata(_)) => false,
        _ => return None,
    };
    let mut keys = vec![];
    for path in &event.paths {
        let key = key(path.strip_prefix(folder).ok()?)?;
        if !is_of_file && path.is_dir() {
            return None;
        }
        if is_named_as_article(&key) {
            keys.push(key);
        } else if !is_of_file && !path.is_file() {
            // It is gone, and may have been a folder.
            return None;
        }
    }
    Some(keys)
}

/// A path below the folder as a key.
fn key(path: &Path) -> Option<String> {
    let names = path.components().map(|component| match component {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    names.collect::<Option<Vec<_>>>().filter(|names| !names.is_empty()).map(|names| names.join("/"))
}

#[cfg(test)]
mod tests {
    use notify::event::{DataChange, Flag, RenameMode};

    use super::*;

    fn event(kind: EventKind, path: &Path) -> notify::Event {
        notify::Event::new(kind).add_path(path.to_owned())
    }

    #[test]
    fn what_becomes_of_a_file_is_of_that_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir(root.join("deep.md")).unwrap();
        std::fs::write(root.join("x.png"), "x").unwrap();
        let data = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let name = EventKind::Modify(ModifyKind::Name(RenameMode::From));
        let [created, removed] = [EventKind::Create(CreateKind::File), EventKind::Remove(RemoveKind::File)];
        let of = |kind, path: &str| touched(root, &event(kind, &root.join(path)));
        for kind in [data, name, created, removed] {
            assert_eq!(of(kind, "2026/a.md"), Some(vec!["2026/a.md".to_owned()]), "{kind:?}");
            assert_eq!(of(kind, "x.png"), Some(vec![]), "{kind:?}");
        }
        assert_eq!(of(removed, "a.md~"), Some(vec![]));
        // What may be a folder may have held anything.
        assert_eq!(of(name, "gone"), None);
        assert_eq!(of(name, "deep.md"), None);
        assert_eq!(of(EventKind::Create(CreateKind::Folder), "new"), None);
        assert_eq!(of(EventKind::Remove(RemoveKind::Folder), "new.md"), None);
        assert_eq!(of(EventKind::Any, "a.md"), None);
        assert_eq!(touched(root, &event(data, Path::new("/elsewhere/a.md"))), None);
        assert_eq!(touched(root, &event(data, root).set_flag(Flag::Rescan)), None);
    }

    #[test]
    fn many_files_are_anything_and_so_is_what_nobody_can_name() {
        let changes = Changes::default();
        assert_eq!(changes.take(), None);
        changes.files(["a.md".to_owned()]);
        changes.files(["b.md".to_owned(), "a.md".to_owned()]);
        assert_eq!(changes.take(), Some(["a.md".to_owned(), "b.md".to_owned()].into()));
        changes.files([]);
        assert_eq!(changes.take(), Some(BTreeSet::new()));
        changes.files(["a.md".to_owned()]);
        changes.anything();
        changes.files(["b.md".to_owned()]);
        assert_eq!(changes.take(), None);
        changes.files((0..=FEW).map(|number| format!("{number}.md")));
        assert_eq!(changes.take(), None);
    }
}
