//! `tidings digest preview`, and the message of a test.

use std::io::Write as _;

use super::digest::{Form, What};
use super::{Ended, Usage, called_as, output};
use crate::domain::address::{EmailAddress, Mailbox};
use crate::domain::delivery::Outcome;
use crate::task::Publication;
use crate::task::compose;
use crate::task::dispatch;
use crate::task::render;

pub(super) async fn preview_for(
    publication: &Publication,
    name: &str,
    form: Form,
    address: &str,
) -> anyhow::Result<Ended> {
    let (feed, newsletter) = compose::newsletter(publication, name)?;
    let address = EmailAddress::parse(address)
        .map_err(|fault| Usage(format!("{address:?} is not an address: {fault}\n  hint: {}", fault.hint())))?;
    let store = &publication.store;
    let hint = format!("hint: {} why {address}", called_as());
    let Some(reader) = store.subscriber_by_address(&address.key()).await? else {
        return Err(Usage(format!("nobody is known by this address\n  {hint}")).into());
    };
    let subscriptions = store.subscriptions_of(reader.id).await?;
    let Some(subscription) = subscriptions.iter().find(|subscription| subscription.feed == feed.name) else {
        return Err(Usage(format!("this reader has no subscription to {}\n  {hint}", feed.name)).into());
    };
    let newest = store.newest_release().await?;
    let articles = store.released_between(&feed.name, subscription.cursor, newest).await?;
    if articles.is_empty() {
        output::complain(&format!("nothing waits for this reader\n  {hint}"));
        return Ok(Ended::WithFaults);
    }
    let to = Mailbox::new(reader.name.as_deref(), reader.address);
    let language = reader.language.as_deref();
    show_sample(&render::sample_of(publication, feed, newsletter, &articles, None, &to, language)?, form)
}

fn show_sample(sample: &render::Sample, form: Form) -> anyhow::Result<Ended> {
    output::problems(&sample.notes);
    match form {
        Form::Html => output::say(&sample.bodies.html),
        Form::Text => output::say(&sample.bodies.text),
        Form::Eml => std::io::stdout().lock().write_all(&sample.message.bytes)?,
    }
    Ok(Ended::Well)
}

pub(super) async fn preview(
    publication: &Publication,
    newsletter: &str,
    form: Form,
    latest: Option<usize>,
    name: Option<&str>,
    language: Option<&str>,
) -> anyhow::Result<Ended> {
    if let Some(tag) = language.filter(|tag| publication.languages.find(tag).is_none()) {
        let known: Vec<&str> = publication.languages.iter().collect();
        return Err(
            Usage(format!("no reader can have the language {tag}\n  hint: there are {}", known.join(", "))).into()
        );
    }
    let address = publication.config.mail.from.address.clone();
    let sample = render::sample(publication, newsletter, latest, &Mailbox::new(name, address), language).await?;
    show_sample(&sample, form)
}

pub(super) async fn test_message(
    publication: &Publication,
    name: &str,
    what: &What,
    address: &str,
) -> anyhow::Result<Ended> {
    let address = EmailAddress::parse(address)
        .map_err(|fault| Usage(format!("{address:?} is not an address: {fault}\n  hint: {}", fault.hint())))?;
    let to = Mailbox::new(None, address.clone());
    let (feed, newsletter) = compose::newsletter(publication, name)?;
    let articles = what.plan(publication, feed, newsletter).await?.articles;
    let sample = if articles.is_empty() {
        render::sample(publication, name, what.latest, &to, None).await?
    } else {
        render::sample_of(publication, feed, newsletter, &articles, what.note.as_deref(), &to, None)?
    };
    output::problems(&sample.notes);
    let message = sample.message;
    let mut mailer = dispatch::single_mailer(publication);
    let outcome = mailer.send(&message.from, &address, &message.file_stem, &message.bytes).await;
    mailer.close().await;
    match &outcome {
        Outcome::Accepted { reply } => {
            output::say(&format!("One message for {address}: {reply}"));
            Ok(Ended::Well)
        }
        other => {
            output::complain(&format!("{address}: {}", dispatch::describe(other)));
            Ok(Ended::WithFaults)
        }
    }
}
