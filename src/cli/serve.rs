//! `tidings serve`: sync on change, serve, schedule and send, all in one process.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;

use super::output::{self, count, grouped};
use super::verbs::faults_of_feeds;
use super::{Ended, Interrupts, called_as};
use crate::domain::feed::Feed;
use crate::task::dispatch::Stop;
use crate::task::hub::keep_telling_hubs;
use crate::task::run::{self, Event};
use crate::task::{Publication, TaskError};
use crate::web::{self, App};

/// Serves; `configured` is where config.toml has it listen.
pub(super) async fn serve(mut publication: Publication, configured: SocketAddr) -> anyhow::Result<Ended> {
    let listen = publication.config.listen;
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen} (another program may; choose another with --listen)"))?;
    // Port 0 is any free one; links bear the one that it became.
    Arc::make_mut(&mut publication.config).listen = listener.local_addr().unwrap_or(listen);
    output::problems(&faults_of_feeds(&publication));
    let app = Arc::new(App::new(publication)?);
    let publication = &app.publication;
    // Before the first sync, so that nothing saved meanwhile is missed.
    let (articles, files) = (&publication.config.articles, &publication.config.static_files);
    let mut watch = match run::Watch::new(articles, files, Arc::clone(&app.changes)) {
        Ok(watch) => Some(watch),
        Err(error) => {
            output::complain(&format!("changes to articles are not seen by themselves: {error}"));
            None
        }
    };
    let (synced, _) = run::sync_and_publish(publication, &app.site).await?;
    output::problems(&synced.problems);
    greet(publication, synced.found, configured).await?;

    let (word, stop) = Stop::new();
    let told = |event: Event| tell(publication, &event);
    let server = web::serve(listener, Arc::clone(&app), stop.clone());
    let watching = async {
        if let Some(watch) = &mut watch {
            watch.follow(stop.clone()).await;
        }
    };
    let syncing = run::keep_in_sync(publication, &app.changes, stop.clone(), &app.site, &told);
    let sending = run::keep_sending(publication, &app.poke, &app.changes, stop.clone(), &told);
    let hubs = keep_telling_hubs(publication, &app.site, stop.clone(), &told);
    let counting = app.readers.keep_writing(publication, stop.clone());
    let working = async {
        tokio::join!(server, watching, syncing, sending, hubs, counting);
        // After the last answer.
        app.readers.write(publication).await?;
        Ok(Ended::Well)
    };
    Box::pin(until_stopped(working, &word)).await
}

/// Sends what is due, until told to stop: one of as many processes as wanted.
pub(super) async fn worker(publication: &Publication) -> anyhow::Result<Ended> {
    let (word, stop) = Stop::new();
    let told = |event: Event| tell(publication, &event);
    let composed = tokio::sync::Notify::new();
    output::say("Sending what is due. Ctrl-C stops.");
    let working = async {
        let telling = run::keep_telling(publication, stop.clone(), &told);
        tokio::join!(run::keep_dispatching(publication, &composed, stop, &told), telling);
        Ok(Ended::Well)
    };
    Box::pin(until_stopped(working, &word)).await
}

/// Works until the first Ctrl-C or SIGTERM and the end of what is under way, or until the second.
async fn until_stopped(
    working: impl Future<Output = anyhow::Result<Ended>>,
    word: &tokio::sync::watch::Sender<bool>,
) -> anyhow::Result<Ended> {
    let mut interrupts = Interrupts::listen()?;
    let listening = async {
        interrupts.next().await?;
        output::complain("stopping: what is under way is finished, the rest waits; once more ends it at once");
        let _ = word.send(true);
        // A relay may keep a message under way for minutes.
        interrupts.next().await?;
        output::complain(super::BROKEN_OFF);
        Ok(Ended::WithFaults)
    };
    tokio::select! {
        ended = working => ended,
        ended = listening => ended,
    }
}

async fn greet(publication: &Publication, articles: usize, configured: SocketAddr) -> anyhow::Result<()> {
    let config = &publication.config;
    let urls = config.live_urls();
    let called = called_as();
    output::say(&format!(
        "{} is on the air, with {}.\n",
        config.publication.title,
        count(articles, "article", "articles")
    ));
    let mut rows = vec![vec!["  Home".to_owned(), urls.home()]];
    rows.extend(
        publication
            .feeds
            .iter()
            .map(|feed| vec!["  Feed".to_owned(), format!("{}  ({})", urls.feed(&feed.name), feed.title)]),
    );
    if publication.feeds.iter().any(|feed| feed.newsletter.is_some()) {
        rows.push(vec!["  Stay in touch".to_owned(), urls.at("/subscribe")]);
    }
    output::table(&rows);
    output::say(&format!("  Feeds and pages are written to {}/ as well.", config.name_of(&config.public)));
    let directory =
        if config.root.as_os_str() == "." { String::new() } else { format!(" -C {}", config.root.display()) };
    if config.relays.is_empty() {
        output::say(&format!(
            "\nNo relay is configured: mail is written to {}/, and nothing leaves this machine.",
            config.name_of(&config.mail.outbox)
        ));
        if let Some(feed) = fullest_newsletter(publication).await? {
            // Otherwise the links in that mail would lead to where nothing listens.
            let elsewhere = if config.listen == configured {
                String::new()
            } else {
                format!("TIDINGS_SERVE__LISTEN={} ", config.listen)
            };
            let typed = format!("  {elsewhere}{called}{directory}");
            output::say("To send a first digest there, type in another terminal:\n");
            output::say(&format!("{typed} subscribers add you@example.org --feed {}", feed.name));
            output::say(&format!("{typed} digest send {} --yes", feed.name));
        }
    }
    if config.is_example() && config.serve_url.is_none() {
        output::say(&format!(
            "\n{} is an example's address, so links lead here until publication.url is yours.",
            config.publication.url.host_str().unwrap_or_default()
        ));
    }
    output::say("\nArticles are followed as they change; config.toml, feeds/ and templates/ are read at the start.");
    output::say("Ctrl-C stops.");
    Ok(())
}

/// The newsletter with the most to send: the best for a first try.
async fn fullest_newsletter(publication: &Publication) -> anyhow::Result<Option<&Feed>> {
    let mut fullest = None;
    for feed in publication.feeds.iter().filter(|feed| feed.newsletter.is_some()) {
        let entries = publication.store.newest_of(&feed.name, feed.limit).await?.len();
        if fullest.is_none_or(|(most, _)| entries > most) {
            fullest = Some((entries, feed));
        }
    }
    Ok(fullest.map(|(_, feed)| feed))
}

fn tell(publication: &Publication, event: &Event) {
    match event {
        Event::Synced(synced, _) => {
            output::problems(&synced.problems);
            output::say(&format!(
                "articles: {} new, {} changed, {} withdrawn, {} released",
                synced.new, synced.changed, synced.withdrawn, synced.released
            ));
        }
        Event::Polled(report) => {
            output::problems(&report.problems);
            if report.is_change() {
                output::say(&super::source::describe(report));
            }
        }
        Event::Composed(digest) => {
            output::say(&format!("digest {} {}: {}", digest.key.newsletter, digest.id, digest.state));
        }
        Event::Sending(progress) => output::complain(&super::progress::sending(progress)),
        Event::Dispatched(report) => {
            if report.sent + report.deferred + report.refused + report.failed + report.skipped > 0 {
                output::say(&format!(
                    "mail: {} sent, {} put off, {} refused, {} given up",
                    grouped(report.sent),
                    grouped(report.deferred),
                    grouped(report.refused),
                    grouped(report.failed)
                ));
            }
            for why in report.halted.iter().chain(&report.relay_away) {
                output::complain(&format!("mail: {why}"));
            }
        }
        Event::Confirmed(number) => output::say(&format!(
            "{}{}",
            count(*number, "confirmation sent", "confirmations sent"),
            if publication.config.relays.is_empty() {
                format!(" (to {}/)", publication.config.name_of(&publication.config.mail.outbox))
            } else {
                String::new()
            }
        )),
        Event::Welcomed(number) => output::say(&count(*number, "welcome sent", "welcomes sent")),
        Event::Told(number) => {
            output::say(&count(*number, "notice to the editors sent", "notices to the editors sent"));
        }
        Event::Forgotten(number) => {
            output::say(&format!(
                "{} forgotten, as [form] and [retention] say",
                output::count(*number, "subscriber", "subscribers")
            ));
        }
        Event::HubTold(told, failed) => {
            let failed =
                if *failed > 0 { format!(", {} later or not at all", grouped(*failed)) } else { String::new() };
            output::say(&format!("hub: {} told{failed}", count(*told, "listener", "listeners")));
        }
        Event::HubPinged(number) => {
            output::say(&format!("hub: told of {}", count(*number, "feed document", "feed documents")));
        }
        Event::Reported(tally) => output::say(&super::report::describe(tally)),
        Event::Failed(TaskError::Problems(problems)) => output::problems(problems),
        Event::Failed(error) => output::complain(&format!("error: {}", super::chain(anyhow::Chain::new(error)))),
    }
}
