//! `[podcast]` in `feeds/*.toml`, and its way to [`Podcast`].

use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::feeds::{Reader, image_url};
use crate::domain::address::Mailbox;
use crate::domain::crew::{GROUPS, ROLES, known};
use crate::domain::media::Person;
use crate::domain::podcast::{Category, Funding, MEDIA, Order, Owner, Podcast};
use crate::domain::text::{one_line, shorten};
use crate::problem::did_you_mean;

type Text = Option<Spanned<String>>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenPodcast {
    author: Option<String>,
    owner: Text,
    categories: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    explicit: bool,
    r#type: Text,
    #[serde(default)]
    block: bool,
    #[serde(default)]
    complete: bool,
    locked: Option<Spanned<bool>>,
    medium: Text,
    guid: Text,
    #[serde(default)]
    funding: Vec<WrittenFunding>,
    #[serde(default)]
    persons: Vec<Spanned<Person>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFunding {
    url: Spanned<String>,
    #[serde(default)]
    text: String,
}

/// Longest text that apps take here, in characters (podcastindex.org, `podcast:person` and `podcast:funding`).
const LONG: usize = 128;

impl Reader<'_> {
    pub(super) fn podcast(&mut self, written: Spanned<WrittenPodcast>, has_image: bool, publication: &Url) -> Podcast {
        if !has_image {
            self.complain(
                Some(&written),
                "a podcast needs a picture: directories take none without",
                "write image = \"/images/podcast.png\" above [podcast]: a square of 1400 to 3000 pixels",
            );
        }
        let at = written.span();
        let written = written.into_inner();
        let owner = self.owner(written.owner);
        if let (Some(locked), None) = (&written.locked, &owner) {
            let hint = "write owner = \"Name <name@example.org>\"";
            self.complain(Some(locked), "locked needs an owner, who can be asked for the feed", hint);
        }
        let categories = match written.categories {
            Some(names) if !names.get_ref().is_empty() => self.categories(names.into_inner()),
            _ => {
                let hint = "write categories = [\"News > Daily News\"], or others of Apple's list";
                self.complain(Some(&Spanned::new(at, ())), "a podcast needs a category", hint);
                vec![]
            }
        };
        let order = self.one_of(written.r#type, "type", Order::ALL.map(Order::as_str));
        let medium = self.one_of(written.medium, "medium", MEDIA);
        Podcast {
            guid: self.guid(written.guid),
            author: written.author.as_deref().map(one_line).filter(|author| !author.is_empty()),
            owner,
            categories,
            explicit: written.explicit,
            order: Order::ALL.into_iter().find(|known| Some(known.as_str()) == order).unwrap_or_default(),
            block: written.block,
            complete: written.complete,
            locked: written.locked.map(Spanned::into_inner),
            medium: medium.map(str::to_owned),
            funding: written.funding.iter().filter_map(|funding| self.funding(funding, publication)).collect(),
            persons: written.persons.into_iter().filter_map(|person| self.person(person, publication)).collect(),
        }
    }

    fn owner(&mut self, written: Text) -> Option<Owner> {
        let written = written?;
        match Mailbox::parse(written.get_ref()) {
            Ok(mailbox) => Some(Owner { name: mailbox.name, address: mailbox.address.to_string() }),
            Err(fault) => {
                let what = format!("owner is not an address: {fault}");
                self.complain(Some(&written), what, "write \"Name <name@example.org>\"");
                None
            }
        }
    }

    fn categories(&mut self, names: Vec<Spanned<String>>) -> Vec<Category> {
        let mut categories = vec![];
        for name in names {
            if let Some(category) = Category::named(name.get_ref()) {
                categories.push(category);
                continue;
            }
            let known: Vec<String> = Category::names().collect();
            let near = did_you_mean(name.get_ref(), known.iter().map(String::as_str));
            let mains = || known.iter().filter(|name| !name.contains('>')).map(String::as_str).collect::<Vec<_>>();
            let hint = near
                .map_or_else(|| format!("there are: {}", mains().join(", ")), |near| format!("did you mean {near:?}?"));
            self.complain(Some(&name), format!("there is no category {:?}", name.get_ref()), &hint);
        }
        categories
    }

    fn one_of<const N: usize>(&mut self, written: Text, key: &str, known: [&'static str; N]) -> Option<&'static str> {
        let written = written?;
        let found = known.into_iter().find(|known| known.eq_ignore_ascii_case(written.get_ref().trim()));
        if found.is_none() {
            let hint = format!("write one of {}", known.join(", "));
            self.complain(Some(&written), format!("{key} is not known: {:?}", written.get_ref()), &hint);
        }
        found
    }

    fn guid(&mut self, written: Text) -> Option<String> {
        let written = written?;
        let guid = uuid::Uuid::try_parse(written.get_ref().trim()).ok();
        if guid.is_none() {
            let what = format!("guid is not a UUID: {:?}", written.get_ref());
            self.complain(
                Some(&written),
                what,
                "write the podcast:guid that the podcast has elsewhere, or leave it out",
            );
        }
        guid.map(|guid| guid.to_string())
    }

    fn funding(&mut self, written: &WrittenFunding, publication: &Url) -> Option<Funding> {
        let url = self.web(&written.url, "funding", publication)?;
        let text = shorten(&one_line(&written.text), LONG);
        Some(Funding { url, text })
    }

    fn person(&mut self, written: Spanned<Person>, publication: &Url) -> Option<Person> {
        let at = written.span();
        let mut person = written.into_inner();
        person.name = shorten(&one_line(&person.name), LONG);
        if person.name.is_empty() {
            self.complain(Some(&Spanned::new(at, ())), "persons holds somebody without a name", "write name = \"…\"");
            return None;
        }
        for (word, list) in [(&mut person.role, ROLES), (&mut person.group, &GROUPS[..])] {
            let Some(written) = word.take() else { continue };
            *word = known(list, &written).map(str::to_owned);
            if word.is_none() {
                let near = did_you_mean(&written, list.iter().copied());
                let hint = near.map_or_else(
                    || format!("write {}, or another word of podcasttaxonomy.com", list[..4].join(", ")),
                    |near| format!("did you mean {near:?}?"),
                );
                let what = format!("persons holds a word that podcast apps do not know: {written:?}");
                self.complain(Some(&Spanned::new(at.clone(), ())), what, &hint);
            }
        }
        for url in [&mut person.image, &mut person.url] {
            *url = url.take().and_then(|url| self.web(&Spanned::new(at.clone(), url), "persons", publication));
        }
        Some(person)
    }

    /// An address on the web; a path is one below the publication's.
    fn web(&mut self, written: &Spanned<String>, key: &str, publication: &Url) -> Option<String> {
        let url = image_url(publication, written.get_ref().trim());
        let url = url.filter(|url| url.starts_with("https://") || url.starts_with("http://"));
        if url.is_none() {
            let what = format!("{key} holds what is not an http or https address: {:?}", written.get_ref());
            self.complain(Some(written), what, "write https://… or a path below the publication's address");
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::super::feeds::defined;

    const IMAGE: &str = "title = \"Waves\"\nimage = \"/waves.png\"\n";

    #[test]
    fn a_category_is_enough_for_a_podcast_with_a_picture() {
        let feed = defined(&format!("{IMAGE}[podcast]\ncategories = [\"news > politics\"]")).unwrap();
        let podcast = feed.podcast.unwrap();
        assert_eq!(podcast.categories[0].part, Some("Politics"));
        assert_eq!((podcast.explicit, podcast.order.as_str(), podcast.locked), (false, "episodic", None));
    }

    #[test]
    fn all_that_a_podcast_says_is_read() {
        let text = "[podcast]\ncategories = [\"News\"]\nowner = \"Waves <waves@a.example>\"\nlocked = true\ntype = \"Serial\"\n\
                    medium = \"podcast\"\nguid = \"917393E3-1B1E-5CEF-ACE4-EDAA54E1F810\"\n\
                    persons = [{ name = \"Mara Quill\", role = \"host\", image = \"/mara.jpg\" }]\n\
                    funding = [{ url = \"https://a.example/give\", text = \"Give\" }]";
        let podcast = defined(&format!("{IMAGE}{text}")).unwrap().podcast.unwrap();
        assert_eq!(podcast.guid.as_deref(), Some("917393e3-1b1e-5cef-ace4-edaa54e1f810"));
        assert_eq!(podcast.persons[0].image.as_deref(), Some("https://a.example/mara.jpg"));
        assert_eq!((podcast.funding[0].text.as_str(), podcast.order.as_str()), ("Give", "serial"));
    }

    #[test]
    fn every_fault_of_a_podcast_is_named_with_its_line() {
        let text = "title = \"Waves\"\n[podcast]\ncategories = [\"Newz\"]\nowner = \"waves\"\ntype = \"weekly\"\nmedium = \"opera\"\n\
                    guid = \"1\"\nfunding = [{ url = \"javascript:x\" }]\npersons = [{ name = \" \" }]";
        let faults = defined(text).unwrap_err();
        let lines: Vec<_> = faults.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
        assert_eq!(lines, [2, 4, 3, 5, 6, 7, 8, 9].map(|line| format!("feeds/news.toml:{line}")), "{faults:#?}");
        assert!(faults[2].contains("did you mean \"News\"?"), "{}", faults[2]);
        let faults = defined(&format!("{IMAGE}[podcast]\nlocked = true")).unwrap_err();
        assert_eq!(faults.len(), 2, "{faults:#?}");
    }
}
