//! Lines, one after another, and what each brings.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde_json::{Map, Value};

use super::super::layout::{self, Cells, Column, Layout, Standing, Tool};
use super::super::rows::{Fields, Rows};
use super::asked::{Asked, asked};
use super::{Import, ImportReport, reason};
use crate::domain::address::{AddressFault, EmailAddress};
use crate::domain::attributes::Attributes;
use crate::domain::consent::Entry;
use crate::domain::feed::FeedName;
use crate::domain::newsletter::Cadence;
use crate::domain::preference::Preferred;
use crate::domain::provider;
use crate::domain::subscription::{MAX_NAME, Subscriber, SubscriberId, SubscriptionState};
use crate::domain::text::{one_line, shorten};
use crate::problem::Problem;
use crate::store::{Arrival, Arriving};
use crate::task::Publication;

/// So many lines, each with a fault, and the file is given up.
const HOPELESS: u64 = 1000;
/// So many domains are remembered.
const MAX_SOUND: usize = 10_000;
/// Longest language tag, in characters (RFC 5646 §4.4.1).
const MAX_LANGUAGE: usize = 35;
/// So many lines are read in one go, while the batch before them is on its way to the store.
const GO: usize = 16;

/// What a line brings.
enum Parsed {
    Arrival(Box<Arrival>),
    /// Nobody, for this reason.
    Nobody(&'static str, String),
}

/// A file as it is read.
pub(super) struct Reading<'a> {
    publication: &'a Publication,
    import: &'a Import<'a>,
    rows: Rows<'a>,
    layout: Layout,
    whole: Option<Standing>,
    pub(super) report: ImportReport,
    /// What was read and is not written yet.
    pub(super) batch: Vec<(usize, Arrival)>,
    /// The first half of each address hash that was read: with a million lines two are alike once in 30 million files, and a
    /// set of whole ones would be as large as the list. By their last digit: a set that grows stands in memory twice.
    seen: [HashSet<u64>; 16],
    /// Domains that no slip led to: a list has few, each many times.
    sound: HashSet<String>,
    /// Lines without an address set aside: lists of customers have many of them.
    faults_in_a_row: u64,
    /// When the batch is read.
    now: DateTime<Utc>,
}

impl<'a> Reading<'a> {
    /// The rest of `rows`, whose first line says what the columns mean.
    pub(super) fn of(publication: &'a Publication, import: &'a Import<'a>, rows: Rows<'a>, layout: Layout) -> Self {
        Self {
            publication,
            import,
            rows,
            whole: layout::whole(layout.tool, import.file),
            report: ImportReport::new(layout.tool),
            layout,
            batch: vec![],
            seen: Default::default(),
            sound: HashSet::new(),
            faults_in_a_row: 0,
            now: publication.clock.now(),
        }
    }

    /// Reads on until the batch has `size` people, or the file ends.
    pub(super) async fn fill(&mut self, size: usize) -> Result<(), Problem> {
        let file = self.import.file;
        self.now = self.publication.clock.now().max(self.now);
        self.batch.reserve(size);
        for read in 1_usize.. {
            // Whoever writes the batch before this one has something to say between two statements.
            if read.is_multiple_of(GO) {
                tokio::task::yield_now().await;
            }
            let Some((line, fields)) = self.rows.next().map_err(|broken| broken.problem(file))? else { break };
            self.line(line, fields);
            if self.faults_in_a_row >= HOPELESS {
                let what = format!("the {HOPELESS} lines up to this one all have faults");
                let hint =
                    self.report.problems.first().map_or_else(String::new, |first| format!("the first is {first}"));
                return Err(Problem::new(file, what).at(line).hint(hint));
            }
            if self.batch.len() >= size {
                return Ok(());
            }
        }
        if std::mem::take(&mut self.rows.windows) {
            self.report.remark(1, reason::WINDOWS, "the file is no UTF-8: it was read as windows-1252".into());
        }
        Ok(())
    }

    /// Reads a line, and keeps what it brings for the next transaction.
    pub(super) fn line(&mut self, line: usize, fields: Result<Fields, (String, &'static str)>) {
        self.report.lines += 1;
        let fault = |what: String| Problem::new(self.import.file, what).at(line);
        let parsed = fields
            .and_then(|fields| self.layout.cells(fields))
            .map_err(|(what, hint)| fault(what).hint(hint))
            .and_then(|(cells, more)| self.parsed(line, &cells, more));
        let is_empty = |problem: &Problem| problem.what.ends_with(&AddressFault::Empty.to_string());
        match &parsed {
            Ok(_) => self.faults_in_a_row = 0,
            Err(problem) => self.faults_in_a_row += u64::from(!is_empty(problem)),
        }
        match parsed {
            Ok((Parsed::Arrival(arrival), remarks)) => {
                let half = arrival.address_hash.as_bytes().get(..16).map_or(0, |half| {
                    u64::from_str_radix(std::str::from_utf8(half).unwrap_or_default(), 16).unwrap_or_default()
                });
                if !self.seen[(half % 16) as usize].insert(half) {
                    let what = format!("{} stands further up already", arrival.subscriber.address);
                    self.report.remark(line, reason::TWICE, what);
                    return;
                }
                let domain = arrival.subscriber.address.domain();
                if self.sound.len() < MAX_SOUND
                    && !self.sound.contains(domain)
                    && !remarks.iter().any(|(reason, _)| *reason == reason::MISTYPED)
                    && !arrival.subscriptions.is_empty()
                {
                    self.sound.insert(domain.to_owned());
                }
                for (reason, what) in remarks {
                    self.report.remark(line, reason, what);
                }
                if let Some((cause, _)) = arrival.ban.as_ref().filter(|_| arrival.subscriptions.is_empty()) {
                    let what = format!("{} is banned: {cause} there", arrival.subscriber.address);
                    self.report.remark(line, reason::BANNED, what);
                }
                if !arrival.subscriptions.is_empty() {
                    self.report.note(&arrival.attributes);
                }
                self.batch.push((line, *arrival));
            }
            Ok((Parsed::Nobody(reason, what), _)) => self.report.remark(line, reason, what),
            Err(problem) => self.report.complain(problem),
        }
    }

    #[expect(clippy::type_complexity, reason = "what a line brings, and what is to be said about it")]
    fn parsed(
        &self,
        line: usize,
        cells: &Cells,
        more: Map<String, Value>,
    ) -> Result<(Parsed, Vec<(&'static str, String)>), Problem> {
        let fault = |what: String| Problem::new(self.import.file, what).at(line);
        let cell = |column: Column| cells[column as usize].trim();
        let address = cell(Column::Address);
        let address =
            EmailAddress::parse(address).map_err(|error| fault(format!("{address:?}: {error}")).hint(error.hint()))?;
        let mut remarks = vec![];
        let tool = self.layout.tool;
        let there = tool.name().unwrap_or("the file");
        let mut ban = None;
        match layout::standing(tool, cells, self.whole.as_ref()) {
            Standing::In(_) => {}
            Standing::Left => {
                return Ok((Parsed::Nobody(reason::LEFT, format!("{address} left, as {there} says")), remarks));
            }
            Standing::Unconfirmed => {
                let what = format!("{address} never confirmed, as {there} says");
                return Ok((Parsed::Nobody(reason::UNCONFIRMED, what), remarks));
            }
            Standing::Odd(word) => {
                let what = format!("{address} is not taken: {there} calls their state {word:?}");
                return Ok((Parsed::Nobody(reason::ODD, what), remarks));
            }
            Standing::Banned(cause) => ban = Some((cause.to_owned(), format!("so says {}", self.import.file))),
        }
        let is_banned_only = ban.is_some();
        if tool == Tool::Tidings && !cell(Column::Suppressed).is_empty() {
            ban = Some((shorten(&one_line(cell(Column::Suppressed)), 40), format!("so says {}", self.import.file)));
        }
        let subscriptions = if is_banned_only { vec![] } else { self.subscriptions(line, cells, &mut remarks)? };
        if !is_banned_only {
            self.judge(&address, &mut remarks);
        }
        let attributes = self.attributes(line, cell(Column::Attributes), more)?;
        let consents = self.consents(line, cell(Column::Consents))?;
        let address_hash = self.publication.keyring.address_hash(&address.key());
        let subscriber = Subscriber {
            id: SubscriberId(uuid::Uuid::nil()),
            name: name(cells),
            language: Some(shorten(&one_line(cell(Column::Language)), MAX_LANGUAGE)).filter(|text| !text.is_empty()),
            time_zone: self.zone(line, cell(Column::TimeZone))?,
            address,
        };
        let arrival = Arrival { subscriber, address_hash, attributes, subscriptions, ban, consents };
        Ok((Parsed::Arrival(Box::new(arrival)), remarks))
    }

    /// An object in a cell, and what columns of their own say, which goes before.
    fn attributes(&self, line: usize, object: &str, more: Map<String, Value>) -> Result<Attributes, Problem> {
        if object.is_empty() && more.is_empty() {
            return Ok(Attributes::default());
        }
        let object = if object.is_empty() { Ok(Attributes::default()) } else { Attributes::parse(object) };
        let all = object.and_then(|object| object.with(Attributes::of(more)?));
        all.map_err(|fault| Problem::new(self.import.file, fault.to_string()).at(line).hint(fault.hint()))
    }

    /// The lines of the ledger that an export of ours holds; what is to be is no history.
    fn consents(&self, line: usize, list: &str) -> Result<Vec<Entry>, Problem> {
        if list.is_empty() {
            return Ok(vec![]);
        }
        let lines = Entry::list(list).map_err(|what| {
            Problem::new(self.import.file, what).at(line).hint("bring them as an export wrote them, or leave them out")
        })?;
        Ok(lines.into_iter().filter(|entry| entry.at <= self.now).collect())
    }

    /// Says what looks wrong with an address that is taken nevertheless.
    fn judge(&self, address: &EmailAddress, remarks: &mut Vec<(&'static str, String)>) {
        if !self.sound.contains(address.domain())
            && let Some(meant) = provider::probably_meant(address)
        {
            remarks.push((reason::MISTYPED, format!("{address}: did you mean {meant}? It is taken as it stands")));
        }
        if provider::is_role(address) {
            remarks.push((reason::ROLE, format!("{address} belongs to a role, not to a person")));
        }
        if self.publication.config.form.disposable.hold(address) {
            remarks.push((reason::DISPOSABLE, format!("{address} is at a domain of disposable mailboxes")));
        }
    }

    /// A zone that another tool guessed may be anything; one that was written for us is meant.
    fn zone(&self, line: usize, name: &str) -> Result<Option<chrono_tz::Tz>, Problem> {
        match (name, self.layout.tool.name()) {
            ("", _) => Ok(None),
            (name, Some(_)) => Ok(name.parse().ok()),
            (name, None) => name.parse().map(Some).map_err(|_| {
                Problem::new(self.import.file, format!("unknown time zone {name:?}"))
                    .at(line)
                    .hint("write a name such as Europe/Lisbon, or nothing")
            }),
        }
    }

    fn subscriptions(
        &self,
        line: usize,
        cells: &Cells,
        remarks: &mut Vec<(&'static str, String)>,
    ) -> Result<Vec<Arriving>, Problem> {
        let fault = |what: String| Problem::new(self.import.file, what).at(line);
        let cell = |column: Column| cells[column as usize].as_str();
        let words: Vec<&str> =
            cell(Column::Feeds).split([';', ',']).map(str::trim).filter(|word| !word.is_empty()).collect();
        let mut chosen: Vec<(usize, FeedName, Cadence)> = vec![];
        for (at, word) in words.iter().enumerate() {
            match asked(self.publication, word) {
                Ok(Asked { feed, cadence, instead }) => {
                    if let Some((what, offered)) = instead {
                        remarks.push((reason::DEFAULT, format!("{what} ({offered}): {cadence} instead")));
                    }
                    if !chosen.iter().any(|(_, known, _)| *known == feed) {
                        chosen.push((at, feed, cadence));
                    }
                }
                Err((what, _)) => remarks.push((reason::DEFAULT, format!("{what}: left out"))),
            }
        }
        if chosen.is_empty() {
            let Some((feed, cadence)) = &self.import.default_feed else {
                let none =
                    ("no feed is named".to_owned(), "name feeds as news:daily;offers, or give --feed".to_owned());
                let (what, hint) = words.first().and_then(|word| asked(self.publication, word).err()).unwrap_or(none);
                return Err(fault(what).hint(hint));
            };
            if let Some((_, what)) = remarks.iter_mut().find(|(reason, _)| *reason == reason::DEFAULT) {
                *what = what.replace("left out", &format!("{feed} {cadence} instead"));
            }
            chosen.push((0, feed.clone(), *cadence));
        }
        // As many as feeds, or one for all.
        let of = |column: Column, at: usize| {
            let parts: Vec<&str> = cell(column).split(';').map(str::trim).collect();
            if parts.len() == words.len() { parts[at] } else { parts[0] }
        };
        let date = |column: Column, at: usize| instant(of(column, at)).filter(|at| *at <= self.now);
        let arriving = chosen.into_iter().map(|(at, feed, cadence)| {
            let state = match (self.layout.tool, of(Column::State, at)) {
                (Tool::Tidings, word) if !word.is_empty() => SubscriptionState::parse(word).ok_or_else(|| {
                    fault(format!("unknown state {word:?}")).hint("write active, paused, pending or ended")
                })?,
                _ => SubscriptionState::Active,
            };
            let created_at = date(Column::CreatedAt, at).or_else(|| date(Column::ConfirmedAt, at));
            let is_confirmed = matches!(state, SubscriptionState::Active | SubscriptionState::Paused);
            let confirmed_at =
                date(Column::ConfirmedAt, at).or_else(|| is_confirmed.then(|| created_at.unwrap_or(self.now)));
            let ended_at = match state {
                SubscriptionState::Ended => Some(date(Column::EndedAt, at).unwrap_or(self.now)),
                // Who left and was asked again since has not said yes: they still have left.
                SubscriptionState::Pending => date(Column::EndedAt, at),
                SubscriptionState::Active | SubscriptionState::Paused => None,
            };
            let created_at = created_at.unwrap_or(self.now);
            let preferred = Preferred::parse(of(Column::Preferred, at)).filter(|own| *own != Preferred::default());
            let is_paused = state == SubscriptionState::Paused;
            let paused_until = instant(of(Column::PausedUntil, at)).filter(|_| is_paused);
            Ok(Arriving { feed, cadence, state, created_at, confirmed_at, ended_at, preferred, paused_until })
        });
        // Many of them stand in memory at once.
        let mut arriving = arriving.collect::<Result<Vec<_>, _>>()?;
        arriving.shrink_to_fit();
        Ok(arriving)
    }
}

fn name(cells: &Cells) -> Option<String> {
    let cell = |column: Column| one_line(cells[column as usize].as_str());
    let whole = cell(Column::Name);
    let name = if whole.is_empty() {
        format!("{} {}", cell(Column::FirstName), cell(Column::LastName)).trim().to_owned()
    } else {
        whole
    };
    Some(shorten(&name, MAX_NAME)).filter(|name| !name.is_empty())
}

/// An instant as tools write it; without a zone it is UTC.
fn instant(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.to_utc());
    }
    let naive = text.get(..19).and_then(|text| {
        let text = text.replacen('T', " ", 1);
        NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S").ok()
    });
    let day = || NaiveDate::parse_from_str(text.get(..10)?, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    naive.or_else(day).map(|at| at.and_utc())
}
