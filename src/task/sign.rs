//! The keys that sign mail: read once, and what is wrong with them.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::{Publication, TaskError};
use crate::config::{Config, Dkim};
use crate::domain::address::EmailAddress;
use crate::domain::digest::DigestId;
use crate::domain::feed::Feed;
use crate::domain::subscription::SubscriberId;
use crate::mail::dkim::{Key, KeyFault, Signer, Signers, aligns, record_name};
use crate::problem::Problem;

pub use crate::mail::dkim::Strength;

/// A DNS record to publish.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Record {
    /// Its name, without the closing dot.
    pub name: String,
    /// The text of its TXT record, in one piece.
    pub text: String,
}

impl Record {
    /// The text as a zone file wants it: strings of 255 bytes at most (RFC 1035 §3.3), in brackets.
    pub fn zone(&self) -> String {
        let pieces = self.text.as_bytes().chunks(255).map(|piece| format!("\"{}\"", String::from_utf8_lossy(piece)));
        format!("{}. IN TXT ( {} )", self.name, pieces.collect::<Vec<_>>().join(" "))
    }
}

/// A key that was made.
#[derive(Debug, Clone)]
pub struct Made {
    /// Where its private half stands.
    pub file: PathBuf,
    /// The record of its public half.
    pub record: Record,
}

impl Publication {
    /// The message with its signatures in front: one of each `[[dkim]]` whose domain aligns with the sender, over what
    /// providers want in order to tell `whose` it is when something comes back. Every message passes here last.
    ///
    /// # Errors
    /// A key that refuses to sign.
    pub fn sign(
        &self,
        from: &EmailAddress,
        whose: Option<(SubscriberId, Option<DigestId>)>,
        mut message: Vec<u8>,
    ) -> Result<Vec<u8>, TaskError> {
        let headers = whose.map(|(who, digest)| self.report_headers(who, digest)).unwrap_or_default();
        if !headers.is_empty() {
            let lines: Vec<u8> = headers
                .iter()
                .flat_map(|(name, value)| [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat())
                .collect();
            message.splice(0..0, lines);
        }
        let signatures = self.signers.sign(from, &message, self.clock.now())?;
        message.splice(0..0, signatures);
        Ok(message)
    }
}

/// Reads the keys of `config`.
///
/// # Errors
/// Every key that cannot be read or used.
pub fn signers(config: &Config) -> Result<Signers, Vec<Problem>> {
    let mut problems = vec![];
    let mut signers = vec![];
    for dkim in &config.dkim {
        let key = std::fs::read(&dkim.key_file).map_err(|error| format!("cannot be read: {error}"));
        match key.and_then(|pem| Key::from_pem(&pem).map_err(|fault| fault.to_string())) {
            Ok(key) => signers.push(Signer::new(&dkim.domain, &dkim.selector, key)),
            Err(what) => problems.push(
                Problem::new(
                    config.name_of(&dkim.key_file),
                    format!("the key of dkim.selector {}: {what}", dkim.selector),
                )
                .hint("put it back, or make another: tidings dkim keygen"),
            ),
        }
    }
    if problems.is_empty() { Ok(Signers::new(signers)) } else { Err(problems) }
}

/// The records of the keys in `config`.
///
/// # Errors
/// Every key that cannot be read or used.
pub fn records(config: &Config) -> Result<Vec<Record>, Vec<Problem>> {
    Ok(signers(config)?.iter().map(Signer::record).map(|(name, text)| Record { name, text: text.to_owned() }).collect())
}

/// What is wrong with the signatures: keys that cannot be used or that others may read, domains that sign nothing.
pub(super) fn faults(config: &Config, feeds: &[Feed]) -> Vec<Problem> {
    let mut problems = match signers(config) {
        Ok(signers) => ed25519_alone(&signers),
        Err(problems) => problems,
    };
    problems.extend(config.dkim.iter().filter_map(|dkim| open_to_others(config, dkim)));
    let newsletters = feeds.iter().filter_map(|feed| feed.newsletter.as_ref());
    let mut senders = newsletters.filter_map(|newsletter| newsletter.from.as_ref()).collect::<Vec<_>>();
    senders.push(&config.mail.from);
    for dkim in &config.dkim {
        if !senders.iter().any(|from| aligns(&dkim.domain, &from.address)) {
            let what = format!("dkim.domain {} signs no mail: no sender is of that domain", dkim.domain);
            let hint = format!("leave `domain` out: it is then {}, as in mail.from", config.mail.from.address.domain());
            problems.push(Problem::new("config.toml", what).hint(hint));
        }
    }
    problems
}

/// Domains that sign with Ed25519 only: many receivers do not know it yet, and take the mail for unsigned.
fn ed25519_alone(signers: &Signers) -> Vec<Problem> {
    let has_rsa = |domain: &str| {
        signers.iter().any(|signer| signer.domain() == domain && matches!(signer.strength(), Strength::Rsa(_)))
    };
    let mut domains: Vec<&str> = signers.iter().map(Signer::domain).filter(|domain| !has_rsa(domain)).collect();
    domains.sort_unstable();
    domains.dedup();
    let problem = |domain: &str| {
        let what = format!("{domain} signs with Ed25519 alone, which many receivers do not know yet");
        Problem::new("config.toml", what).hint("add an RSA key beside it: tidings dkim keygen")
    };
    domains.into_iter().map(problem).collect()
}

/// Mail that goes out unsigned although there are keys.
pub(super) fn unsigned(config: &Config, from: &EmailAddress, file: &str) -> Option<Problem> {
    if config.dkim.is_empty() || config.dkim.iter().any(|dkim| aligns(&dkim.domain, from)) {
        return None;
    }
    let what = format!("mail from {} is not signed: no [[dkim]] is for that domain", from.domain());
    let domain = from.domain();
    let hint = format!("add a key with domain = \"{domain}\" to config.toml: tidings dkim keygen --domain {domain}");
    Some(Problem::new(file, what).hint(hint))
}

#[cfg(unix)]
fn open_to_others(config: &Config, dkim: &Dkim) -> Option<Problem> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(&dkim.key_file).ok()?.permissions().mode();
    let file = config.name_of(&dkim.key_file);
    let problem =
        Problem::new(file.clone(), format!("others on this machine can read this key (mode {:o})", mode & 0o777));
    (mode & 0o077 != 0).then(|| problem.hint(format!("chmod 600 {file}")))
}

#[cfg(not(unix))]
fn open_to_others(_: &Config, _: &Dkim) -> Option<Problem> {
    None
}

/// A selector that a new key gets where none is given: the month makes room for the next.
pub fn new_selector(strength: Strength, now: DateTime<Utc>) -> String {
    let kind = if strength == Strength::Ed25519 { "e" } else { "" };
    format!("tidings{}{kind}", now.format("%Y%m"))
}

/// Makes a key in `secrets/`, readable by its owner alone. Nothing is ever written over.
///
/// # Errors
/// A file that is there already or cannot be written, or a size that is none.
pub fn make_key(config: &Config, domain: &str, selector: &str, strength: Strength) -> Result<Made, TaskError> {
    let file = config.root.join("secrets").join(format!("dkim-{selector}.pem"));
    let refused = |fault: KeyFault| Problem::new(config.name_of(&file), format!("no key was made: {fault}"));
    let key = Key::generate(strength).map_err(refused)?;
    let pem = key.to_pem().map_err(refused)?;
    write_secret(&file, pem.as_bytes()).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => TaskError::from(
            Problem::new(config.name_of(&file), "there is a key already; it was not changed")
                .hint("choose another name with --selector"),
        ),
        _ => TaskError::Write { path: config.name_of(&file), source: error },
    })?;
    let record = Record { name: record_name(domain, selector), text: key.record().to_owned() };
    Ok(Made { file, record })
}

/// A new file that nobody else may read, in a folder that nobody else may enter.
fn write_secret(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut folder = std::fs::DirBuilder::new();
    let mut open = std::fs::OpenOptions::new();
    open.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
        folder.mode(0o700);
        open.mode(0o600);
    }
    if let Some(parent) = file.parent() {
        folder.recursive(true).create(parent)?;
    }
    let mut file = open.open(file)?;
    file.write_all(bytes)?;
    file.sync_all()
}
