//! What podcast apps read in an RSS document: Apple's tags (podcasters.apple.com, "A Podcaster's Guide to RSS") and the
//! Podcasting 2.0 namespace (podcastindex.org/namespace/1.0).
//!
//! The tags stand in a feed that says of itself that it is a podcast, and in no other; an enclosure needs none of them.

use std::collections::BTreeMap;

use ::rss::extension::itunes::{ITunesCategory, ITunesChannelExtension, ITunesItemExtension, ITunesOwner};
use ::rss::extension::{Extension, ExtensionMap};

use super::{authors, line, some_line};
use crate::domain::entry::{Entry, FeedDocument};
use crate::domain::media::{Episode, Person, Transcript};
use crate::domain::podcast::{Category, Podcast};

/// Namespace of Podcasting 2.0.
pub(super) const NAMESPACE: &str = "https://podcastindex.org/namespace/1.0";

/// An element with attributes, those without a value left out; nothing is in it but its text.
pub(super) fn element(name: &str, attributes: &[(&str, Option<&str>)], text: Option<&str>) -> Extension {
    let attributes = attributes.iter().filter_map(|(name, value)| Some(((*name).to_owned(), some_line((*value)?)?)));
    Extension {
        name: name.to_owned(),
        value: text.map(|text| line(text).into_owned()),
        attrs: attributes.map(|(name, value)| (name, value.into_owned())).collect(),
        ..Extension::default()
    }
}

/// Elements of one namespace by their local names, those without any left out.
pub(super) fn elements(
    prefix: &str,
    by_name: impl IntoIterator<Item = (&'static str, Vec<Extension>)>,
    into: &mut ExtensionMap,
) {
    let by_name: BTreeMap<String, Vec<Extension>> = by_name
        .into_iter()
        .filter(|(_, elements)| !elements.is_empty())
        .map(|(name, elements)| (name.to_owned(), elements))
        .collect();
    if !by_name.is_empty() {
        into.entry(prefix.to_owned()).or_default().extend(by_name);
    }
}

/// The channel's tags of Apple.
pub(super) fn itunes(feed: &FeedDocument, podcast: &Podcast) -> ITunesChannelExtension {
    let owner = podcast.owner.as_ref().map(|owner| ITunesOwner {
        name: Some(line(owner.name.as_deref().unwrap_or(&feed.publication)).into_owned()),
        email: Some(line(&owner.address).into_owned()),
    });
    ITunesChannelExtension {
        author: some_line(podcast.author.as_deref().unwrap_or(&feed.publication)).map(Into::into),
        block: podcast.block.then(yes),
        categories: podcast.categories.iter().map(category).collect(),
        image: feed.image.as_ref().and_then(|image| some_line(&image.url)).map(Into::into),
        explicit: Some(podcast.explicit.to_string()),
        complete: podcast.complete.then(yes),
        owner,
        r#type: Some(podcast.order.as_str().to_owned()),
        ..ITunesChannelExtension::default()
    }
}

fn category(category: &Category) -> ITunesCategory {
    let part = category.part.map(|part| Box::new(ITunesCategory { text: part.to_owned(), subcategory: None }));
    ITunesCategory { text: category.main.to_owned(), subcategory: part }
}

/// The channel's tags of Podcasting 2.0.
pub(super) fn channel(podcast: &Podcast, into: &mut ExtensionMap) {
    let text = |name: &str, value: Option<&str>| -> Vec<Extension> {
        value.and_then(some_line).map(|value| element(name, &[], Some(&value))).into_iter().collect()
    };
    let locked = podcast.locked.map(|locked| {
        let owner = podcast.owner.as_ref().map(|owner| owner.address.as_str());
        element("podcast:locked", &[("owner", owner)], Some(if locked { "yes" } else { "no" }))
    });
    let funding = podcast.funding.iter();
    let funding = funding.map(|way| element("podcast:funding", &[("url", Some(&way.url))], Some(&way.text)));
    elements(
        "podcast",
        [
            ("guid", text("podcast:guid", podcast.guid.as_deref())),
            ("medium", text("podcast:medium", podcast.medium.as_deref())),
            ("locked", locked.into_iter().collect()),
            ("funding", funding.collect()),
            ("person", persons(&podcast.persons)),
        ],
        into,
    );
}

/// An item's tags of Apple, where there is something to hear.
pub(super) fn itunes_item(entry: &Entry) -> Option<ITunesItemExtension> {
    let enclosure = entry.enclosure.as_ref()?;
    let episode = &enclosure.episode;
    let authors: Vec<_> = authors(entry).collect();
    Some(ITunesItemExtension {
        author: Some(authors.join(", ")).filter(|authors| !authors.is_empty()),
        block: episode.block.then(yes),
        image: episode.image.as_deref().and_then(some_line).map(Into::into),
        duration: enclosure.duration_s.map(|seconds| seconds.to_string()),
        explicit: episode.explicit.map(|explicit| explicit.to_string()),
        episode: episode.number.map(|number| number.to_string()),
        season: episode.season.map(|season| season.to_string()),
        episode_type: episode.kind.map(|kind| kind.as_str().to_owned()),
        ..ITunesItemExtension::default()
    })
}

/// An item's other tags: its title for Apple, and those of Podcasting 2.0.
pub(super) fn item(episode: &Episode, into: &mut ExtensionMap) {
    let title = episode.title.as_deref().and_then(some_line).map(|title| element("itunes:title", &[], Some(&title)));
    elements("itunes", [("title", title.into_iter().collect())], into);
    let number = |name: &str, number: Option<u32>| -> Vec<Extension> {
        number.map(|number| element(name, &[], Some(&number.to_string()))).into_iter().collect()
    };
    let kind = Some("application/json+chapters");
    let chapters = episode.chapters.as_deref().and_then(some_line);
    let chapters = chapters.map(|url| element("podcast:chapters", &[("url", Some(&url)), ("type", kind)], None));
    elements(
        "podcast",
        [
            ("season", number("podcast:season", episode.season)),
            ("episode", number("podcast:episode", episode.number)),
            ("person", persons(&episode.persons)),
            ("transcript", episode.transcripts.iter().map(transcript).collect()),
            ("chapters", chapters.into_iter().collect()),
        ],
        into,
    );
}

fn persons(persons: &[Person]) -> Vec<Extension> {
    let named = persons.iter().filter_map(|person| Some((person, some_line(&person.name)?)));
    named
        .map(|(person, name)| {
            let attributes = [
                ("role", person.role.as_deref()),
                ("group", person.group.as_deref()),
                ("img", person.image.as_deref()),
                ("href", person.url.as_deref()),
            ];
            element("podcast:person", &attributes, Some(&name))
        })
        .collect()
}

fn transcript(transcript: &Transcript) -> Extension {
    let attributes = [
        ("url", Some(transcript.url.as_str())),
        ("type", Some(transcript.media_type.as_str())),
        ("language", transcript.language.as_deref()),
        ("rel", transcript.captions.then_some("captions")),
    ];
    element("podcast:transcript", &attributes, None)
}

/// Apple reads this word in these tags and takes every other for "no".
fn yes() -> String {
    "Yes".to_owned()
}
