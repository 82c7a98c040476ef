//! A feed that podcast apps take: what Apple's tags and the Podcasting 2.0 namespace say of the whole.

use uuid::{Uuid, uuid};

use super::media::Person;

/// A podcast, as its feed's definition has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Podcast {
    /// Its identity for ever, wherever its feed moves; where it is given.
    pub guid: Option<String>,
    /// Whom apps name under its title.
    pub author: Option<String>,
    /// Whom directories ask about it.
    pub owner: Option<Owner>,
    /// Where directories list it; at least one.
    pub categories: Vec<Category>,
    /// Whether it has words that are not for children.
    pub explicit: bool,
    /// In which order it is heard.
    pub order: Order,
    /// Not shown in directories.
    pub block: bool,
    /// No more episodes come.
    pub complete: bool,
    /// Whether other platforms may take the feed over; nothing is said where it is `None`.
    pub locked: Option<bool>,
    /// What it is, such as `podcast` or `music`.
    pub medium: Option<String>,
    /// Ways to support it.
    pub funding: Vec<Funding>,
    /// Who is heard in every episode.
    pub persons: Vec<Person>,
}

/// Whom directories ask about a podcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Name.
    pub name: Option<String>,
    /// Address.
    pub address: String,
}

/// A way to support a podcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Funding {
    /// Where.
    pub url: String,
    /// What apps write on the button.
    pub text: String,
}

/// In which order a podcast is heard (Apple's `itunes:type`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest first.
    #[default]
    Episodic,
    /// From the beginning.
    Serial,
}

impl Order {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Episodic, Self::Serial];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Episodic => "episodic",
            Self::Serial => "serial",
        }
    }
}

/// A category of Apple's list, which other directories go by, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Category {
    /// The category.
    pub main: &'static str,
    /// Its part, such as `Documentary` of `Society & Culture`.
    pub part: Option<&'static str>,
}

impl Category {
    /// A category by its name, `News`, or with its part, `News > Politics`.
    pub fn named(text: &str) -> Option<Self> {
        let (main, part) = text.split_once('>').map_or((text, None), |(main, part)| (main, Some(part.trim())));
        let same = |known: &&str, text: &str| known.eq_ignore_ascii_case(text.trim());
        let (main, parts) = CATEGORIES.iter().find(|(known, _)| same(known, main))?;
        let part = part.map(|part| parts.iter().find(|known| same(known, part)).copied());
        match part {
            Some(None) => None,
            part => Some(Self { main, part: part.flatten() }),
        }
    }

    /// The names of all of them, as they are written.
    pub fn names() -> impl Iterator<Item = String> {
        CATEGORIES.iter().flat_map(|(main, parts)| {
            let whole = std::iter::once((*main).to_owned());
            whole.chain(parts.iter().map(move |part| format!("{main} > {part}")))
        })
    }
}

/// Namespace of the identities that follow from feeds' addresses (podcastindex.org, `podcast:guid`).
const GUIDS: Uuid = uuid!("ead4c236-bf58-58c6-a2c6-a6b28d128cb6");

/// The identity of the podcast whose feed stands at `url`: a UUID version 5 of it without its scheme and the slashes at
/// its end.
pub fn guid_of(url: &str) -> Uuid {
    let bare = url.split_once("://").map_or(url, |(_, bare)| bare).trim_end_matches('/');
    Uuid::new_v5(&GUIDS, bare.as_bytes())
}

/// What a podcast can be (podcastindex.org, `podcast:medium`).
pub const MEDIA: [&str; 8] = ["podcast", "music", "video", "film", "audiobook", "newsletter", "blog", "publisher"];

/// Apple's categories and their parts (podcasters.apple.com, "Apple Podcasts categories").
const CATEGORIES: &[(&str, &[&str])] = &[
    ("Arts", &["Books", "Design", "Fashion & Beauty", "Food", "Performing Arts", "Visual Arts"]),
    ("Business", &["Careers", "Entrepreneurship", "Investing", "Management", "Marketing", "Non-Profit"]),
    ("Comedy", &["Comedy Interviews", "Improv", "Stand-Up"]),
    ("Education", &["Courses", "How To", "Language Learning", "Self-Improvement"]),
    ("Fiction", &["Comedy Fiction", "Drama", "Science Fiction"]),
    ("Government", &[]),
    ("History", &[]),
    ("Health & Fitness", &["Alternative Health", "Fitness", "Medicine", "Mental Health", "Nutrition", "Sexuality"]),
    ("Kids & Family", &["Education for Kids", "Parenting", "Pets & Animals", "Stories for Kids"]),
    (
        "Leisure",
        &["Animation & Manga", "Automotive", "Aviation", "Crafts", "Games", "Hobbies", "Home & Garden", "Video Games"],
    ),
    ("Music", &["Music Commentary", "Music History", "Music Interviews"]),
    (
        "News",
        &[
            "Business News",
            "Daily News",
            "Entertainment News",
            "News Commentary",
            "Politics",
            "Sports News",
            "Tech News",
        ],
    ),
    (
        "Religion & Spirituality",
        &["Buddhism", "Christianity", "Hinduism", "Islam", "Judaism", "Religion", "Spirituality"],
    ),
    (
        "Science",
        &[
            "Astronomy",
            "Chemistry",
            "Earth Sciences",
            "Life Sciences",
            "Mathematics",
            "Natural Sciences",
            "Nature",
            "Physics",
            "Social Sciences",
        ],
    ),
    ("Society & Culture", &["Documentary", "Personal Journals", "Philosophy", "Places & Travel", "Relationships"]),
    (
        "Sports",
        &[
            "Baseball",
            "Basketball",
            "Cricket",
            "Fantasy Sports",
            "Football",
            "Golf",
            "Hockey",
            "Rugby",
            "Running",
            "Soccer",
            "Swimming",
            "Tennis",
            "Volleyball",
            "Wilderness",
            "Wrestling",
        ],
    ),
    ("Technology", &[]),
    ("True Crime", &[]),
    ("TV & Film", &["After Shows", "Film History", "Film Interviews", "Film Reviews", "TV Reviews"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_follows_from_the_address_without_scheme_and_closing_slash() {
        // As Python's uuid.uuid5 has it.
        let guid = guid_of("https://lantern.example/feeds/waves/rss.xml");
        assert_eq!(guid.to_string(), "4f24d246-1088-55b4-82d5-1ca2548a1577");
        assert_eq!(guid_of("http://lantern.example/waves"), guid_of("https://lantern.example/waves//"));
    }

    #[test]
    fn a_category_is_one_of_the_list_with_or_without_its_part() {
        let named = |text| Category::named(text).map(|category| (category.main, category.part));
        assert_eq!(named("news"), Some(("News", None)));
        assert_eq!(named("Society & Culture > documentary"), Some(("Society & Culture", Some("Documentary"))));
        assert_eq!(named("News > Golf"), None);
        assert_eq!(named("Gossip"), None);
        assert!(Category::names().all(|name| Category::named(&name).is_some()));
    }
}
