//! `tidings report`: bounces and complaints by mail, from a pipe, files or a Maildir.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use super::output::{self, count};
use super::{Ended, Usage};
use crate::task::Publication;
use crate::task::report::{ReportTally, read_start, take, take_mailbox, take_maildir};
use crate::task::webhook;

/// What to read.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Messages, each in a file; standard input when none is named
    files: Vec<PathBuf>,
    /// Take what is new in this Maildir
    #[arg(long, value_name = "DIR", conflicts_with = "files")]
    maildir: Option<PathBuf>,
    /// Take what is unseen in the mailbox of reports.imap
    #[arg(long, conflicts_with_all = ["files", "maildir"])]
    imap: bool,
    /// The address that the message was delivered to, as the mail server knows it
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["maildir", "imap"])]
    recipient: Option<String>,
    /// Print the address that Amazon SNS waits for someone to open before it sends reports here
    #[arg(long, conflicts_with_all = ["files", "maildir", "imap", "recipient"])]
    sns_question: bool,
}

pub(super) async fn run(publication: &Publication, arguments: Arguments, json: bool) -> anyhow::Result<Ended> {
    if arguments.sns_question {
        let url = webhook::sns_question(publication).await?;
        output::say(url.as_deref().unwrap_or("Amazon SNS has not asked"));
        return Ok(if url.is_some() { Ended::Well } else { Ended::WithFaults });
    }
    let recipient = arguments.recipient.as_deref();
    let mut tally = ReportTally::default();
    let mut ended = Ended::Well;
    if let Some(maildir) = &arguments.maildir {
        tally = take_maildir(publication, maildir).await?;
    } else if arguments.imap {
        let Some(imap) = &publication.config.reports.imap else {
            return Err(Usage("config.toml has no [reports.imap]".into()).into());
        };
        tally = take_mailbox(publication, imap).await?;
    } else if arguments.files.is_empty() {
        tally += take(publication, &standard_input().await?, recipient).await?;
    } else {
        for file in &arguments.files {
            match read_start(file).await {
                Ok(bytes) => tally += take(publication, &bytes, recipient).await?,
                Err(error) => {
                    output::complain(&format!("{}: cannot be read: {error}", shown(file)));
                    ended = Ended::WithFaults;
                }
            }
        }
    }
    if json {
        output::json(&json!({ "reports": tally, "unclaimed_ever": publication.store.unclaimed_reports().await? }))?;
    } else {
        output::say(&describe(&tally));
    }
    Ok(ended)
}

/// What came of reports, in a line.
pub(super) fn describe(tally: &ReportTally) -> String {
    let parts = [
        (tally.hard_bounces, "hard bounce", "hard bounces"),
        (tally.soft_bounces, "soft bounce", "soft bounces"),
        (tally.other_bounces, "other bounce", "other bounces"),
        (tally.complaints, "complaint", "complaints"),
        (tally.left, "reader who left", "readers who left"),
        (tally.suppressed, "address suppressed", "addresses suppressed"),
        (tally.known, "known already", "known already"),
        (tally.nothing, "with nothing to do", "with nothing to do"),
        (tally.unclaimed, "about nobody known", "about nobody known"),
    ];
    let told =
        parts.iter().filter(|(number, ..)| *number > 0).map(|(number, one, several)| count(*number, one, several));
    let told: Vec<String> = told.collect();
    if told.is_empty() { "no reports".into() } else { format!("reports: {}", told.join(", ")) }
}

/// As much of standard input as is read of a report; the rest is taken and dropped, lest the mail server that writes it
/// see a broken pipe.
async fn standard_input() -> anyhow::Result<Vec<u8>> {
    let read = tokio::task::spawn_blocking(|| {
        use std::io::Read as _;
        let mut input = std::io::stdin().lock();
        let mut bytes = vec![];
        input.by_ref().take(crate::task::report::MAX_REPORT as u64).read_to_end(&mut bytes)?;
        std::io::copy(&mut input, &mut std::io::sink())?;
        std::io::Result::Ok(bytes)
    });
    read.await?.context("cannot read the report from standard input")
}

fn shown(file: &Path) -> String {
    crate::problem::printable(&file.display().to_string())
}
