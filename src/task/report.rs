//! What comes back after a relay accepted a message: whom it is about, and what follows.
//!
//! A report acts only by a token that is ours: of the envelope sender, or of the link to leave by that the returned
//! message bears. Without one it changes nothing and is counted. Addresses in a report are never believed.

use std::ops::AddAssign;
use std::path::Path;

use serde::Serialize;

use super::{Publication, TaskError, fingerprint};
use crate::config::reports::{Imap, with_token};
use crate::domain::address::EmailAddress;
use crate::domain::consent::{Consent, Source};
use crate::domain::delivery::{Enhanced, Fault, Outcome, fault};
use crate::domain::digest::DigestId;
use crate::domain::link::{BounceToken, Purpose};
use crate::domain::report::ReportKind;
use crate::domain::subscription::SubscriberId;
use crate::mail::imap::{Mailbox, MailboxSettings};
use crate::mail::report::{self, Finding, MAX_BYTES, Report, Traces};
use crate::store::{NewReport, Recorded};

/// What is read of a report, in bytes.
pub const MAX_REPORT: usize = MAX_BYTES;

/// What became of one report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// It is about one of ours, and new.
    Taken {
        /// What it says.
        kind: ReportKind,
        /// Whether the address is banned from now on.
        suppressed: bool,
    },
    /// It was taken before.
    Known,
    /// Nothing follows from what it is.
    Nothing(Finding),
    /// It is about nobody known: no token, a forged one, or someone who was removed.
    Unclaimed,
}

/// What became of several reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ReportTally {
    /// Addresses that do not exist.
    pub hard_bounces: u64,
    /// Mailboxes that did not take it.
    pub soft_bounces: u64,
    /// Refused for content or for who we are.
    pub other_bounces: u64,
    /// Called spam.
    pub complaints: u64,
    /// Asked by mail to leave.
    pub left: u64,
    /// Addresses banned for any of these.
    pub suppressed: u64,
    /// Came before.
    pub known: u64,
    /// Delays, successes, automatic replies, letters.
    pub nothing: u64,
    /// About nobody known.
    pub unclaimed: u64,
}

impl ReportTally {
    /// How many there were.
    pub fn total(&self) -> u64 {
        self.taken() + self.known + self.nothing + self.unclaimed
    }

    /// How many something followed from.
    pub fn taken(&self) -> u64 {
        self.hard_bounces + self.soft_bounces + self.other_bounces + self.complaints + self.left
    }
}

impl AddAssign<Reported> for ReportTally {
    fn add_assign(&mut self, reported: Reported) {
        match reported {
            Reported::Taken { kind, suppressed } => {
                self.suppressed += u64::from(suppressed);
                match kind {
                    ReportKind::HardBounce => self.hard_bounces += 1,
                    ReportKind::SoftBounce => self.soft_bounces += 1,
                    ReportKind::ContentBounce | ReportKind::SenderBounce => self.other_bounces += 1,
                    ReportKind::Complaint => self.complaints += 1,
                    ReportKind::Leave => self.left += 1,
                }
            }
            Reported::Known => self.known += 1,
            Reported::Nothing(_) => self.nothing += 1,
            Reported::Unclaimed => self.unclaimed += 1,
        }
    }
}

/// Whom a report is about.
struct About {
    subscriber: SubscriberId,
    digest: Option<DigestId>,
    address: EmailAddress,
}

impl Publication {
    /// The envelope sender of one message, with a token that says whom a bounce is about; `None` where no address for
    /// bounces is configured.
    pub fn bounces_to(&self, subscriber: SubscriberId, digest: Option<DigestId>) -> Option<String> {
        let bounces = self.config.mail.bounces.as_ref()?;
        Some(with_token(bounces, &self.keyring.bounce_token(subscriber, digest)))
    }

    /// Headers that a message has to bear so that a provider which writes an envelope sender of its own gives the token
    /// back in its webhooks: one for each such provider that is configured.
    pub fn report_headers(&self, subscriber: SubscriberId, digest: Option<DigestId>) -> Vec<(&'static str, String)> {
        let reports = &self.config.reports;
        if reports.sendgrid.is_none() && reports.mailgun.is_none() && reports.postmark.is_none() {
            return vec![];
        }
        let token = self.keyring.bounce_token(subscriber, digest);
        let mut headers = vec![];
        if reports.sendgrid.is_some() {
            headers.push(("X-SMTPAPI", format!("{{\"unique_args\": {{\"tidings\": \"{token}\"}}}}")));
        }
        if reports.mailgun.is_some() {
            headers.push(("X-Mailgun-Variables", format!("{{\"tidings\": \"{token}\"}}")));
        }
        if reports.postmark.is_some() {
            headers.push(("X-PM-Metadata-tidings", token));
        }
        headers
    }
}

/// Takes a report as it came by mail; `recipient` is the address that it was delivered to, where that is known.
///
/// # Errors
/// When the store fails; then nothing has followed, and the report can be brought again.
pub async fn take(publication: &Publication, bytes: &[u8], recipient: Option<&str>) -> Result<Reported, TaskError> {
    let mut report = report::read(bytes, recipient);
    if report.id.is_none() {
        report.id = Some(fingerprint([&bytes[..bytes.len().min(MAX_BYTES)]]));
    }
    take_report(publication, &report).await
}

/// Takes a report that is already understood.
///
/// # Errors
/// When the store fails; then nothing has followed, and the report can be brought again.
pub async fn take_report(publication: &Publication, report: &Report) -> Result<Reported, TaskError> {
    let Finding::Of(kind) = report.finding else { return Ok(Reported::Nothing(report.finding)) };
    let Some(about) = about(publication, &report.traces).await? else {
        publication.store.count_unclaimed_report().await?;
        tracing::info!(kind = kind.as_str(), "a report is about nobody known");
        return Ok(Reported::Unclaimed);
    };
    let own = report.id.as_deref().unwrap_or_default();
    let recorded = record(publication, &about, kind, report.code, &report.text, own).await?;
    if kind == ReportKind::Leave {
        // Again and again, should the first time have failed in between: leaving twice is no fault.
        leave(publication, &about).await?;
    }
    Ok(if recorded.is_new { Reported::Taken { kind, suppressed: recorded.suppressed } } else { Reported::Known })
}

/// Remembers that a relay refused a recipient for the mailbox's sake, by the rule for soft bounces: a refusal is an event
/// like a report. Does nothing for any other outcome. Returns whether the address is banned from now on.
///
/// # Errors
/// When the store fails.
pub async fn mailbox_refused(
    publication: &Publication,
    digest: DigestId,
    subscriber: SubscriberId,
    address: &EmailAddress,
    outcome: &Outcome,
) -> Result<bool, TaskError> {
    let Outcome::Refused { enhanced, text, .. } = outcome else { return Ok(false) };
    if fault(outcome) != Some(Fault::Mailbox) {
        return Ok(false);
    }
    let about = About { subscriber, digest: Some(digest), address: address.clone() };
    let recorded = record(publication, &about, ReportKind::SoftBounce, *enhanced, text, "refused").await?;
    Ok(recorded.suppressed)
}

async fn record(
    publication: &Publication,
    about: &About,
    kind: ReportKind,
    code: Option<Enhanced>,
    text: &str,
    own: &str,
) -> Result<Recorded, TaskError> {
    let token = publication.keyring.bounce_token(about.subscriber, about.digest);
    let report = NewReport {
        id: fingerprint([token.as_str(), kind.as_str(), own]),
        digest: about.digest,
        subscriber: about.subscriber,
        address_hash: publication.keyring.address_hash(&about.address.key()),
        kind,
        code: code.map(|(class, subject, detail)| format!("{class}.{subject}.{detail}")),
        text: text.to_owned(),
    };
    let rule = publication.config.soft_bounces;
    Ok(publication.store.record_report(&report, rule, publication.clock.now()).await?)
}

/// The newsletter that the message was of, or all where it was of none.
async fn leave(publication: &Publication, about: &About) -> Result<(), TaskError> {
    let digest = match about.digest {
        Some(digest) => publication.store.digest(digest).await?,
        None => None,
    };
    let feed = digest.map(|digest| digest.key.newsletter);
    let consent = Consent::new(Source::Header, publication.clock.now());
    publication.store.leave(about.subscriber, feed.as_ref(), consent).await?;
    Ok(())
}

/// Whom the first genuine token is about, if they are still there.
async fn about(publication: &Publication, traces: &Traces) -> Result<Option<About>, TaskError> {
    let now = publication.clock.now();
    let keyring = &publication.keyring;
    let token = traces.tokens.iter().find_map(|token| keyring.read_bounce_token(token));
    let by_link = || {
        let link = traces.links.iter().find_map(|link| keyring.verify(Purpose::Leave, link, now))?;
        Some(BounceToken { subscriber: link.subscriber, digest_end: None })
    };
    let Some(token) = token.or_else(by_link) else { return Ok(None) };
    let Some(subscriber) = publication.store.subscriber(token.subscriber).await? else { return Ok(None) };
    let is_it = |digest: &DigestId| {
        token.is_of(*digest) || traces.message_ids.contains(&keyring.message_id(*digest, token.subscriber))
    };
    let digest = publication.store.digests_to(token.subscriber).await?.into_iter().find(is_it);
    Ok(Some(About { subscriber: token.subscriber, digest, address: subscriber.address }))
}

/// Takes every report that is new in a Maildir; what was taken moves to `cur/`, seen.
///
/// # Errors
/// When the store fails, or the Maildir cannot be read; what was not taken is still new.
pub async fn take_maildir(publication: &Publication, maildir: &Path) -> Result<ReportTally, TaskError> {
    let failed = |path: &Path, source| TaskError::Read { path: publication.config.name_of(path), source };
    let new = maildir.join("new");
    let mut paths = vec![];
    let mut listing = tokio::fs::read_dir(&new).await.map_err(|source| failed(&new, source))?;
    while let Some(entry) = listing.next_entry().await.map_err(|source| failed(&new, source))? {
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !is_hidden && entry.file_type().await.is_ok_and(|kind| kind.is_file()) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    let mut tally = ReportTally::default();
    for path in paths {
        let bytes = match read_start(&path).await {
            Ok(bytes) => bytes,
            // Another process was faster.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => return Err(failed(&path, source)),
        };
        tally += take(publication, &bytes, None).await?;
        match tokio::fs::rename(&path, seen(maildir, &path)).await {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => return Err(failed(&path, source)),
            _ => {}
        }
    }
    Ok(tally)
}

/// Takes every report that nobody has seen in a mailbox, and marks what was taken as seen.
///
/// # Errors
/// When the store or the server fails; what was not taken is still unseen.
pub async fn take_mailbox(publication: &Publication, config: &Imap) -> Result<ReportTally, TaskError> {
    let settings = MailboxSettings {
        host: config.host.clone(),
        port: config.port,
        tls: config.tls,
        user: config.user.clone(),
        password: config.password.clone(),
        folder: config.folder.clone(),
        authority: config.authority.clone(),
    };
    let mut mailbox = Mailbox::open(&settings).await?;
    let mut tally = ReportTally::default();
    for uid in mailbox.unseen().await? {
        if let Some(bytes) = mailbox.fetch(uid).await? {
            tally += take(publication, &bytes, None).await?;
            mailbox.mark_seen(uid).await?;
        }
    }
    mailbox.close().await;
    Ok(tally)
}

/// As much of a file as is read of a report.
///
/// # Errors
/// When it cannot be read.
pub async fn read_start(path: &Path) -> std::io::Result<Vec<u8>> {
    use tokio::io::AsyncReadExt as _;
    let mut bytes = vec![];
    let file = tokio::fs::File::open(path).await?;
    file.take(MAX_BYTES as u64).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// Where a message of `new/` stands when it was seen: with the flag `S` after `:2,`.
fn seen(maildir: &Path, path: &Path) -> std::path::PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(":2,S");
    maildir.join("cur").join(name)
}
