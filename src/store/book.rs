//! Outcomes noted in a file at once, and entered into the deliveries later, many in one commit.
//!
//! With SQLite only, whose file is on this machine as well. A line that was written outlives its process: whoever takes
//! over from it, or begins after it, enters it first. Nothing here waits for the disk; a power failure may cost the lines
//! since the last claim, and those whom they were about get their message again.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::dialect::Database;
use super::{Settled, Store, StoreError, deliveries, json};

/// Lines entered with one statement when a book is read back.
const AT_ONCE: usize = 1000;

/// Where the holder of one claim notes outcomes. It has two pages: one is written while the other is entered.
#[derive(Debug)]
pub struct Book {
    pages: Mutex<Pages>,
    /// Lines made so far: a page does not tell whether it is the newer one.
    lines: AtomicU64,
}

#[derive(Debug)]
struct Pages {
    /// The first is locked for as long as its process lives.
    files: [File; 2],
    current: usize,
}

/// A page on which nothing more is written until it is forgotten.
#[derive(Debug)]
#[must_use]
pub struct Page(usize);

impl Book {
    fn open(folder: &Path, claim: &str) -> io::Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
        let open = |page: &PathBuf| File::options().create(true).append(true).open(page);
        let [first, second] = paths(folder, claim);
        let locked = open(&first)?;
        locked.lock()?;
        if !first.exists() {
            // Somebody took it for that of a process that had ended, before it was locked.
            return Err(io::ErrorKind::NotFound.into());
        }
        let files = [locked, open(&second)?];
        Ok(Self { pages: Mutex::new(Pages { files, current: 0 }), lines: AtomicU64::new(0) })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An outcome as a line to note. Its line end stands in front: one that was cut off spoils no other.
    pub fn line(&self, settled: &Settled) -> String {
        format!("\n{} {}", self.lines.fetch_add(1, Ordering::Relaxed), json(&deliveries::values(settled)))
    }

    /// Notes a line and, before any page is turned, does what follows from it.
    ///
    /// # Errors
    /// When it cannot be written, as on a full disk; then nothing follows, and what may have been written of it counts
    /// for nothing.
    pub fn note(&self, line: &str, then: impl FnOnce()) -> io::Result<()> {
        let pages = self.lock();
        (&pages.files[pages.current]).write_all(line.as_bytes())?;
        then();
        Ok(())
    }

    /// Turns the page: does `take`, which takes what has followed from every note so far, and returns their page.
    pub fn turn(&self, take: impl FnOnce()) -> Page {
        let mut pages = self.lock();
        take();
        let page = pages.current;
        pages.current = 1 - page;
        Page(page)
    }

    /// All that stands on a page has been entered.
    ///
    /// # Errors
    /// When the file system does not empty it; its lines are then entered again, which changes nothing.
    #[expect(clippy::needless_pass_by_value, reason = "a page is forgotten once")]
    pub fn forget(&self, page: Page) -> io::Result<()> {
        let pages = self.lock();
        pages.files[page.0].set_len(0)
    }
}

fn paths(folder: &Path, claim: &str) -> [PathBuf; 2] {
    [0, 1].map(|page| folder.join(format!("{claim}.{page}")))
}

/// The last line about each delivery, of a claim's two pages. Lines that were cut off are nothing.
fn lines(folder: &Path, claim: &str) -> Result<Vec<Value>, StoreError> {
    let mut last = HashMap::new();
    for page in paths(folder, claim) {
        let text = match fs::read(&page) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            text => text.map_err(|source| StoreError::Book { path: page.display().to_string(), source })?,
        };
        for line in text.split(|byte| *byte == b'\n') {
            let Some((number, row)) = str::from_utf8(line).ok().and_then(|line| line.split_once(' ')) else { continue };
            let (Ok(number), Ok(Value::Array(row))) = (number.parse::<u64>(), serde_json::from_str(row)) else {
                continue;
            };
            if let [digest, subscriber, ..] = row.as_slice() {
                let key = (digest.to_string(), subscriber.to_string());
                let known = last.entry(key).or_insert((number, Value::Null));
                if known.0 <= number {
                    *known = (number, Value::Array(row));
                }
            }
        }
    }
    Ok(last.into_values().map(|(_, row)| row).collect())
}

impl Store {
    fn books(&self) -> Option<&Path> {
        match &self.database {
            Database::Sqlite { books, .. } => Some(books),
            Database::Postgres(_) => None,
        }
    }

    /// A book for the holder of `claim`, where this store has such.
    pub(super) fn open_book(&self, claim: &str) -> Option<Book> {
        let folder = self.books()?;
        let opened = Book::open(folder, claim);
        opened.inspect_err(|error| tracing::warn!(%error, "outcomes are not noted but committed one by one")).ok()
    }

    /// Enters what stands in the book of `claim`: what was entered before changes nothing.
    ///
    /// # Errors
    /// When the book cannot be read or the database fails; then nothing is lost.
    pub(super) async fn enter_book(&self, claim: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        let Some(folder) = self.books() else { return Ok(()) };
        for rows in lines(folder, claim)?.chunks(AT_ONCE) {
            self.enter(claim, json(rows), now).await?;
        }
        Ok(())
    }

    /// Enters every book there is, and removes those whose process has ended. One that is being written as well changes
    /// nothing for whoever writes it.
    ///
    /// # Errors
    /// When a book cannot be read or the database fails; then nothing is lost.
    pub(super) async fn enter_books(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let Some(folder) = self.books() else { return Ok(()) };
        let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(claim) = name.to_str().and_then(|name| name.strip_suffix(".0")) else { continue };
            let Ok(first) = File::open(entry.path()) else { continue };
            // It stays locked until it is gone: a process that has just made it sees that.
            let has_ended = first.try_lock().is_ok();
            self.enter_book(claim, now).await?;
            if has_ended {
                self.drop_book(claim);
            }
        }
        Ok(())
    }

    /// Removes a book that has been entered.
    pub(super) fn drop_book(&self, claim: &str) {
        let Some(folder) = self.books() else { return };
        for page in paths(folder, claim) {
            // What is left is entered again, which changes nothing.
            let _ = fs::remove_file(page);
        }
        // Unless it holds other books.
        let _ = fs::remove_dir(folder);
    }
}
