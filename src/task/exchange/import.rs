//! Subscribers in. Existing choices are overwritten only where that was asked for, suppressed addresses never revived;
//! who left elsewhere does not come back here. A line that cannot be read is named and the others go on; a file that is
//! no list is given up before anything of it is taken in.

mod asked;
mod batch;
mod line;

use std::collections::BTreeMap;
use std::io::Read;

use serde::Serialize;

use self::batch::Writing;
use self::line::Reading;
use super::layout::{Column, Layout, Tool};
use super::rows::Rows;
use super::text::Text;
use crate::domain::attributes::Attributes;
use crate::domain::feed::FeedName;
use crate::domain::newsletter::Cadence;
use crate::problem::Problem;
use crate::task::{Progress, Publication, TaskError};

pub use asked::feeds;

/// People per transaction: so many that rows in no order, as in the index of hashes, touch most of its pages several times
/// before they are written, and so few that two batches are some 10 MB.
const BATCH: usize = 10_000;
/// So many remarks are kept; the others are counted.
const MAX_REMARKS: usize = 10_000;
/// Of so many attributes it is counted who has them.
const MAX_ATTRIBUTES: usize = 200;
/// So many problems are kept; the others are counted.
const MAX_PROBLEMS: usize = 1000;

/// What is to be imported, and how.
#[derive(Debug, Clone)]
pub struct Import<'a> {
    /// The file's name.
    pub file: &'a str,
    /// What someone gets whose line names nothing that is on offer.
    pub default_feed: Option<(FeedName, Cadence)>,
    /// Only say what would happen.
    pub dry_run: bool,
    /// Change what people chose to what the file says.
    pub overwrite: bool,
    /// The columns whose cells hold several values, between commas.
    pub lists: &'a [String],
}

/// Something to be said about a line that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// The line.
    pub line: usize,
    /// The reason, as it is counted.
    pub reason: &'static str,
    /// The same in whole words.
    pub what: String,
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Who wrote the file.
    pub tool: Tool,
    /// Lines read.
    pub lines: u64,
    /// People who are new.
    pub subscribers: u64,
    /// Subscriptions that are new.
    pub subscriptions: u64,
    /// What was changed, of people and subscriptions.
    pub changed: u64,
    /// Addresses that the file bans.
    pub banned: u64,
    /// Lines left out because mail to their address is banned here.
    pub suppressed: u64,
    /// Lines left out because of a fault.
    pub faulty: u64,
    /// Of how many people the file says which attribute; the first [`MAX_ATTRIBUTES`] of them.
    pub attributes: BTreeMap<String, u64>,
    /// How many lines there is something to be said about, by reason.
    pub reasons: BTreeMap<&'static str, u64>,
    /// The same line by line; the first ten thousand.
    pub remarks: Vec<Remark>,
    /// The faults; the first thousand of them.
    #[serde(skip)]
    pub problems: Vec<Problem>,
}

impl ImportReport {
    fn new(tool: Tool) -> Self {
        Self {
            tool,
            lines: 0,
            subscribers: 0,
            subscriptions: 0,
            changed: 0,
            banned: 0,
            suppressed: 0,
            faulty: 0,
            attributes: BTreeMap::new(),
            reasons: BTreeMap::new(),
            remarks: vec![],
            problems: vec![],
        }
    }

    /// Both together.
    fn with(mut self, other: Self) -> Self {
        self.subscribers += other.subscribers;
        self.subscriptions += other.subscriptions;
        self.changed += other.changed;
        self.banned += other.banned;
        self.suppressed += other.suppressed;
        for (reason, number) in other.reasons {
            *self.reasons.entry(reason).or_default() += number;
        }
        let room = MAX_REMARKS.saturating_sub(self.remarks.len());
        self.remarks.extend(other.remarks.into_iter().take(room));
        self
    }

    fn note(&mut self, attributes: &Attributes) {
        for (name, _) in attributes.iter() {
            if let Some(number) = self.attributes.get_mut(name) {
                *number += 1;
            } else if self.attributes.len() < MAX_ATTRIBUTES {
                self.attributes.insert(name.to_owned(), 1);
            }
        }
    }

    fn complain(&mut self, problem: Problem) {
        self.faulty += 1;
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }

    fn remark(&mut self, line: usize, reason: &'static str, what: String) {
        *self.reasons.entry(reason).or_default() += 1;
        if self.remarks.len() < MAX_REMARKS {
            self.remarks.push(Remark { line, reason, what });
        }
    }
}

/// Reasons, as they are counted.
mod reason {
    pub(super) const KNOWN: &str = "known";
    pub(super) const TWICE: &str = "twice in the file";
    pub(super) const SUPPRESSED: &str = "suppressed";
    pub(super) const LEFT: &str = "left there";
    pub(super) const UNCONFIRMED: &str = "not confirmed there";
    pub(super) const ODD: &str = "unknown state";
    pub(super) const BANNED: &str = "banned there";
    pub(super) const DEFAULT: &str = "default taken";
    pub(super) const MISTYPED: &str = "probably mistyped";
    pub(super) const ROLE: &str = "role address";
    pub(super) const DISPOSABLE: &str = "disposable domain";
    pub(super) const OVERFULL: &str = "with too many attributes, which stay as they were";
    pub(super) const WINDOWS: &str = "read as windows-1252";
}

/// Imports subscribers; their consent was given elsewhere, so they are active at once. With `dry_run` nothing is written.
///
/// # Errors
/// When the store fails, or the file as a whole cannot be used; then the problem says what was taken in before, if anything
/// was. Faulty lines are in the report.
pub async fn import(
    publication: &Publication,
    import: &Import<'_>,
    input: impl Read + Send,
    progress: Progress<'_>,
) -> Result<ImportReport, TaskError> {
    let file = import.file;
    let read = |source| TaskError::Read { path: file.to_owned(), source };
    let mut rows = Rows::of(Text::open(input).map_err(read)?);
    let Some((line, first)) = rows.next().map_err(|broken| broken.problem(file))? else {
        return Err(Problem::new(file, "holds no text").hint("the first line names the columns").into());
    };
    let first = first.map_err(|(what, hint)| Problem::new(file, what).at(line).hint(hint))?;
    let layout = Layout::of(&first, file, import.lists)?;
    if !layout.has(Column::Feeds) && import.default_feed.is_none() {
        let what = "no line names a feed";
        return Err(Problem::new(file, what).at(line).hint("say which one they get: --feed NAME").into());
    }
    let tool = layout.tool;
    let has_heading = rows.has_heading();
    let mut reading = Reading::of(publication, import, rows, layout);
    let mut writing = Writing::new(publication, import, ImportReport::new(tool));
    if !has_heading {
        reading.line(line, Ok(first));
    }
    reading.fill(BATCH).await.map_err(|problem| given_up(import, problem, &writing.report))?;
    while !reading.batch.is_empty() {
        // The store is busy with one batch while the next is read.
        let (written, read) = tokio::join!(writing.write(std::mem::take(&mut reading.batch)), reading.fill(BATCH));
        written?;
        read.map_err(|problem| given_up(import, problem, &writing.report))?;
        progress(reading.report.lines, 0);
    }
    progress(reading.report.lines, 0);
    if writing.report.subscribers > 0 && !import.dry_run {
        publication.store.look_at_people().await?;
    }
    Ok(reading.report.with(writing.report))
}

/// The problem that ends it all, with what has happened up to there.
fn given_up(import: &Import<'_>, problem: Problem, written: &ImportReport) -> Problem {
    let taken = written.subscribers;
    if import.dry_run || (taken == 0 && written.subscriptions == 0 && written.banned == 0) {
        let what = format!("{}; nothing was taken in", problem.what);
        return Problem { what, ..problem };
    }
    let what = format!("{}; the lines well before it are taken in, {taken} new subscribers", problem.what);
    let hint = "mend the file and bring it again: who is known stays as they are".to_owned();
    Problem { what, hint: problem.hint.map(|first| format!("{first}; {hint}")).or(Some(hint.clone())), ..problem }
}
