//! Pictures and what plays, as Media RSS 1.5.1 tells of them: in RSS, and in Atom, which has no word for a picture.
//!
//! Of an article with something to play that is the media, and its picture the thumbnail: of several `media:content` some
//! readers take the first, and then forget the enclosure.

use super::{line, some_line};
use crate::domain::article::Image;
use crate::domain::entry::Entry;
use crate::domain::media::{Enclosure, Purpose, media_type};

/// An element of the namespace, for either crate to write.
pub(super) struct Element {
    /// Its local name.
    pub(super) name: &'static str,
    pub(super) attributes: Vec<(&'static str, String)>,
    pub(super) text: Option<String>,
    pub(super) children: Vec<Element>,
}

impl Element {
    fn new(name: &'static str, attributes: Vec<(&'static str, Option<String>)>) -> Self {
        let attributes = attributes.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        Self { name, attributes, text: None, children: vec![] }
    }

    /// Its name with its prefix.
    pub(super) fn qualified(&self) -> String {
        format!("media:{}", self.name)
    }
}

/// Whether anything is told of an entry.
pub(super) fn is_told(entry: &Entry) -> bool {
    entry.image.is_some() || playable(entry).is_some()
}

/// What is told of an entry.
pub(super) fn elements(entry: &Entry) -> Vec<Element> {
    let thumbnail = entry.image.as_ref().map(|image| {
        let (width, height) = size(image);
        Element::new(
            "thumbnail",
            vec![("url", Some(line(&image.url).into_owned())), ("width", width), ("height", height)],
        )
    });
    let content = playable(entry).map(played).or_else(|| entry.image.as_ref().map(picture));
    content.into_iter().chain(thumbnail).collect()
}

fn playable(entry: &Entry) -> Option<&Enclosure> {
    entry.enclosure.as_ref().filter(|enclosure| enclosure.purpose() != Purpose::File)
}

fn played(enclosure: &Enclosure) -> Element {
    let medium = if enclosure.purpose() == Purpose::Audio { "audio" } else { "video" };
    Element::new(
        "content",
        vec![
            ("url", Some(line(&enclosure.url).into_owned())),
            ("fileSize", enclosure.length.map(|bytes| bytes.to_string())),
            ("type", Some(line(enclosure.kind()).into_owned())),
            ("medium", Some(medium.to_owned())),
            ("duration", enclosure.duration_s.map(|seconds| seconds.to_string())),
        ],
    )
}

/// The picture, with what it shows.
fn picture(image: &Image) -> Element {
    let (width, height) = size(image);
    let attributes = vec![
        ("url", Some(line(&image.url).into_owned())),
        ("type", media_type(&image.url).map(str::to_owned)),
        ("medium", Some("image".to_owned())),
        ("width", width),
        ("height", height),
    ];
    let description = some_line(&image.alt).map(|alt| Element {
        text: Some(alt.into_owned()),
        ..Element::new("description", vec![("type", Some("plain".to_owned()))])
    });
    Element { children: description.into_iter().collect(), ..Element::new("content", attributes) }
}

fn size(image: &Image) -> (Option<String>, Option<String>) {
    image.size.map(|(width, height)| (width.to_string(), height.to_string())).unzip()
}
