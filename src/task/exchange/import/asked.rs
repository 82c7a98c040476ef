//! The newsletters that a line asks for, as in `news:daily;offers`.

use crate::domain::feed::FeedName;
use crate::domain::newsletter::Cadence;
use crate::task::Publication;

/// A newsletter that someone asked for.
pub(super) struct Asked {
    pub(super) feed: FeedName,
    pub(super) cadence: Cadence,
    /// Where the cadence is not on offer and the newsletter's default stands for it: so much, and what is.
    pub(super) instead: Option<(String, String)>,
}

/// What a word such as `news:daily` names.
pub(super) fn asked(publication: &Publication, word: &str) -> Result<Asked, (String, String)> {
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
