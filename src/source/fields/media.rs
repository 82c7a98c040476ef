//! `enclosure` and `episode`: what an article brings along to be heard or watched, and what podcast apps show of it.
//!
//! A path is one below `static/`, with or without its first slash. A fault costs the one key; without an address that can
//! be used there is no enclosure.

use url::Url;

use super::super::front_matter::{Node, Table, Value};
use super::super::link::bare;
use super::{Reader, take};
use crate::domain::crew::{GROUPS, ROLES, known};
use crate::domain::language::is_tag;
use crate::domain::media::{
    Enclosure, Episode, EpisodeKind, Person, Transcript, duration_s, is_media_type, media_type,
};
use crate::domain::text::shorten;
use crate::problem::did_you_mean;

/// Keys of `enclosure`.
const ENCLOSURE: &[&str] = &["url", "length", "type", "duration"];
/// Keys of `episode`.
const EPISODE: &[&str] = &[
    "title",
    "season",
    "number",
    "type",
    "explicit",
    "block",
    "image",
    "persons",
    "transcript",
    "chapters",
    "duration",
];
/// Keys of one of `persons`.
const PERSON: &[&str] = &["name", "role", "group", "image", "url"];
/// Keys of a transcript.
const TRANSCRIPT: &[&str] = &["url", "type", "language", "captions"];

/// Longest name of a person that apps take, in characters (podcastindex.org, `podcast:person`).
const NAME_MAX: usize = 128;
/// People and transcripts of one episode that are kept.
const MANY: usize = 100;

const FILE_HINT: &str = "write https://… or the path of a file in static/, such as /audio/one.mp3";

impl Reader<'_, '_> {
    pub(super) fn enclosure(&mut self) -> Option<Enclosure> {
        let written = take(&mut self.table, "enclosure");
        let is_named = written.is_some();
        let found = written.and_then(|node| self.file(node));
        let is_found = found.is_some();
        let mut enclosure = found.unwrap_or_default();
        if let Some(Node { line, value }) = take(&mut self.table, "episode") {
            if let Value::Table(table) = value {
                let (episode, duration_s) = self.episode(table);
                enclosure.episode = episode;
                enclosure.duration_s = enclosure.duration_s.or(duration_s);
            } else {
                self.wrong("episode", line, "a table", &value).hint("write [episode], and below it number = 1");
            }
            if !is_named {
                let what = "there is an episode, and nothing to hear: no enclosure";
                self.complaints.add(line, what).hint("write enclosure = \"/audio/one.mp3\" above it");
            }
        }
        is_found.then_some(enclosure)
    }

    /// `enclosure = "/audio/one.mp3"`, or a table with the address as `url`.
    fn file(&mut self, Node { line, value }: Node) -> Option<Enclosure> {
        let mut table = match value {
            Value::Table(table) => table,
            value => vec![("url".to_owned(), Node { line, value })],
        };
        self.only(&table, "enclosure", ENCLOSURE);
        let Some(url) = take(&mut table, "url") else {
            self.complaints.add(line, "enclosure has no url").hint(FILE_HINT);
            return None;
        };
        Some(Enclosure {
            url: self.address("enclosure", url)?,
            length: self.number(&mut table, "length", 1, "the size of the file in bytes"),
            media_type: self.kind_of(&mut table),
            duration_s: self.duration(&mut table),
            episode: Episode::default(),
        })
    }

    fn episode(&mut self, mut table: Table) -> (Episode, Option<u32>) {
        self.only(&table, "episode", EPISODE);
        let kind = self.text_of(&mut table, "type").and_then(|(written, line)| {
            let kind = EpisodeKind::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(&written));
            if kind.is_none() {
                self.complaints
                    .add(line, format!("type of the episode is not known: {written:?}"))
                    .hint("write full, trailer or bonus");
            }
            kind
        });
        let image = take(&mut table, "image").and_then(|node| self.address("image", node));
        let chapters = take(&mut table, "chapters").and_then(|node| self.address("chapters", node));
        let episode = Episode {
            title: self.text_of(&mut table, "title").map(|(title, _)| title),
            season: self.number(&mut table, "season", 1, "a whole number from 1"),
            number: self.number(&mut table, "number", 1, "a whole number from 1"),
            kind,
            explicit: self.flag_of(&mut table, "explicit"),
            block: self.flag_of(&mut table, "block").unwrap_or(false),
            image,
            persons: self.each(&mut table, "persons", Self::person),
            transcripts: self.each(&mut table, "transcript", Self::transcript),
            chapters,
        };
        (episode, self.duration(&mut table))
    }

    /// A name, or a table with one.
    fn person(&mut self, node: Node) -> Option<Person> {
        let line = node.line;
        let mut table = match node.value {
            Value::Table(table) => table,
            value => vec![("name".to_owned(), Node { line, value })],
        };
        self.only(&table, "persons", PERSON);
        let Some((name, _)) = self.text_of(&mut table, "name") else {
            self.complaints.add(line, "persons holds somebody without a name").hint("write name = \"Mara Quill\"");
            return None;
        };
        Some(Person {
            name: shorten(&name, NAME_MAX),
            role: self.one_of(&mut table, "role", ROLES),
            group: self.one_of(&mut table, "group", &GROUPS),
            image: take(&mut table, "image").and_then(|node| self.address("image", node)),
            url: take(&mut table, "url").and_then(|node| self.address("url", node)),
        })
    }

    /// A path or an address, or a table with it as `url`.
    fn transcript(&mut self, node: Node) -> Option<Transcript> {
        let line = node.line;
        let mut table = match node.value {
            Value::Table(table) => table,
            value => vec![("url".to_owned(), Node { line, value })],
        };
        self.only(&table, "transcript", TRANSCRIPT);
        let url = take(&mut table, "url").and_then(|node| self.address("transcript", node));
        let given = self.kind_of(&mut table);
        let language = self.text_of(&mut table, "language").filter(|(tag, _)| is_tag(tag)).map(|(tag, _)| tag);
        let captions = self.flag_of(&mut table, "captions").unwrap_or(false);
        let url = url?;
        let Some(media_type) = given.or_else(|| media_type(&url).map(str::to_owned)) else {
            self.complaints
                .add(line, "transcript does not say what it is: its name has no ending that is known")
                .hint("write { url = \"…\", type = \"text/vtt\" }");
            return None;
        };
        Some(Transcript { url, media_type, language, captions })
    }

    /// One of the words that podcast apps know.
    fn one_of(&mut self, table: &mut Table, key: &str, list: &'static [&'static str]) -> Option<String> {
        let (written, line) = self.text_of(table, key)?;
        let found = known(list, &written);
        if found.is_none() {
            let hint = match did_you_mean(&written, list.iter().copied()) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => format!("write {}, or another word of podcasttaxonomy.com", list[..4].join(", ")),
            };
            self.complaints.add(line, format!("{key} is not known: {written:?}")).hint(hint);
        }
        found.map(str::to_owned)
    }

    /// Each of a list, or what stands there alone.
    fn each<T>(&mut self, table: &mut Table, key: &str, read: fn(&mut Self, Node) -> Option<T>) -> Vec<T> {
        let nodes = match take(table, key) {
            None => vec![],
            Some(Node { value: Value::List(items), .. }) => items,
            Some(node) => vec![node],
        };
        nodes.into_iter().take(MANY).filter_map(|node| read(self, node)).collect()
    }

    /// Complains of keys that mean nothing here.
    fn only(&mut self, table: &Table, within: &str, known: &[&str]) {
        for (key, node) in table.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
            let complaint = self.complaints.add(node.line, format!("unknown key {key:?} in {within}"));
            match did_you_mean(key, known.iter().copied()) {
                Some(meant) => complaint.hint(format!("did you mean \"{meant}\"?")),
                None => complaint.hint(format!("known here: {}", known.join(", "))),
            }
        }
    }

    fn text_of(&mut self, table: &mut Table, key: &str) -> Option<(String, usize)> {
        let node = take(table, key)?;
        let line = node.line;
        self.as_text(key, node).filter(|text| !text.is_empty()).map(|text| (text, line))
    }

    fn flag_of(&mut self, table: &mut Table, key: &str) -> Option<bool> {
        match take(table, key)? {
            Node { value: Value::Bool(value), .. } => Some(value),
            Node { line, value } => {
                self.wrong(key, line, "true or false", &value)
                    .hint(format!("write {key} without quotes: true or false"));
                None
            }
        }
    }

    fn number<T: std::str::FromStr + PartialOrd + Copy>(
        &mut self,
        table: &mut Table,
        key: &str,
        least: T,
        wanted: &str,
    ) -> Option<T> {
        let Node { line, value } = take(table, key)?;
        let number = match &value {
            Value::Number(written) | Value::Text(written) => written.trim().parse().ok(),
            _ => None,
        };
        let number = number.filter(|number| *number >= least);
        if number.is_none() {
            self.complaints.add(line, format!("{key} is {}", value.describe())).hint(format!("write {wanted}"));
        }
        number
    }

    fn kind_of(&mut self, table: &mut Table) -> Option<String> {
        let (written, line) = self.text_of(table, "type")?;
        if is_media_type(&written) {
            return Some(written.to_ascii_lowercase());
        }
        self.complaints
            .add(line, format!("type is not a media type: {written:?}"))
            .hint("write audio/mpeg or video/mp4");
        None
    }

    fn duration(&mut self, table: &mut Table) -> Option<u32> {
        let (written, line) = self.text_of(table, "duration")?;
        let duration = duration_s(&written).filter(|seconds| *seconds > 0);
        if duration.is_none() {
            self.complaints
                .add(line, format!("duration is not a length of play: {written:?}"))
                .hint("write \"12:34\", \"1:02:03\" or the number of seconds");
        }
        duration
    }

    /// The absolute URL that a path below `static/`, or an address, means.
    fn address(&mut self, key: &str, node: Node) -> Option<String> {
        let line = node.line;
        let written = self.as_text(key, node)?;
        match address(self.base, &written) {
            Ok(url) => Some(url.into()),
            Err(fault) => {
                self.complaints.add(line, format!("{key} {fault}: {written:?}")).hint(FILE_HINT);
                None
            }
        }
    }
}

fn address(base: &Url, written: &str) -> Result<Url, &'static str> {
    const NO_ADDRESS: &str = "is not an http or https address";
    let written = written.trim();
    let slashes = written.bytes().take_while(|b| matches!(b, b'/' | b'\\')).count();
    let url = match Url::parse(written) {
        Ok(url) => url,
        Err(url::ParseError::RelativeUrlWithoutBase) if slashes == 2 => {
            Url::parse(&format!("https://{}", &written[2..])).map_err(|_| NO_ADDRESS)?
        }
        Err(url::ParseError::RelativeUrlWithoutBase) => {
            let path = written[slashes..].split(['?', '#']).next().unwrap_or_default();
            if path.is_empty() {
                return Err("is empty");
            }
            // Browsers take these for dots, too (WHATWG URL, "double-dot path segment").
            let dots = path.to_ascii_lowercase().replace("%2e", ".");
            if dots.split(['/', '\\']).any(|part| part == "..") {
                return Err("leads out of static/");
            }
            let folder = format!("{}/", base.as_str().trim_end_matches('/'));
            let below = format!("./{}", &written[slashes..]);
            Url::parse(&folder).and_then(|folder| folder.join(&below)).map_err(|_| NO_ADDRESS)?
        }
        Err(_) => return Err(NO_ADDRESS),
    };
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(NO_ADDRESS);
    }
    Ok(bare(&url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_below_static_and_leads_nowhere_else() {
        let base = Url::parse("https://lantern.example/blog").unwrap();
        for (written, meant) in [
            ("/audio/one.mp3", Ok("https://lantern.example/blog/audio/one.mp3")),
            ("audio/one two.mp3", Ok("https://lantern.example/blog/audio/one%20two.mp3")),
            ("//cdn.example/one.mp3", Ok("https://cdn.example/one.mp3")),
            ("https://a:b@cdn.example/one.mp3?x", Ok("https://cdn.example/one.mp3?x")),
            ("../one.mp3", Err("leads out of static/")),
            ("/audio/../../one.mp3", Err("leads out of static/")),
            ("audio\\..\\..\\one.mp3", Err("leads out of static/")),
            ("/%2E%2e/one.mp3", Err("leads out of static/")),
            ("javascript:alert(1)", Err("is not an http or https address")),
            ("java\nscript:alert(1)", Err("is not an http or https address")),
            ("file:///etc/passwd", Err("is not an http or https address")),
            ("data:audio/mpeg,x", Err("is not an http or https address")),
            ("/", Err("is empty")),
            ("", Err("is empty")),
        ] {
            assert_eq!(address(&base, written).as_ref().map(Url::as_str), meant.as_ref().copied(), "{written}");
        }
    }
}
