//! A newsletter's message for one person, outside of any digest.

use super::{Addressee, Prepared, Renderer};
use crate::domain::address::Mailbox;
use crate::domain::article::Released;
use crate::domain::feed::Feed;
use crate::domain::newsletter::Newsletter;
use crate::domain::subscription::SubscriberId;
use crate::problem::Problem;
use crate::task::compose::{newsletter, plan_now};
use crate::task::{Publication, TaskError};
use crate::template::Bodies;

/// A newsletter's message made for one person outside of any digest: for previews and tests.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The message.
    pub message: Prepared,
    /// Its bodies.
    pub bodies: Bodies,
    /// What an editor should know of it, though nothing is wrong.
    pub notes: Vec<Problem>,
}

/// Makes a sample for `to` in their language, with what is new to anyone, or else the latest articles. Its links are
/// nobody's.
///
/// # Errors
/// When the store fails, the newsletter has a fault, or the feed has no article yet.
pub async fn sample(
    publication: &Publication,
    name: &str,
    latest: Option<usize>,
    to: &Mailbox,
    language: Option<&str>,
) -> Result<Sample, TaskError> {
    /// What is shown where nothing is new.
    const LATEST: usize = 10;
    let (feed, newsletter) = newsletter(publication, name)?;
    let mut articles = plan_now(publication, feed, newsletter, None, None, latest).await?.articles;
    if articles.is_empty() {
        articles = publication.store.newest_of(&feed.name, latest.unwrap_or(LATEST)).await?;
    }
    if articles.is_empty() {
        let problem = Problem::new(format!("feeds/{}.toml", feed.name), "this feed has no article yet");
        return Err(problem.hint("write one that it selects, then sync").into());
    }
    sample_of(publication, feed, newsletter, &articles, None, to, language)
}

/// Makes a sample for `to` in their language with these articles and an editor's words. Its links are nobody's.
///
/// # Errors
/// When the newsletter has a fault.
pub fn sample_of(
    publication: &Publication,
    feed: &Feed,
    newsletter: &Newsletter,
    articles: &[Released],
    note: Option<&str>,
    to: &Mailbox,
    language: Option<&str>,
) -> Result<Sample, TaskError> {
    let renderer = Renderer::new(publication).speaking(language);
    let compiled = renderer.compile_noted(feed, newsletter, None, articles, note)?;
    let own = renderer.own(SubscriberId(uuid::Uuid::nil()), to.name.as_deref(), &feed.name);
    let bodies = compiled.for_reader(&publication.templates, &own)?;
    let values = compiled.values(&publication.templates, &own)?;
    let file_stem = format!("test-{}", uuid::Uuid::now_v7());
    let whole = (!compiled.is_patched()).then_some(&bodies);
    let letter = renderer.letter(feed, newsletter, &compiled, whole, &file_stem)?;
    let addressee = Addressee { to, own: &own, values: &values };
    let message = renderer.message(newsletter, &letter, &addressee, file_stem, None, vec![])?;
    Ok(Sample { message, bodies, notes: compiled.notes })
}
