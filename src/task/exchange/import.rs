//! Subscribers in. Existing choices are overwritten only where that was asked for, suppressed addresses never revived;
//! who left elsewhere does not come back here. A line that cannot be read is named and the others go on; a file that is
//! no list is given up before anything of it is taken in.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde::Serialize;

use super::layout::{self, Cells, Column, Layout, Standing, Tool};
use super::rows::{Fields, Rows};
use super::text::Text;
use crate::domain::address::{AddressFault, EmailAddress};
use crate::domain::feed::FeedName;
use crate::domain::newsletter::Cadence;
use crate::domain::preference::Preferred;
use crate::domain::provider;
use crate::domain::subscription::{Subscriber, SubscriberId, SubscriptionState};
use crate::domain::text::{one_line, shorten};
use crate::problem::Problem;
use crate::store::{Arrival, Arriving};
use crate::task::{Progress, Publication, TaskError};

/// Lines per transaction.
const BATCH: usize = 5000;
/// So many lines, each with a fault, and the file is given up.
const HOPELESS: u64 = 1000;
/// So many remarks are kept; the others are counted.
const MAX_REMARKS: usize = 10_000;
/// So many problems are kept; the others are counted.
const MAX_PROBLEMS: usize = 1000;
/// So many domains are remembered.
const MAX_SOUND: usize = 10_000;
/// Longest name, in characters.
const MAX_NAME: usize = 100;
/// Longest language tag, in characters (RFC 5646 §4.4.1).
const MAX_LANGUAGE: usize = 35;

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
            reasons: BTreeMap::new(),
            remarks: vec![],
            problems: vec![],
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
    pub(super) const WINDOWS: &str = "read as windows-1252";
}

/// What a line brings.
enum Parsed {
    Arrival(Box<Arrival>),
    /// Nobody, for this reason.
    Nobody(&'static str, String),
}

/// An import under way.
struct Importing<'a> {
    publication: &'a Publication,
    import: &'a Import<'a>,
    layout: Layout,
    whole: Option<Standing>,
    report: ImportReport,
    batch: Vec<(usize, Arrival)>,
    /// The first half of each address hash that was read: with a million lines two are alike once in 30 million files, and a
    /// set of whole ones would be as large as the list.
    seen: HashSet<u64>,
    /// Domains that no slip led to: a list has few, each many times.
    sound: HashSet<String>,
    /// Lines without an address set aside: lists of customers have many of them.
    faults_in_a_row: u64,
    /// When the ids of the batch begin.
    now: DateTime<Utc>,
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
    let layout = Layout::of(&first, file)?;
    if !layout.has(Column::Feeds) && import.default_feed.is_none() {
        let what = "no line names a feed";
        return Err(Problem::new(file, what).at(line).hint("say which one they get: --feed NAME").into());
    }
    let mut importing = Importing {
        publication,
        import,
        whole: layout::whole(layout.tool, file),
        report: ImportReport::new(layout.tool),
        layout,
        batch: Vec::with_capacity(BATCH),
        seen: HashSet::new(),
        sound: HashSet::new(),
        faults_in_a_row: 0,
        now: publication.clock.now(),
    };
    if !rows.has_heading() {
        importing.line(line, Ok(first));
    }
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => break,
            Err(broken) => return Err(importing.given_up(broken.problem(file)).into()),
        };
        let line = row.0;
        importing.line(line, row.1);
        if importing.faults_in_a_row >= HOPELESS {
            let what = format!("the {HOPELESS} lines up to this one all have faults");
            let hint =
                importing.report.problems.first().map_or_else(String::new, |first| format!("the first is {first}"));
            return Err(importing.given_up(Problem::new(file, what).at(line).hint(hint)).into());
        }
        if importing.batch.len() >= BATCH {
            importing.write().await?;
            progress(importing.report.lines, 0);
        }
    }
    importing.write().await?;
    if rows.windows {
        importing.report.remark(1, reason::WINDOWS, "the file is no UTF-8: it was read as windows-1252".into());
    }
    progress(importing.report.lines, 0);
    Ok(importing.report)
}

impl Importing<'_> {
    /// Reads a line, and keeps what it brings for the next transaction.
    fn line(&mut self, line: usize, fields: Result<Fields, (String, &'static str)>) {
        self.report.lines += 1;
        let fault = |what: String| Problem::new(self.import.file, what).at(line);
        let parsed = fields
            .and_then(|fields| self.layout.cells(fields))
            .map_err(|(what, hint)| fault(what).hint(hint))
            .and_then(|cells| self.parsed(line, &cells));
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
                if !self.seen.insert(half) {
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
                self.batch.push((line, *arrival));
            }
            Ok((Parsed::Nobody(reason, what), _)) => self.report.remark(line, reason, what),
            Err(problem) => self.report.complain(problem),
        }
    }

    #[expect(clippy::type_complexity, reason = "what a line brings, and what is to be said about it")]
    fn parsed(&self, line: usize, cells: &Cells) -> Result<(Parsed, Vec<(&'static str, String)>), Problem> {
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
        let address_hash = self.publication.keyring.address_hash(&address.key());
        let subscriber = Subscriber {
            id: SubscriberId(uuid::Uuid::nil()),
            name: name(cells),
            language: Some(shorten(&one_line(cell(Column::Language)), MAX_LANGUAGE)).filter(|text| !text.is_empty()),
            time_zone: self.zone(line, cell(Column::TimeZone))?,
            address,
        };
        Ok((Parsed::Arrival(Box::new(Arrival { subscriber, address_hash, subscriptions, ban })), remarks))
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
            let has_ended = state == SubscriptionState::Ended;
            let ended_at = has_ended.then(|| date(Column::EndedAt, at).unwrap_or(self.now));
            let created_at = created_at.unwrap_or(self.now);
            let preferred = Preferred::parse(of(Column::Preferred, at)).filter(|own| *own != Preferred::default());
            Ok(Arriving { feed, cadence, state, created_at, confirmed_at, ended_at, preferred })
        });
        arriving.collect()
    }

    /// Writes what was kept.
    async fn write(&mut self) -> Result<(), TaskError> {
        let store = &self.publication.store;
        let hashes: Vec<String> = self.batch.iter().map(|(_, arrival)| arrival.address_hash.clone()).collect();
        let suppressed = store.suppressed(&hashes).await?;
        let mut arrivals = Vec::with_capacity(self.batch.len());
        for (line, arrival) in self.batch.drain(..) {
            if !suppressed.contains(&arrival.address_hash) {
                arrivals.push((line, arrival));
            } else if !arrival.subscriptions.is_empty() {
                self.report.suppressed += 1;
                let what = format!("{} is suppressed here: no mail goes there", arrival.subscriber.address);
                self.report.remark(line, reason::SUPPRESSED, what);
            }
        }
        // Ids in the order of the file are kept together in the tables: a page of an index takes many at once.
        self.now = self.publication.clock.now().max(self.now);
        let mut ids: Vec<SubscriberId> = arrivals.iter().map(|_| SubscriberId::new(self.now)).collect();
        ids.sort_unstable();
        for ((_, arrival), id) in arrivals.iter_mut().zip(ids) {
            arrival.subscriber.id = id;
        }
        if arrivals.is_empty() {
            return Ok(());
        }
        if self.import.dry_run {
            return self.foretell(&arrivals).await;
        }
        let (_, arrivals): (Vec<usize>, Vec<Arrival>) = arrivals.into_iter().unzip();
        let taken = store.take_in(&arrivals, self.import.overwrite, self.now).await?;
        self.report.subscribers += taken.people;
        self.report.subscriptions += taken.subscriptions;
        self.report.changed += taken.changed;
        self.report.banned += taken.banned;
        let people = arrivals.iter().filter(|arrival| !arrival.subscriptions.is_empty()).count() as u64;
        if people > taken.people {
            *self.report.reasons.entry(reason::KNOWN).or_default() += people - taken.people;
        }
        Ok(())
    }

    /// Says what writing would do.
    async fn foretell(&mut self, arrivals: &[(usize, Arrival)]) -> Result<(), TaskError> {
        let keys: Vec<String> = arrivals.iter().map(|(_, arrival)| arrival.subscriber.address.key()).collect();
        let mut choices: HashMap<String, HashMap<String, (String, String)>> = HashMap::new();
        for (key, feed, cadence, state) in self.publication.store.choices(&keys).await? {
            choices.entry(key).or_default().insert(feed, (cadence, state));
        }
        for ((line, arrival), key) in arrivals.iter().zip(&keys) {
            self.report.banned += u64::from(arrival.ban.is_some());
            if arrival.subscriptions.is_empty() {
                continue;
            }
            let Some(known) = choices.get(key) else {
                self.report.subscribers += 1;
                self.report.subscriptions += arrival.subscriptions.len() as u64;
                continue;
            };
            let mut said = vec![];
            for one in &arrival.subscriptions {
                match known.get(one.feed.as_str()) {
                    None => self.report.subscriptions += 1,
                    Some((cadence, state)) => {
                        let differs = cadence != one.cadence.as_str() || state != one.state.as_str();
                        if self.import.overwrite && differs && state != "ended" {
                            self.report.changed += 1;
                            said.push(format!(
                                "{} {cadence} ({state}) becomes {} ({})",
                                one.feed,
                                one.cadence,
                                one.state.as_str()
                            ));
                        } else {
                            said.push(format!("{} {cadence} ({state}) stays", one.feed));
                        }
                    }
                }
            }
            let what = format!("{} is known: {}", arrival.subscriber.address, said.join(", "));
            self.report.remark(*line, reason::KNOWN, what);
        }
        Ok(())
    }

    /// The problem that ends it all, with what has happened up to there.
    fn given_up(&self, problem: Problem) -> Problem {
        let taken = self.report.subscribers;
        if self.import.dry_run || (taken == 0 && self.report.subscriptions == 0 && self.report.banned == 0) {
            let what = format!("{}; nothing was taken in", problem.what);
            return Problem { what, ..problem };
        }
        let what = format!("{}; the lines well before it are taken in, {taken} new subscribers", problem.what);
        let hint = "mend the file and bring it again: who is known stays as they are".to_owned();
        Problem { what, hint: problem.hint.map(|first| format!("{first}; {hint}")).or(Some(hint.clone())), ..problem }
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

/// A newsletter that someone asked for.
struct Asked {
    feed: FeedName,
    cadence: Cadence,
    /// Where the cadence is not on offer and the newsletter's default stands for it: so much, and what is.
    instead: Option<(String, String)>,
}

/// What a word such as `news:daily` names.
fn asked(publication: &Publication, word: &str) -> Result<Asked, (String, String)> {
    let (name, written) =
        word.split_once(':').map_or((word, None), |(name, cadence)| (name.trim(), Some(cadence.trim())));
    let known = || publication.feeds.iter().filter_map(|feed| Some((feed, feed.newsletter.as_ref()?)));
    let Some((feed, newsletter)) = known().find(|(feed, _)| feed.name.as_str() == name) else {
        let names: Vec<&str> = known().map(|(feed, _)| feed.name.as_str()).collect();
        return Err((format!("there is no newsletter {name:?}"), format!("known here: {}", names.join(", "))));
    };
    let cadence = written.and_then(Cadence::parse).filter(|cadence| newsletter.cadences.contains_key(cadence));
    let instead = written.filter(|_| cadence.is_none()).map(|written| {
        let offered: Vec<_> = newsletter.cadences.keys().map(ToString::to_string).collect();
        (format!("{name} does not come {written:?}"), format!("on offer: {}", offered.join(", ")))
    });
    Ok(Asked { feed: feed.name.clone(), cadence: cadence.unwrap_or(newsletter.default), instead })
}

/// Reads `news:daily;offers`; a feed without a cadence gets the newsletter's default, and `default_feed` who names none.
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
        let Asked { feed, cadence, instead } = asked(publication, word)?;
        if let Some(not_offered) = instead {
            return Err(not_offered);
        }
        if !feeds.iter().any(|(known, _)| *known == feed) {
            feeds.push((feed, cadence));
        }
    }
    match (feeds.is_empty(), default_feed) {
        (false, _) => Ok(feeds),
        (true, Some(default)) => Ok(vec![default.clone()]),
        (true, None) => Err(("no feed is named".into(), "name feeds as news:daily;offers, or give --feed".into())),
    }
}
