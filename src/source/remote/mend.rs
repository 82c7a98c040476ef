//! What common programs write a little wrong in XML, or feed-rs reads so, mended before it does: a bare `&`, a version that
//! is missing, the namespaces of formats of before, an enclosure beside other media, minutes and
//! seconds.

use std::borrow::Cow;
use std::fmt::Write as _;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::guard::Root;
use crate::domain::media::duration_s;

/// Where the tag ends that a text begins with: its `>`.
fn tag_end(text: &str) -> Option<usize> {
    let mut quote = None;
    text.bytes().position(|byte| {
        match quote {
            Some(open) if open == byte => quote = None,
            None if matches!(byte, b'"' | b'\'') => quote = Some(byte),
            None => return byte == b'>',
            Some(_) => {}
        }
        false
    })
}

/// The document with a root that a reader of today's formats knows.
pub(super) fn with_root(text: &str, root: Root) -> Cow<'_, str> {
    let Some(end) = tag_end(text) else { return text.into() };
    let tag = text[1..end].trim_end_matches('/');
    let name = tag.split_whitespace().next().unwrap_or_default();
    let attributes: Vec<(String, String)> = BytesStart::from_content(tag, name.len())
        .html_attributes()
        .flatten()
        .map(|attribute| (attribute.key.as_ref().to_owned(), attribute.value.into_owned()))
        .collect();
    let is = |wanted: &str, value: &str| attributes.iter().any(|(key, own)| key == wanted && own.trim() == value);
    let is_old_atom = root == Root::Atom && is("xmlns", "http://purl.org/atom/ns#");
    let is_known = match root {
        Root::Rss => is("version", "2.0") && !attributes.iter().any(|(key, _)| key == "xmlns"),
        Root::Rdf => is("xmlns", "http://purl.org/rss/1.0/"),
        Root::Atom => name.contains(':') || is("xmlns", "http://www.w3.org/2005/Atom"),
    };
    if is_known {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 64);
    out.push('<');
    out.push_str(name);
    out.push_str(match root {
        Root::Rss => " version=\"2.0\"",
        Root::Rdf => " xmlns=\"http://purl.org/rss/1.0/\"",
        Root::Atom => " xmlns=\"http://www.w3.org/2005/Atom\"",
    });
    for (key, value) in attributes.iter().filter(|(key, _)| !matches!(key.as_str(), "xmlns" | "version")) {
        out.push(' ');
        out.push_str(key);
        out.push_str("=\"");
        out.push_str(&value.replace('"', "&quot;"));
        out.push('"');
    }
    out.push_str(if text[..end].ends_with('/') { "/" } else { "" });
    let rest = &text[end..];
    if is_old_atom {
        // Atom 0.3 had other words for the same.
        let rest = rest.replace("<issued>", "<published>").replace("</issued>", "</published>");
        out.push_str(&rest.replace("<modified>", "<updated>").replace("</modified>", "</updated>"));
    } else {
        out.push_str(rest);
    }
    out.into()
}

/// The document with each `&` that begins no reference written as one, outside of CDATA and comments.
pub(super) fn mended(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let (mut from, mut at) = (0, 0);
    while let Some(next) = text[at..].find(['&', '<']) {
        at += next;
        let rest = &text[at..];
        let skipped = match rest {
            rest if rest.starts_with("<![CDATA[") => rest.find("]]>").unwrap_or(rest.len()),
            rest if rest.starts_with("<!--") => rest.find("-->").unwrap_or(rest.len()),
            rest if rest.starts_with('&') && !is_reference(&rest[1..]) => {
                out.push_str(&text[from..=at]);
                out.push_str("amp;");
                from = at + 1;
                1
            }
            _ => 1,
        };
        at += skipped;
    }
    if out.is_empty() {
        return text.into();
    }
    out.push_str(&text[from..]);
    out.into()
}

/// Whether what stands behind a `&` makes a reference of it.
fn is_reference(rest: &str) -> bool {
    let Some(end) = rest.bytes().take(34).position(|byte| byte == b';') else { return false };
    let name = &rest.as_bytes()[..end];
    match name {
        [b'#', b'x' | b'X', digits @ ..] => character(digits, 16),
        [b'#', digits @ ..] => character(digits, 10),
        [first, ..] => first.is_ascii_alphabetic() && name.iter().all(u8::is_ascii_alphanumeric),
        [] => false,
    }
}

/// Whether digits are those of a character.
fn character(digits: &[u8], radix: u32) -> bool {
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    !digits.starts_with('+')
        && u32::from_str_radix(digits, radix).ok().and_then(char::from_u32).is_some_and(|c| c != '\0')
}

/// An entry of RSS as feed-rs reads it rightly. Its enclosures are named once more, in the words of Media RSS, where others of
/// its media are: it takes no enclosure beside these, and a picture is not all that an episode has. A length in minutes and
/// seconds is written in seconds: of `12:34` it reads the first number alone.
pub(super) fn with_media(entry: &str) -> Cow<'_, str> {
    const PLACE: &str = "http://search.yahoo.com/mrss/";
    let has_others = entry.contains("<enclosure") && entry.contains(":content");
    if !has_others && !entry.contains(":duration") {
        return entry.into();
    }
    let mut reader = Reader::from_str(entry);
    reader.config_mut().trim_markup_names_in_closing_tags = true;
    let (mut depth, mut is_length) = (0usize, false);
    // Where the length stands, and what is to stand there.
    let (mut named, mut length) = (String::new(), (0..0, String::new()));
    loop {
        let from = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        // It was read before.
        let Ok(event) = reader.read_event() else { break };
        match &event {
            Event::Start(start) | Event::Empty(start)
                if has_others && depth == 1 && start.name().as_ref() == "enclosure" =>
            {
                // Writing to a String cannot fail.
                let _ = write!(named, "<enclosed:content xmlns:enclosed=\"{PLACE}\"");
                for attribute in start.attributes().flatten() {
                    let name = attribute.key.as_ref();
                    let name = if name == "length" { "fileSize" } else { name };
                    if matches!(name, "url" | "type" | "fileSize") {
                        let _ = write!(named, " {name}=\"{}\"", attribute.value.replace('"', "&quot;"));
                    }
                }
                named.push_str("/>");
            }
            Event::Text(words) if is_length && words.matches(':').count() == 1 => {
                let to = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
                length = duration_s(words.trim()).map_or(length, |seconds| (from..to, seconds.to_string()));
            }
            Event::Eof => break,
            _ => {}
        }
        is_length = depth == 1 && matches!(&event, Event::Start(start) if start.local_name().as_ref() == "duration");
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    if named.is_empty() && length.0.is_empty() {
        return entry.into();
    }
    // Last of all: where others say the same of it and more, theirs goes before.
    let (inside, end) = entry.split_at(entry.rfind("</").unwrap_or(entry.len()));
    let (place, seconds) = length;
    [&inside[..place.start], &seconds, &inside[place.end..], &named, end].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_ampersand_is_mended_and_a_reference_is_not() {
        assert_eq!(
            mended("a & b &amp; c &nbsp; &#38; &#x26; &#0; &#xD800; &x"),
            "a &amp; b &amp; c &nbsp; &#38; &#x26; &amp;#0; &amp;#xD800; &amp;x"
        );
        assert!(matches!(mended("<![CDATA[a & b]]><!-- & -->"), Cow::Borrowed(_)));
    }

    #[test]
    fn minutes_and_seconds_are_seconds() {
        let entry =
            |length: &str| format!("<item><i:duration>{length}</i:duration><d><![CDATA[<i:duration>1:00]]></d></item>");
        assert_eq!(with_media(&entry(" 12:34 ")), entry("754"));
        for same in ["1:02:03", "754", "x:y", ""] {
            assert_eq!(with_media(&entry(same)), entry(same));
        }
    }

    #[test]
    fn an_enclosure_is_named_once_more_where_other_media_are() {
        for alone in ["<item><enclosure url=\"a\"/></item>", "<item><m:content url=\"a\"/></item>"] {
            assert!(matches!(with_media(alone), Cow::Borrowed(_)));
        }
        let entry = "<item><enclosure url='a?b&amp;\"' length=\"5\" type=\"t\" id=\"c\"></enclosure><m:content/><d><enclosure/></d>\
                     <![CDATA[<enclosure url=\"e\"/>]]></item >";
        let named = "<enclosed:content xmlns:enclosed=\"http://search.yahoo.com/mrss/\" url=\"a?b&amp;&quot;\" fileSize=\"5\" type=\"t\"/>";
        assert_eq!(with_media(entry), entry.replace("</item >", &format!("{named}</item >")));
    }
}
