//! The command line: one function per verb. Exit codes: 0 done, 1 faults found, 2 called wrongly; `report` says 75 when
//! a report has to be brought again.

mod digest;
mod dkim;
mod form;
mod hold;
mod hub;
mod import;
mod init;
mod log;
mod output;
mod preview;
mod progress;
mod readers;
mod report;
mod schedule;
mod segments;
mod serve;
mod source;
mod subscribers;
mod suppressions;
mod template;
mod verbs;
mod why;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::config::Config;
use crate::problem::Problem;
use crate::task::{Clock, Publication, TaskError};

/// A site's articles as RSS, Atom and JSON feeds, and as e-mail digests with their own subscriber list.
#[derive(Debug, Parser)]
#[command(name = "tidings", version, about, propagate_version = true, max_term_width = 100)]
struct Arguments {
    /// The publication's folder: where config.toml is
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".", global = true)]
    directory: PathBuf,
    /// Print what is found as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a new publication that works at once
    Init {
        /// The folder to make it in
        directory: PathBuf,
    },
    /// Bring articles in from elsewhere: a copied page, another program's export, a folder
    ///
    /// Shows what it found and asks before it writes; never overwrites. Bringing the same again changes nothing.
    Import(import::Arguments),
    /// Name everything wrong in config, articles, feeds and templates
    Check,
    /// Bring articles into the store, and release what is due
    Sync,
    /// Write feeds and pages into public/
    Publish {
        /// Render every page again, changed or not
        #[arg(long)]
        all: bool,
    },
    /// Feeds elsewhere whose entries are articles here
    #[command(subcommand)]
    Source(source::Verb),
    /// The sign-up form as HTML, for any other site
    Form(form::Arguments),
    /// Who reads each feed, by mail and with feed readers
    Readers(readers::Arguments),
    /// The people who get mail
    #[command(subcommand)]
    Subscribers(subscribers::Verb),
    /// Selections of subscribers, one file each in segments/
    Segments {
        #[command(subcommand)]
        verb: Option<segments::Verb>,
    },
    /// The addresses that get no mail, and why
    #[command(subcommand)]
    Suppressions(suppressions::Verb),
    /// The digests that they get
    #[command(subcommand)]
    Digest(digest::Verb),
    /// What mail and pages look like
    #[command(subcommand)]
    Template(template::Verb),
    /// The keys that sign mail, and their DNS records
    #[command(subcommand)]
    Dkim(dkim::Verb),
    /// Take bounces and complaints that came by mail
    ///
    /// Exit code 0 when a report was taken, whoever it was about; 75 (try again later) when it could not be.
    Report(report::Arguments),
    /// Sync on change, serve, schedule and send: all in one process
    Serve {
        /// Listen here instead of serve.listen
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<std::net::SocketAddr>,
    },
    /// Send what is due, beside serve and as many others as wanted on PostgreSQL
    Worker,
    /// Who is told at once that a feed has changed, and who cannot be reached
    Hub,
    /// What is there, what is under way, what comes next
    Status,
    /// Each slot to come, with its readers, and the digests that wait for an editor
    Schedule {
        /// Only those of this newsletter
        newsletter: Option<String>,
        /// For this many weeks
        #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=520))]
        weeks: u16,
        /// What another configuration would alter: a publication's folder, a folder of feeds, or one definition
        #[arg(long, value_name = "PATH")]
        diff: Option<PathBuf>,
    },
    /// Every reason why somebody got, will get or did not get a mail
    Why {
        /// Their address
        address: String,
        /// Of this digest alone: its id, or the first part of it
        digest: Option<String>,
    },
}

/// How a verb that did its work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Well,
    WithFaults,
    /// Not now: it may work later.
    ForNow,
}

impl Ended {
    fn with(problems: &[Problem]) -> Self {
        if problems.is_empty() { Self::Well } else { Self::WithFaults }
    }
}

/// What mail servers understand as "try again later" (`sysexits.h`).
const EX_TEMPFAIL: u8 = 75;

/// A command that cannot be carried out as it was given: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// What is said when a second Ctrl-C does not wait for what is under way.
const BROKEN_OFF: &str = "broken off: what was under way goes out again in a minute, and may come twice";

/// Runs the program with the arguments and environment of the process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log::begin();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::complain(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    // A mail server that pipes a report to us keeps it and tries again; anything else it would bounce.
    let is_report = matches!(arguments.verb, Verb::Report(_));
    match runtime.block_on(run(arguments)) {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::WithFaults) => ExitCode::from(1),
        Ok(Ended::ForNow) => ExitCode::from(EX_TEMPFAIL),
        Err(error) if is_report && !error.is::<Usage>() => {
            complain_of(&error);
            ExitCode::from(EX_TEMPFAIL)
        }
        Err(error) => {
            complain_of(&error);
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}

/// An error with what caused it: each link of the chain once.
fn complain_of(error: &anyhow::Error) {
    if let Some(TaskError::Problems(problems)) = error.downcast_ref::<TaskError>() {
        output::problems(problems);
        return;
    }
    output::complain(&format!("error: {}", chain(error.chain())));
}

/// What was attempted, and why it failed, down to the first cause.
fn chain<'a>(errors: impl Iterator<Item = &'a (dyn std::error::Error + 'static)>) -> String {
    errors.map(|link| crate::problem::printable(&link.to_string())).collect::<Vec<_>>().join(": ")
}

async fn run(arguments: Arguments) -> anyhow::Result<Ended> {
    let Arguments { directory, json, verb } = arguments;
    if let Verb::Init { directory } = verb {
        return init::init(&directory);
    }
    let mut config = match Config::load(&directory, environment()) {
        Ok(config) => config,
        Err(problems) => {
            if json && matches!(verb, Verb::Check) {
                output::json(&problems)?;
            } else {
                output::problems(&problems);
            }
            return Ok(if matches!(verb, Verb::Report(_)) { Ended::ForNow } else { Ended::WithFaults });
        }
    };
    let configured = config.listen;
    if let Verb::Serve { listen: Some(listen) } = verb {
        config.listen = listen;
    }
    let verb = match verb {
        Verb::Check => return verbs::check(config, json).await,
        Verb::Import(arguments) => return import::run(config, arguments, json).await,
        // Templates that cannot be read are what it is for.
        Verb::Template(verb) => return template::run(config, verb, json).await,
        // Before the keys that are configured are read: one of them may be what is missing.
        Verb::Dkim(verb) => return dkim::run(config, verb, json).await,
        verb => verb,
    };
    let publication = Publication::open(config, Clock::system()).await?;
    let ended = match verb {
        Verb::Init { .. } | Verb::Check | Verb::Import(_) | Verb::Dkim(_) | Verb::Template(_) => Ok(Ended::Well),
        Verb::Sync => verbs::sync(&publication, json).await,
        Verb::Publish { all } => verbs::publish(&publication, all, json).await,
        Verb::Source(verb) => source::run(&publication, verb, json).await,
        Verb::Form(arguments) => form::run(&publication, &arguments, json),
        Verb::Readers(arguments) => readers::run(&publication, arguments, json).await,
        Verb::Subscribers(verb) => subscribers::run(&publication, verb, json).await,
        Verb::Segments { verb } => segments::run(&publication, verb, json).await,
        Verb::Suppressions(verb) => suppressions::run(&publication, verb, json).await,
        Verb::Digest(verb) => digest::run(&publication, verb, json).await,
        Verb::Report(arguments) => report::run(&publication, arguments, json).await,
        Verb::Serve { .. } => Box::pin(serve::serve(publication.clone(), configured)).await,
        Verb::Worker => Box::pin(serve::worker(&publication)).await,
        Verb::Hub => hub::run(&publication, json).await,
        Verb::Status => verbs::status(&publication, json).await,
        Verb::Schedule { newsletter, weeks, diff } => {
            schedule::run(&publication, newsletter.as_deref(), weeks, diff.as_deref(), json).await
        }
        Verb::Why { address, digest } => why::run(&publication, &address, digest.as_deref(), json).await,
    };
    publication.store.close().await;
    ended
}

/// What the environment says, as far as it is text.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?)))
}

fn text(text: OsString) -> Option<String> {
    text.into_string().ok()
}

/// How the program was called, for commands to be copied.
fn called_as() -> &'static str {
    let program = std::env::current_exe().unwrap_or_default();
    let is_built_here = |profile: &str| program.ends_with(format!("target/{profile}/tidings"));
    if is_built_here("release") {
        "cargo run --release --"
    } else if is_built_here("debug") {
        "cargo run --"
    } else {
        "tidings"
    }
}

/// Ctrl-C and SIGTERM, listened to from the beginning: none that comes between two waits is missed.
struct Interrupts {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Interrupts {
    #[cfg(unix)]
    fn listen() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
        Ok(Self { terminate, interrupt })
    }

    #[cfg(unix)]
    async fn next(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        Ok(())
    }

    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) -> anyhow::Result<()> {
        tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")
    }
}
