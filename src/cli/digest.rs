//! `tidings digest`.

mod announced;
mod pick;
mod shown;

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::sync::atomic::Ordering;

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use self::announced::{announce, as_json, nothing_to_do};
use super::output::{self, grouped};
use super::progress::Shown;
use super::{Ended, Interrupts, Usage, called_as, hold, preview, segments};
use crate::domain::digest::{Digest, DigestId, DigestState};
use crate::domain::feed::Feed;
use crate::domain::newsletter::{Cadence, Newsletter};
use crate::domain::segment::Segment;
use crate::domain::trial::Trial;
use crate::task::compose::{self, Plan};
use crate::task::dispatch::{self, Counts, DispatchReport, Stop};
use crate::task::notice;
use crate::task::progress::{self, Course};
use crate::task::render::Renderer;
use crate::task::{Publication, TaskError, trial};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Show the next digest as a reader would get it
    Preview {
        /// The newsletter, by its feed's name
        newsletter: String,
        /// In which form
        #[arg(long = "as", value_enum, default_value_t = Form::Text)]
        form: Form,
        /// With this many of the latest articles, instead of what is new
        #[arg(long, value_name = "NUMBER")]
        latest: Option<usize>,
        /// For a reader of this name
        #[arg(long)]
        name: Option<String>,
        /// For a reader of this language, such as de
        #[arg(long, value_name = "TAG")]
        language: Option<String>,
        /// As this reader would get it now, from their address
        #[arg(long = "for", value_name = "ADDRESS", conflicts_with_all = ["latest", "name", "language"])]
        reader: Option<String>,
    },
    /// Send what each reader has not had yet; sending twice is sending once
    Send {
        /// The newsletter, by its feed's name; with --dry-run it may be left out, for all of them
        #[arg(required_unless_present = "dry_run")]
        newsletter: Option<String>,
        /// Only to the readers of this cadence
        #[arg(long, value_parser = cadence)]
        cadence: Option<Cadence>,
        /// Only to those of its readers who are in this segment
        #[arg(long)]
        segment: Option<String>,
        /// With at least this many of the latest articles, new or not
        #[arg(long, value_name = "NUMBER")]
        latest: Option<usize>,
        /// With these articles alone, by their slugs; what is new among them comes again with the next digest
        #[arg(long, value_name = "SLUG,SLUG", value_delimiter = ',', conflicts_with = "latest")]
        articles: Vec<String>,
        /// Try these subjects on some of the readers; the others get what wins, or what digest pick says
        #[arg(long, value_name = "SUBJECT", num_args = 2..=Trial::MOST)]
        subjects: Vec<String>,
        /// With these words at the top
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        /// With the words of this file at the top
        #[arg(long, value_name = "FILE", conflicts_with = "note")]
        note_file: Option<std::path::PathBuf>,
        /// Send one message to this address, and nothing to anyone else
        #[arg(long, value_name = "ADDRESS")]
        test: Option<String>,
        /// Only say what would be sent to whom
        #[arg(long)]
        dry_run: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// The newest digests
    List {
        /// Only those of this newsletter
        newsletter: Option<String>,
    },
    /// One digest: its articles and where its deliveries stand
    Show {
        /// Its id, or the first part of it
        id: String,
        /// Every attempt to send it to this address
        #[arg(long, value_name = "ADDRESS")]
        attempts: Option<String>,
    },
    /// Stop sending a digest for a while; nothing is lost
    Pause {
        /// Its id, or the first part of it
        id: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// End a digest: who has not got it yet will not; its articles come with the next one
    Cancel {
        /// Its id, or the first part of it
        id: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Go on with a digest that was paused, held or halted
    Resume {
        /// Its id, or the first part of it
        id: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Say yes to a digest that is held
    Approve {
        /// Its id, or the first part of it
        id: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Say which of the subjects on trial the other readers get
    Pick {
        /// Its id, or the first part of it
        id: String,
        /// A, B, and so on
        subject: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Let a held digest go out by itself at another time
    Reschedule {
        /// Its id, or the first part of it
        id: String,
        /// When, as in "2026-11-26 07:00" on the publication's clock, or with an offset
        time: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// The forms of a preview.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// The HTML part
    Html,
    /// The text part
    Text,
    /// The whole message
    Eml,
}

fn cadence(word: &str) -> Result<Cadence, String> {
    Cadence::parse(word).ok_or_else(|| "write instant, daily, weekly or monthly".to_owned())
}

pub(super) async fn run(publication: &Publication, verb: Verb, json: bool) -> anyhow::Result<Ended> {
    match verb {
        Verb::Preview { newsletter, form, reader: Some(address), .. } => {
            preview::preview_for(publication, &newsletter, form, &address).await
        }
        Verb::Preview { newsletter, form, latest, name, language, reader: None } => {
            let (name, language) = (name.as_deref(), language.as_deref());
            preview::preview(publication, &newsletter, form, latest, name, language).await
        }
        Verb::Send {
            newsletter,
            cadence,
            segment,
            latest,
            articles,
            subjects,
            note,
            note_file,
            test,
            dry_run,
            yes,
        } => {
            let note = noted(note, note_file.as_deref())?;
            let segment = segment.as_deref().map(|name| segments::named(publication, name).cloned()).transpose()?;
            let what = What { cadence, segment, latest, articles, subjects, note };
            match (test, newsletter) {
                (_, None) => look_at_all(publication, &what, json).await,
                (Some(address), Some(name)) => preview::test_message(publication, &name, &what, &address).await,
                (None, Some(name)) => send(publication, &name, what, dry_run, yes, json).await,
            }
        }
        Verb::Reschedule { id, time, yes } => hold::reschedule(publication, &id, &time, yes, json).await,
        Verb::List { newsletter } => shown::list(publication, newsletter.as_deref(), json).await,
        Verb::Show { id, attempts: None } => shown::show(publication, &id, json).await,
        Verb::Show { id, attempts: Some(address) } => shown::attempts(publication, &id, &address, json).await,
        Verb::Pause { id, yes } => hold::pause(publication, &id, yes, json).await,
        Verb::Cancel { id, yes } => hold::cancel(publication, &id, yes, json).await,
        Verb::Resume { id, yes } => hold::resume(publication, &id, hold::Go::On, yes, json).await,
        Verb::Approve { id, yes } => hold::resume(publication, &id, hold::Go::Approved, yes, json).await,
        Verb::Pick { id, subject, yes } => pick::pick(publication, &id, &subject, yes, json).await,
    }
}

/// What an editor sends, and to whom.
pub(super) struct What {
    cadence: Option<Cadence>,
    segment: Option<Segment>,
    pub(super) latest: Option<usize>,
    articles: Vec<String>,
    subjects: Vec<String>,
    pub(super) note: Option<String>,
}

impl What {
    pub(super) async fn plan(
        &self,
        publication: &Publication,
        feed: &Feed,
        newsletter: &Newsletter,
    ) -> Result<Plan, TaskError> {
        let segment = self.segment.as_ref();
        let mut plan = if self.articles.is_empty() {
            let mut plan = compose::plan_now(publication, feed, newsletter, self.cadence, segment, self.latest).await?;
            plan.note.clone_from(&self.note);
            plan
        } else {
            let note = self.note.as_deref();
            compose::plan_picked(publication, feed, self.cadence, segment, &self.articles, note).await?
        };
        plan.trial = newsletter.trial(&self.subjects);
        Ok(plan)
    }
}

/// An editor's words: from the command line or from a file.
fn noted(note: Option<String>, file: Option<&std::path::Path>) -> anyhow::Result<Option<String>> {
    let note = match file {
        Some(file) => Some(
            std::fs::read_to_string(file)
                .map_err(|error| Usage(format!("{}: cannot be read: {error}", file.display())))?,
        ),
        None => note,
    };
    Ok(note.map(|note| note.trim().to_owned()).filter(|note| !note.is_empty()))
}

/// A length of time as it is written in a configuration.
pub(super) fn length(time: chrono::TimeDelta) -> String {
    match (time.num_minutes(), time.num_seconds() % 60) {
        (minutes, 0) if minutes % 60 == 0 && minutes > 0 => format!("{}h", minutes / 60),
        (minutes, 0) => format!("{minutes}m"),
        _ => format!("{}s", time.num_seconds()),
    }
}

pub(super) fn agreed(question: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Usage("nobody is there to be asked; say --yes, or --dry-run to look first".into()).into());
    }
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

async fn send(
    publication: &Publication,
    name: &str,
    what: What,
    dry_run: bool,
    yes: bool,
    json: bool,
) -> anyhow::Result<Ended> {
    let (feed, newsletter) = compose::newsletter(publication, name)?;
    if !dry_run {
        // Whose pause is over is among its readers.
        publication.store.resume_due(publication.clock.now()).await?;
    }
    let plan = what.plan(publication, feed, newsletter).await?;
    if plan.readers() == 0 || plan.existing.is_some() {
        let unfinished = publication
            .store
            .digests(Some(&feed.name), 50)
            .await?
            .into_iter()
            .find(|digest| digest.state == DigestState::Sending);
        if let (Some(digest), false) = (&unfinished, dry_run) {
            output::complain(&format!("going on with the digest of {}", when(publication, digest)));
            return go_on(publication).await;
        }
        let reason = nothing_to_do(publication, &plan).await?;
        if json {
            output::json(&json!({ "readers": 0, "articles": plan.articles.len(), "reason": reason }))?;
        } else {
            output::say(&reason);
        }
        return Ok(Ended::Well);
    }
    if json {
        output::json(&as_json(publication, &plan))?;
    } else {
        announce(publication, &plan);
    }
    if dry_run || (!yes && !agreed("Send?")?) {
        output::complain("nothing was sent");
        return Ok(Ended::Well);
    }
    // A fault in the template is found before there is a digest that would halt on it.
    let renderer = Renderer::new(publication);
    renderer.compile_noted(feed, newsletter, None, &plan.articles, plan.note.as_deref()).map_err(TaskError::from)?;
    for subject in plan.trial.iter().flat_map(|trial| &trial.subjects) {
        let newsletter = Newsletter { subject: subject.clone(), ..newsletter.clone() };
        let note = plan.note.as_deref();
        renderer.compile_noted(feed, &newsletter, None, &plan.articles, note).map_err(TaskError::from)?;
    }
    compose::compose(publication, &plan, DigestState::Sending).await?;
    go_on(publication).await
}

/// Says of every newsletter what would be sent to whom, and sends nothing.
async fn look_at_all(publication: &Publication, what: &What, json: bool) -> anyhow::Result<Ended> {
    let mut plans = vec![];
    for feed in publication.feeds.iter() {
        let Some(newsletter) = &feed.newsletter else { continue };
        let plan = what.plan(publication, feed, newsletter).await?;
        if json {
            plans.push(as_json(publication, &plan));
        } else if plan.readers() == 0 || plan.existing.is_some() {
            output::say(&nothing_to_do(publication, &plan).await?);
        } else {
            announce(publication, &plan);
        }
    }
    if json {
        output::json(&plans)?;
    } else {
        output::complain("nothing was sent");
    }
    Ok(Ended::Well)
}

/// Sends everything that is due, with a bar, until done or interrupted.
pub(super) async fn go_on(publication: &Publication) -> anyhow::Result<Ended> {
    trial::look(publication).await?;
    let mut interrupts = Interrupts::listen()?;
    let (word, stop) = Stop::new();
    let counts = Counts::default();
    let mut course = Course::begin(publication, &counts).await?;
    let shown = Shown::new("messages");
    let show = async {
        let mut looked_at = std::time::Instant::now();
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(200));
        loop {
            tick.tick().await;
            if looked_at.elapsed() < progress::EVERY {
                shown.sending(&course.now(), false);
                continue;
            }
            looked_at = std::time::Instant::now();
            // Where the store does not answer, sending says so.
            if let Ok(progress) = course.look().await {
                shown.sending(&progress, true);
            }
        }
    };
    let listen = async {
        if interrupts.next().await.is_ok() {
            output::complain("stopping: what is under way is finished, the rest waits; once more ends it at once");
            let _ = word.send(true);
        }
        // A relay may keep a message under way for minutes.
        if interrupts.next().await.is_err() {
            std::future::pending::<()>().await;
        }
        output::complain(super::BROKEN_OFF);
    };
    let patience = publication.config.mail.take_over_after.as_secs();
    let on_wait = || {
        output::complain(&format!(
            "another process died while it was sending; what it had in hand goes out in {patience} s"
        ));
    };
    let report = tokio::select! {
        report = dispatch::dispatch_all(publication, &stop, &counts, &on_wait) => report?,
        () = show => DispatchReport::default(),
        () = listen => DispatchReport {
            sent: counts.sent.load(Ordering::Relaxed), stopped: true, ..DispatchReport::default()
        },
    };
    drop(shown);
    if !report.halted.is_empty()
        && let Err(error) = notice::tell(publication).await
    {
        output::complain(&format!("the editors were not told: {}", super::chain(anyhow::Chain::new(&error))));
    }
    pick::tell_who_waits(publication).await?;
    Ok(conclude(&report))
}

fn conclude(report: &DispatchReport) -> Ended {
    let mut parts = vec![format!("{} sent", grouped(report.sent))];
    for (number, what) in [
        (report.deferred, "put off, to be tried again"),
        (report.refused, "refused"),
        (report.failed, "given up"),
        (report.skipped, "skipped"),
    ] {
        if number > 0 {
            parts.push(format!("{} {what}", grouped(number)));
        }
    }
    output::say(&parts.join(", "));
    for why in &report.halted {
        output::complain(&format!("halted: {why}\n  hint: mend it, then: {} digest resume ID", called_as()));
    }
    if let Some(why) = &report.relay_away {
        output::complain(&format!(
            "the relay is away: {why}\n  hint: what is left goes out when it answers again, with `serve` or the same command"
        ));
    }
    if report.stopped {
        output::complain(&format!("stopped; the rest goes out with the same command, or with {} serve", called_as()));
    }
    if report.halted.is_empty() && report.relay_away.is_none() && report.failed == 0 {
        Ended::Well
    } else {
        Ended::WithFaults
    }
}

pub(super) fn when(publication: &Publication, digest: &Digest) -> String {
    digest.key.slot.with_timezone(&publication.config.publication.time_zone).format("%-d %B %Y %H:%M").to_string()
}

/// The digest whose id begins like this.
pub(super) async fn found(publication: &Publication, id: &str) -> anyhow::Result<Digest> {
    if let Ok(whole) = id.parse()
        && let Some(digest) = publication.store.digest(DigestId(whole)).await?
    {
        return Ok(digest);
    }
    let digests = publication.store.digests(None, 1000).await?;
    let matching: Vec<_> = digests.into_iter().filter(|digest| digest.id.to_string().starts_with(id)).collect();
    match matching.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Usage(format!("there is no digest {id:?}\n  hint: {} digest list", called_as())).into()),
        _ => Err(Usage(format!("several digests begin with {id:?}; write more of it")).into()),
    }
}
