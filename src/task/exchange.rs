//! Subscribers in and out as CSV (RFC 4180): `address,name,language,time_zone,feeds`.
//!
//! `feeds` holds `news:daily;offers:weekly`. A cell that a spreadsheet would take for a formula goes out behind an
//! apostrophe and comes in without it. Existing choices are never overwritten, suppressed addresses never
//! revived; a line that cannot be read is named and the others go on.

use std::io::{BufReader, Read, Write};

use serde::Serialize;

use super::{Progress, Publication, TaskError};
use crate::domain::address::EmailAddress;
use crate::domain::feed::FeedName;
use crate::domain::newsletter::Cadence;
use crate::domain::subscription::{Subscriber, SubscriberId, SubscriptionState};
use crate::domain::text::one_line;
use crate::problem::{Problem, did_you_mean};
use crate::store::NewSubscription;

pub use crate::store::ListedSubscriber as Listed;

const COLUMNS: [&str; 5] = ["address", "name", "language", "time_zone", "feeds"];
/// Lines per transaction.
const BATCH: usize = 2000;
/// Longest line that is read, in bytes.
const MAX_LINE: usize = 64 * 1024;

/// What an import did.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Lines read.
    pub lines: u64,
    /// People who are new.
    pub subscribers: u64,
    /// Subscriptions that are new.
    pub subscriptions: u64,
    /// Lines left out because mail to their address is banned.
    pub suppressed: u64,
    /// Lines left out because of a fault.
    pub faulty: u64,
    /// The faults; the first thousand of them.
    #[serde(skip)]
    pub problems: Vec<Problem>,
}

impl ImportReport {
    fn complain(&mut self, problem: Problem) {
        self.faulty += 1;
        if self.problems.len() < 1000 {
            self.problems.push(problem);
        }
    }
}

/// Which column stands where.
struct Header {
    places: [Option<usize>; 5],
    width: usize,
}

impl Header {
    fn read(record: &csv::StringRecord, file: &str) -> Result<Self, Problem> {
        let mut places = [None; 5];
        for (at, name) in record.iter().enumerate() {
            let name = name.trim().trim_start_matches('\u{FEFF}').to_lowercase();
            let column = match name.as_str() {
                "email" | "e-mail" | "email address" | "mail" => "address",
                "full name" => "name",
                "timezone" | "time zone" => "time_zone",
                other => other,
            };
            match COLUMNS.iter().position(|known| *known == column) {
                Some(place) if places[place].is_some() => {
                    return Err(Problem::new(file, format!("the column {column:?} comes twice"))
                        .at(1)
                        .hint("remove one of them"));
                }
                Some(place) => places[place] = Some(at),
                None => {
                    if let Some(meant) = did_you_mean(column, COLUMNS) {
                        return Err(Problem::new(file, format!("unknown column {name:?}"))
                            .at(1)
                            .hint(format!("did you mean {meant}?")));
                    }
                }
            }
        }
        if places[0].is_none() {
            return Err(Problem::new(file, "there is no column \"address\"")
                .at(1)
                .hint(format!("the first line names the columns: {}", COLUMNS.join(","))));
        }
        Ok(Self { places, width: record.len() })
    }

    fn get<'a>(&self, record: &'a csv::StringRecord, column: usize) -> &'a str {
        rearmed(self.places[column].and_then(|at| record.get(at)).unwrap_or_default().trim())
    }

    /// What is wrong with the number of a line's fields, and a remedy: then no field can be trusted to be what it
    /// seems. Blank ones at the end are no fault.
    fn fits(&self, record: &csv::StringRecord) -> Result<(), (String, &'static str)> {
        let filled =
            record.iter().enumerate().filter(|(_, field)| !field.trim().is_empty()).map(|(at, _)| at + 1).last();
        let filled = filled.unwrap_or(0);
        if record.len() >= self.width && filled <= self.width {
            return Ok(());
        }
        let what = format!("{} fields where the first line has {}", record.len(), self.width);
        Err((what, "write one for each column, and fields that hold a comma between quotation marks"))
    }
}

/// Imports subscribers; their consent was given elsewhere, so they are active at once. With `dry_run` nothing is written.
///
/// # Errors
/// When the store fails, or the file has no header. Faulty lines are in the report.
pub async fn import(
    publication: &Publication,
    file: &str,
    input: impl Read + Send,
    default_feed: Option<(FeedName, Cadence)>,
    dry_run: bool,
    progress: Progress<'_>,
) -> Result<ImportReport, TaskError> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(LineEnds::new(input));
    let mut report = ImportReport::default();
    let mut records = reader.byte_records();
    let first = records.next().transpose().map_err(|error| Problem::new(file, error.to_string()))?;
    let first = first.and_then(|first| csv::StringRecord::from_byte_record(first).ok());
    let Some(first) = first else {
        return Err(Problem::new(file, "holds no text").hint("the first line names the columns").into());
    };
    let header = Header::read(&first, file)?;
    let mut batch: Vec<NewSubscription> = vec![];
    let mut seen = std::collections::HashSet::new();
    for record in records {
        let parsed = parse(publication, &header, file, record, default_feed.as_ref());
        report.lines += u64::from(!matches!(parsed, Ok(None)));
        match parsed {
            Ok(Some(new)) if seen.insert(new[0].address_hash.clone()) => batch.extend(new),
            Ok(_) => {}
            Err(problem) => report.complain(problem),
        }
        if batch.len() >= BATCH {
            write(publication, &mut batch, dry_run, &mut report).await?;
            progress(report.lines, 0);
        }
    }
    write(publication, &mut batch, dry_run, &mut report).await?;
    progress(report.lines, 0);
    Ok(report)
}

async fn write(
    publication: &Publication,
    batch: &mut Vec<NewSubscription>,
    dry_run: bool,
    report: &mut ImportReport,
) -> Result<(), TaskError> {
    let hashes: Vec<String> = batch.iter().map(|new| new.address_hash.clone()).collect();
    let suppressed = publication.store.suppressed(&hashes).await?;
    if !suppressed.is_empty() {
        batch.retain(|new| !suppressed.contains(&new.address_hash));
        report.suppressed += suppressed.len() as u64;
    }
    if !dry_run && !batch.is_empty() {
        let (people, subscriptions) = publication.store.subscribe(batch, false, publication.clock.now()).await?;
        report.subscribers += people;
        report.subscriptions += subscriptions;
    }
    batch.clear();
    Ok(())
}

/// One line; `None` where it is blank.
fn parse(
    publication: &Publication,
    header: &Header,
    file: &str,
    record: Result<csv::ByteRecord, csv::Error>,
    default_feed: Option<&(FeedName, Cadence)>,
) -> Result<Option<Vec<NewSubscription>>, Problem> {
    let record = record.map_err(|error| Problem::new(file, error.to_string()))?;
    let line = record.position().map_or(0, |position| usize::try_from(position.line()).unwrap_or(usize::MAX));
    let fault = |what: String| Problem::new(file, what).at(line);
    if record.as_slice().len() > MAX_LINE {
        return Err(
            fault(format!("the line is longer than {MAX_LINE} bytes")).hint("a quotation mark may be missing above it")
        );
    }
    let record = csv::StringRecord::from_byte_record(record)
        .map_err(|_| fault("the line is not UTF-8".into()).hint("save the file as UTF-8"))?;
    if record.iter().all(|field| field.trim().is_empty()) {
        return Ok(None);
    }
    header.fits(&record).map_err(|(what, hint)| fault(what).hint(hint))?;
    let address = header.get(&record, 0);
    let address =
        EmailAddress::parse(address).map_err(|error| fault(format!("{address:?}: {error}")).hint(error.hint()))?;
    let zone = header.get(&record, 3);
    let time_zone = match zone {
        "" => None,
        zone => Some(zone.parse().map_err(|_| {
            fault(format!("unknown time zone {zone:?}")).hint("write a name such as Europe/Lisbon, or nothing")
        })?),
    };
    let text = |column| Some(one_line(header.get(&record, column))).filter(|text| !text.is_empty());
    let subscriber = Subscriber {
        id: SubscriberId::new(publication.clock.now()),
        name: text(1).map(|name| crate::domain::text::shorten(&name, 100)),
        language: text(2),
        time_zone,
        address,
    };
    let feeds =
        feeds(publication, header.get(&record, 4), default_feed).map_err(|(what, hint)| fault(what).hint(hint))?;
    let address_hash = publication.keyring.address_hash(&subscriber.address.key());
    let new = feeds.into_iter().map(|(feed, cadence)| NewSubscription {
        subscriber: subscriber.clone(),
        address_hash: address_hash.clone(),
        feed,
        cadence,
        state: SubscriptionState::Active,
    });
    Ok(Some(new.collect()))
}

/// Reads `news:daily;offers`; a feed without a cadence gets the newsletter's default.
///
/// # Errors
/// What is wrong with it, and a remedy.
pub fn feeds(
    publication: &Publication,
    text: &str,
    default_feed: Option<&(FeedName, Cadence)>,
) -> Result<Vec<(FeedName, Cadence)>, (String, String)> {
    let mut feeds: Vec<(FeedName, Cadence)> = vec![];
    for word in text.split(';').map(str::trim).filter(|word| !word.is_empty()) {
        let (name, cadence) =
            word.split_once(':').map_or((word, None), |(name, cadence)| (name.trim(), Some(cadence.trim())));
        let known = || publication.feeds.iter().filter(|feed| feed.newsletter.is_some());
        let Some((feed, newsletter)) =
            known().find(|feed| feed.name.as_str() == name).and_then(|feed| Some((feed, feed.newsletter.as_ref()?)))
        else {
            let names: Vec<&str> = known().map(|feed| feed.name.as_str()).collect();
            return Err((format!("there is no newsletter {name:?}"), format!("known here: {}", names.join(", "))));
        };
        let cadence = match cadence {
            None => newsletter.default,
            Some(word) => {
                Cadence::parse(word).filter(|cadence| newsletter.cadences.contains_key(cadence)).ok_or_else(|| {
                    let offered: Vec<_> = newsletter.cadences.keys().map(ToString::to_string).collect();
                    (format!("{name} does not come {word:?}"), format!("on offer: {}", offered.join(", ")))
                })?
            }
        };
        if !feeds.iter().any(|(known, _)| *known == feed.name) {
            feeds.push((feed.name.clone(), cadence));
        }
    }
    match (feeds.is_empty(), default_feed) {
        (false, _) => Ok(feeds),
        (true, Some(default)) => Ok(vec![default.clone()]),
        (true, None) => Err(("no feed is named".into(), "name feeds as news:daily;offers, or give --feed".into())),
    }
}

/// Exports everyone who gets mail, or those of one feed. Returns how many.
///
/// Who left, never confirmed or is suppressed is not among them: an import elsewhere would write to them.
///
/// # Errors
/// When the store fails or the output cannot be written.
pub async fn export(publication: &Publication, feed: Option<&FeedName>, output: impl Write) -> Result<u64, TaskError> {
    let failed =
        |error: csv::Error| TaskError::Write { path: "the export".into(), source: std::io::Error::other(error) };
    let mut writer = csv::Writer::from_writer(output);
    writer.write_record(COLUMNS).map_err(failed)?;
    let (mut after, mut count) = (None, 0);
    loop {
        let page = publication.store.subscribers(feed, after, 1000).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.subscriber.id);
        for listed in page.iter().filter(|listed| listed.suppressed.is_none()) {
            if let Some(row) = row(listed, feed) {
                writer.write_record(row).map_err(failed)?;
                count += 1;
            }
        }
    }
    writer.flush().map_err(|source| TaskError::Write { path: "the export".into(), source })?;
    Ok(count)
}

/// A subscriber's line, with the active subscriptions, of one feed where given; `None` where there is none.
fn row(listed: &Listed, feed: Option<&FeedName>) -> Option<[String; 5]> {
    let person = &listed.subscriber;
    let active = listed.subscriptions.iter().filter(|subscription| {
        subscription.state == SubscriptionState::Active && feed.is_none_or(|feed| subscription.feed == *feed)
    });
    let feeds: Vec<String> =
        active.map(|subscription| format!("{}:{}", subscription.feed, subscription.cadence)).collect();
    (!feeds.is_empty()).then(|| {
        [
            defused(person.address.as_str()),
            defused(person.name.as_deref().unwrap_or_default()),
            defused(person.language.as_deref().unwrap_or_default()),
            person.time_zone.map(|zone| zone.name().to_owned()).unwrap_or_default(),
            feeds.join(";"),
        ]
    })
}

/// Whether a spreadsheet would take a cell for a formula (OWASP, "CSV injection"), apostrophes in front set aside.
fn is_armed(cell: &str) -> bool {
    cell.trim_start_matches('\'').starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// A cell that no spreadsheet takes for a formula.
fn defused(cell: &str) -> String {
    if is_armed(cell) { format!("'{cell}") } else { cell.to_owned() }
}

/// The cell that was defused.
fn rearmed(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|rest| is_armed(rest)).unwrap_or(cell)
}

/// Text with every line end as LF and a space in every empty line: the reader of CSV takes the LF of a CRLF and empty
/// lines for a part of the next line, and would count that one too low.
struct LineEnds<R> {
    input: std::io::Bytes<BufReader<R>>,
    waiting: Option<u8>,
    after_return: bool,
    at_start: bool,
}

impl<R: Read> LineEnds<R> {
    fn new(input: R) -> Self {
        Self { input: BufReader::new(input).bytes(), waiting: None, after_return: false, at_start: false }
    }

    fn next(&mut self) -> std::io::Result<Option<u8>> {
        if let Some(byte) = self.waiting.take() {
            return Ok(Some(byte));
        }
        while let Some(byte) = self.input.next().transpose()? {
            let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            if byte == b'\n' && after_return {
                continue;
            }
            let is_end = matches!(byte, b'\r' | b'\n');
            let is_empty = std::mem::replace(&mut self.at_start, is_end);
            return Ok(Some(match (is_end, is_empty) {
                (false, _) => byte,
                (true, false) => b'\n',
                (true, true) => {
                    self.waiting = Some(b'\n');
                    b' '
                }
            }));
        }
        Ok(None)
    }
}

impl<R: Read> Read for LineEnds<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let mut filled = 0;
        for place in out {
            let Some(byte) = self.next()? else { break };
            *place = byte;
            filled += 1;
        }
        Ok(filled)
    }
}
