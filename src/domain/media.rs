//! What an article brings along to be listened to or watched: one file, and what podcast apps show of it.

use serde::{Deserialize, Serialize};

/// What a feed names besides an entry's text: RSS calls it an enclosure, JSON Feed an attachment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enclosure {
    /// Absolute URL.
    pub url: String,
    /// Size in bytes, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Media type, where it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// How long it plays, in seconds, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<u32>,
    /// What podcast apps show of it.
    #[serde(default, skip_serializing_if = "Episode::is_empty")]
    pub episode: Episode,
}

/// What is done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It is listened to.
    Audio,
    /// It is watched.
    Video,
    /// It is downloaded.
    File,
}

impl Enclosure {
    /// Media type: the one that was given, or that of the name's ending.
    pub fn kind(&self) -> &str {
        self.media_type.as_deref().or_else(|| media_type(&self.url)).unwrap_or("application/octet-stream")
    }

    /// What is done with it.
    pub fn purpose(&self) -> Purpose {
        match self.kind().split('/').next() {
            Some("audio") => Purpose::Audio,
            Some("video") => Purpose::Video,
            _ => Purpose::File,
        }
    }
}

/// What podcast apps show of an episode, beside what its article says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Episode {
    /// Title without the numbers that the article's may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Season, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub season: Option<u32>,
    /// Number within its season, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// Whether it is whole, a trailer or a bonus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<EpisodeKind>,
    /// Whether it has words that are not for children; the podcast says so where the episode does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explicit: Option<bool>,
    /// Not shown in directories.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub block: bool,
    /// URL of a square picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Who is heard in it, and who made it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub persons: Vec<Person>,
    /// What is said in it, in writing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub transcripts: Vec<Transcript>,
    /// URL of its chapters (JSON Chapters 1.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chapters: Option<String>,
}

impl Episode {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What kind of an episode it is (Apple's `itunes:episodeType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EpisodeKind {
    /// All of it.
    Full,
    /// A taste of what comes.
    Trailer,
    /// Something beside the rest.
    Bonus,
}

impl EpisodeKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Full, Self::Trailer, Self::Bonus];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Trailer => "trailer",
            Self::Bonus => "bonus",
        }
    }
}

/// Somebody in a podcast or an episode (`podcast:person`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Name.
    pub name: String,
    /// What they do in it, such as `guest`; a host where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The part of the crew that they belong to, such as `writing`; the cast where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// URL of a picture of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// URL of a page about them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// What is said in an episode, in writing (`podcast:transcript`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcript {
    /// URL.
    pub url: String,
    /// Media type.
    pub media_type: String,
    /// Language tag where it is not the feed's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Timed to be shown while it plays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub captions: bool,
}

/// Media types by the endings of names: those that podcast apps and browsers play, and what goes with an episode.
const MEDIA_TYPES: &[(&str, &str)] = &[
    ("mp3", "audio/mpeg"),
    ("m4a", "audio/x-m4a"),
    ("m4b", "audio/mp4"),
    ("aac", "audio/aac"),
    ("ogg", "audio/ogg"),
    ("oga", "audio/ogg"),
    ("opus", "audio/ogg"),
    ("flac", "audio/flac"),
    ("wav", "audio/wav"),
    ("weba", "audio/webm"),
    ("mp4", "video/mp4"),
    ("m4v", "video/x-m4v"),
    ("mov", "video/quicktime"),
    ("webm", "video/webm"),
    ("ogv", "video/ogg"),
    ("pdf", "application/pdf"),
    ("epub", "application/epub+zip"),
    ("zip", "application/zip"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("png", "image/png"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("avif", "image/avif"),
    ("svg", "image/svg+xml"),
    ("vtt", "text/vtt"),
    ("srt", "application/x-subrip"),
    ("json", "application/json"),
    ("html", "text/html"),
    ("txt", "text/plain"),
];

/// The media type of what a URL or path names, by the ending of its name.
pub fn media_type(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?;
    let (_, ending) = path.rsplit('/').next()?.rsplit_once('.')?;
    MEDIA_TYPES.iter().find(|(known, _)| ending.eq_ignore_ascii_case(known)).map(|(_, kind)| *kind)
}

/// Whether a path below `static/` may be given out: no part of it is hidden, leads up, or means something to a file system.
pub fn is_plain_path(path: &str) -> bool {
    path.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0', ':']))
}

/// Whether a text is a media type without parameters (RFC 6838 §4.2).
pub fn is_media_type(text: &str) -> bool {
    let is_name = |name: &str| {
        (1..=127).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    text.split_once('/').is_some_and(|(kind, subtype)| is_name(kind) && is_name(subtype))
}

/// A length of play as people write it: `754`, `12:34` or `1:02:03`. In seconds.
pub fn duration_s(text: &str) -> Option<u32> {
    let parts: Vec<&str> = text.trim().split(':').collect();
    let (first, rest) = parts.split_first()?;
    let number = |part: &str| part.parse::<u32>().ok().filter(|_| part.bytes().all(|b| b.is_ascii_digit()));
    if rest.len() > 2 {
        return None;
    }
    rest.iter().try_fold(number(first)?, |so_far, part| {
        let below_60 = number(part).filter(|number| part.len() == 2 && *number < 60)?;
        so_far.checked_mul(60)?.checked_add(below_60)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_play_is_seconds_or_parts_of_a_clock() {
        for (written, meant) in [
            ("754", Some(754)),
            ("12:34", Some(754)),
            ("1:02:03", Some(3723)),
            ("00:00:05", Some(5)),
            ("90:00", Some(5400)),
            ("1:2", None),
            ("1:60", None),
            ("1:02:03:04", None),
            ("-5", None),
            ("+5", None),
            ("", None),
            (":30", None),
            ("99999999999", None),
            ("4294967295:00", None),
        ] {
            assert_eq!(duration_s(written), meant, "{written}");
        }
    }

    #[test]
    fn a_media_type_is_that_of_the_ending_unless_it_is_given() {
        assert_eq!(media_type("https://a.example/a.b/One.MP3?x=.txt#y.z"), Some("audio/mpeg"));
        assert_eq!(media_type("https://a.example/a.mp3/one"), None);
        let mut enclosure = Enclosure { url: "https://a.example/x".into(), ..Enclosure::default() };
        assert_eq!((enclosure.kind(), enclosure.purpose()), ("application/octet-stream", Purpose::File));
        enclosure.media_type = Some("video/mp4".into());
        assert_eq!(enclosure.purpose(), Purpose::Video);
        assert!(is_media_type("application/epub+zip"));
        for bad in ["audio", "audio/", "/x", "audio/mp3; x=y", "audio/m p3", "a\"/b"] {
            assert!(!is_media_type(bad), "{bad}");
        }
    }
}
