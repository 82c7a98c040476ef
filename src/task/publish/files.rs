//! Files into `public/`: written beside their place and renamed, and only where their bytes are new.

use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Seek as _};
use std::path::Path;

use rayon::prelude::*;

use crate::task::TaskError;
use crate::task::document::Coding;

/// Calls `with` for each file below `folder`; a folder that is not there has none. Links are not followed, and nothing
/// hidden is seen.
pub(super) fn list_files(folder: &Path, with: &mut dyn FnMut(&Path, &std::fs::Metadata)) {
    let Ok(listing) = std::fs::read_dir(folder) else { return };
    for entry in listing.flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if metadata.is_dir() {
            list_files(&entry.path(), with);
        } else if metadata.is_file() {
            with(&entry.path(), &metadata);
        }
    }
}

/// Removes a file; returns whether it was there. The page's folder goes with it, unless somebody put something else there.
pub(in crate::task) fn remove(root: &Path, path: &str) -> Result<bool, TaskError> {
    let path = root.join(path.trim_start_matches('/'));
    match std::fs::remove_file(&path) {
        Ok(()) => {
            // With the folders that are empty now.
            let _ = path.ancestors().skip(1).take_while(|folder| *folder != root).try_for_each(std::fs::remove_dir);
            Ok(true)
        }
        // Or a file stands where its folder was.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(source) => Err(TaskError::Write { path: path.display().to_string(), source }),
    }
}

/// Writes a document, and beside it the same in each coding, made anew only where its bytes are new. Returns how many of the
/// documents are new: 0 or 1.
pub(super) fn write_coded(root: &Path, path: &str, bytes: &[u8]) -> Result<usize, TaskError> {
    let is_new = !has_bytes(&root.join(path.trim_start_matches('/')), bytes);
    // The document comes last: whatever ends this midway, the next time finds it and its codings to be made.
    Coding::ALL.into_par_iter().try_for_each(|coding| {
        let path = format!("{path}.{}", coding.ending());
        if is_new || !root.join(path.trim_start_matches('/')).exists() {
            match coding.of(bytes) {
                Some(coded) => drop(write_if_new(root, &path, &coded)?),
                None => drop(remove(root, &path)?),
            }
        }
        Ok::<_, TaskError>(())
    })?;
    if is_new {
        write_if_new(root, path, bytes)?;
    }
    Ok(usize::from(is_new))
}

fn has_bytes(path: &Path, bytes: &[u8]) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.len() == bytes.len() as u64)
        && std::fs::read(path).is_ok_and(|before| before == bytes)
}

/// Writes a file unless it has these bytes already; returns whether it did.
pub(in crate::task) fn write_if_new(root: &Path, path: &str, bytes: &[u8]) -> Result<bool, TaskError> {
    let path = root.join(path.trim_start_matches('/'));
    let failed = |source| TaskError::Write { path: path.display().to_string(), source };
    if has_bytes(&path, bytes) {
        return Ok(false);
    }
    put(root, &path, &|temporary| std::fs::write(temporary, bytes)).map_err(failed)?;
    Ok(true)
}

/// Writes a file beside its place with `write`, and renames it into it.
fn put(root: &Path, path: &Path, write: &dyn Fn(&Path) -> std::io::Result<()>) -> std::io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = write(&temporary).or_else(|_| {
        // The usual reason is that the folder is not there yet.
        std::fs::create_dir_all(path.parent().unwrap_or(root))?;
        write(&temporary)
    });
    written.and_then(|()| std::fs::rename(&temporary, path)).inspect_err(|_| {
        let _ = std::fs::remove_file(&temporary);
    })
}

/// Copies a file unless its copy has its bytes already; returns whether it did. The copy has its time as well, by which it
/// is known again without being read: a recording may be larger than memory.
pub(super) fn copy_if_new(
    root: &Path,
    path: &str,
    from: &Path,
    metadata: &std::fs::Metadata,
) -> Result<bool, TaskError> {
    let path = root.join(path);
    let failed = |source| TaskError::Write { path: path.display().to_string(), source };
    let modified = metadata.modified().ok();
    if let Ok(there) = path.metadata()
        && there.len() == metadata.len()
        && (modified.is_some_and(|modified| there.modified().is_ok_and(|copied| copied == modified))
            || is_same(from, &path).unwrap_or(false))
    {
        return Ok(false);
    }
    let source = File::open(from).map_err(|source| TaskError::Write { path: from.display().to_string(), source })?;
    put(root, &path, &|temporary| {
        let mut copy = File::create(temporary)?;
        (&source).rewind()?;
        std::io::copy(&mut &source, &mut copy)?;
        // Where times cannot be set, the bytes are compared.
        let _ = modified.map(|modified| copy.set_modified(modified));
        Ok(())
    })
    .map_err(failed)?;
    Ok(true)
}

/// Whether two files have the same bytes.
fn is_same(one: &Path, other: &Path) -> std::io::Result<bool> {
    let open = |path| Ok::<_, std::io::Error>(BufReader::with_capacity(64 * 1024, File::open(path)?));
    let (mut one, mut other) = (open(one)?, open(other)?);
    loop {
        let (a, b) = (one.fill_buf()?, other.fill_buf()?);
        let length = a.len().min(b.len());
        if a[..length] != b[..length] {
            return Ok(false);
        }
        if length == 0 {
            return Ok(a.len() == b.len());
        }
        one.consume(length);
        other.consume(length);
    }
}
