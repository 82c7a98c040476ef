//! Made-up articles and subscribers, the same for the same seed: what benches measure and tests sync.
//!
//! Shared by path (`#[path = "../benches/support/corpus.rs"] mod corpus;`); only the standard library is used.
#![allow(dead_code, unused_imports, reason = "each bench, test or example uses a part of it")]

mod subscribers;

use std::{fmt::Write as _, fs, io, path::Path, sync::LazyLock};

pub use subscribers::{Malformed, write_subscribers_csv};

/// What was written into a folder.
#[derive(Debug, Default)]
pub struct Corpus {
    /// Number of articles in order.
    pub good: usize,
    /// File name and kind of each that is not.
    pub broken: Vec<(String, Broken)>,
}

/// What is wrong with a broken article.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Broken {
    /// `date = "03/02/2026"`.
    BadDate,
    /// A string that is not closed.
    BadToml,
    /// `&#x1F;` in the body: what XML cannot hold, by the back door.
    ControlReference,
    /// No title, and no heading that could stand in for it.
    MissingTitle,
    /// Bytes that are not UTF-8.
    BadUtf8,
    /// A key that does not exist, close to one that does.
    UnknownKey,
    /// A file of 0 bytes.
    Empty,
    /// The slug of an article before it.
    DuplicateSlug,
    /// 30 February.
    ImpossibleDate,
    /// No closing `+++`.
    UnclosedFrontMatter,
    /// U+0000, U+0008 and U+000B in the body, U+0007 in the title.
    ControlCharacters,
    /// No date.
    MissingDate,
    /// A list for a title.
    WrongType,
    /// A title of spaces.
    BlankTitle,
    /// A `<script>`, which neither feeds nor mail can run.
    Script,
}

impl Broken {
    /// All kinds, in the order in which they are dealt out.
    pub const ALL: [Self; 15] = [
        Self::BadDate,
        Self::BadToml,
        Self::ControlReference,
        Self::MissingTitle,
        Self::BadUtf8,
        Self::UnknownKey,
        Self::Empty,
        Self::DuplicateSlug,
        Self::ImpossibleDate,
        Self::UnclosedFrontMatter,
        Self::ControlCharacters,
        Self::MissingDate,
        Self::WrongType,
        Self::BlankTitle,
        Self::Script,
    ];

    /// Nothing of it can be published. The other kinds can be mended: by leaving out a key or a character, or by
    /// giving a slug a suffix. A good article draws no complaint at all.
    pub fn is_beyond_repair(self) -> bool {
        !matches!(
            self,
            Self::ControlReference | Self::UnknownKey | Self::DuplicateSlug | Self::ControlCharacters | Self::Script
        )
    }
}

const SECTIONS: [&str; 5] = ["news", "offers", "announcements", "sport", "culture"];
const TAGS: [&str; 12] = [
    "harbour", "history", "council", "weather", "music", "fishing", "football", "market", "école", "Straße", "読書",
    "R&D",
];
const AUTHORS: [&str; 6] =
    ["Mara Quill", "Tomás Ferreira", "Łucja Żuraw", "Ilse van der Brug", "O'Brien & Daughters", "山田 花子"];
const LABELS: [&str; 4] = ["Breaking news", "Opinion", "Last chance", "Live"];
const PLACES: [&str; 4] = ["Port Example", "Upper Example", "Lower Sandbank", "São Exemplo"];
/// After a title: what has to be escaped in HTML, in XML, in JSON or in TOML.
const TITLE_ENDS: [&str; 6] = [" & more", " <for now>", ", \"at last\"", ": it's 5 > 4", " 🕯", " — часть вторая"];
static WORDS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    "the harbour lantern keeper storm winter council voted against quiet morning boats returned before light \
     after nine dark years under stone quay people gathered to see what nobody had believed market opened \
     again with fresh bread fish and music of old songs children ran along pier while ferry waited for tide a \
     letter arrived from engineer who promised repairs by spring cost remains open café naïve façade Straße \
     coöperate señor übrig déjà"
        .split(' ')
        .collect()
});

/// `SplitMix64` (Steele, Lea, Flood 2014): small, seedable and the same everywhere, which is all that is asked of it.
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).expect("a usize has at most 64 bits");
        usize::try_from(self.bits() % end).expect("it is below a usize")
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// The slug, and the file name without its ending, of the article at an index.
pub fn slug(index: usize) -> String {
    format!("article-{index:06}")
}

/// Writes `count` articles of about 5 KB into a folder, `broken_percent` of them broken, each kind in its turn.
///
/// # Errors
///
/// When the folder or a file cannot be written.
pub fn write_articles(folder: &Path, count: usize, seed: u64, broken_percent: u32) -> io::Result<Corpus> {
    fs::create_dir_all(folder)?;
    let mut random = Random::new(seed);
    let mut corpus = Corpus::default();
    let mut last_good = None;
    // Spread evenly instead of drawn, so that the share is the one that was asked for.
    let percent = usize::try_from(broken_percent).expect("a small number").min(100);
    let broken_before = |index: usize| index * percent / 100;
    for index in 0..count {
        let name = format!("{}.md", slug(index));
        let article = Draft::new(&mut random, index);
        let bytes = if broken_before(index + 1) > broken_before(index) {
            let kind = match (Broken::ALL[corpus.broken.len() % Broken::ALL.len()], last_good) {
                (Broken::DuplicateSlug, None) => Broken::Empty,
                (kind, _) => kind,
            };
            corpus.broken.push((name.clone(), kind));
            article.broken(kind, last_good.unwrap_or_default())
        } else {
            corpus.good += 1;
            last_good = Some(index);
            article.text().into_bytes()
        };
        fs::write(folder.join(name), bytes)?;
    }
    Ok(corpus)
}

/// One article before it is written. Empty lines of front matter are left out.
struct Draft {
    title: String,
    date: String,
    others: String,
    body: String,
}

impl Draft {
    fn new(random: &mut Random, index: usize) -> Self {
        let title = format!("title = {}\n", toml(&title(random)));
        let date = format!("date = {}\n", date(random));
        Self { title, date, others: others(random, index), body: body(random, index) }
    }

    fn text(&self) -> String {
        format!("+++\n{}{}{}+++\n\n{}", self.title, self.date, self.others, self.body)
    }

    fn broken(mut self, kind: Broken, earlier: usize) -> Vec<u8> {
        match kind {
            Broken::BadDate => self.date = String::from("date = \"03/02/2026\"\n"),
            Broken::ImpossibleDate => self.date = String::from("date = \"2025-02-30\"\n"),
            Broken::MissingDate => self.date.clear(),
            Broken::BadToml => self.title = String::from("title = \"The quote that was not closed\n"),
            Broken::UnclosedFrontMatter => return self.text().replacen("\n+++\n", "\n", 1).into_bytes(),
            Broken::UnknownKey => self.others.push_str("sumary = \"One letter is not there.\"\n"),
            Broken::WrongType => self.title = String::from("title = [\"One\", \"Two\"]\n"),
            Broken::MissingTitle => self.title.clear(),
            Broken::BlankTitle => self.title = String::from("title = \"   \"\n"),
            Broken::ControlCharacters => {
                self.title = String::from("title = \"The bell\\u0007 rings\"\n");
                self.body.push_str("\nA line\u{0} of\u{8} strange\u{b} things.\n");
            }
            Broken::ControlReference => self.body.push_str("\nA unit&#x1F; separator, and a bell: &#7;\n"),
            Broken::Script => self.body.push_str("\n<script>document.write('unseen')</script>\n"),
            Broken::DuplicateSlug => {
                let _ = writeln!(self.others, "slug = \"{}\"", slug(earlier));
            }
            Broken::BadUtf8 => return [self.text().as_bytes(), b"\nCaf\xe9 au lait, in Latin-1.\n"].concat(),
            Broken::Empty => return Vec::new(),
        }
        self.text().into_bytes()
    }
}

/// A basic string of TOML.
fn toml(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn words(random: &mut Random, count: usize) -> String {
    let mut text = random.pick(&WORDS).to_owned();
    for _ in 1..count {
        text.push(' ');
        text.push_str(random.pick(&WORDS));
    }
    text
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn sentence(random: &mut Random) -> String {
    let count = 6 + random.below(14);
    format!("{}.", capitalised(&words(random, count)))
}

fn title(random: &mut Random) -> String {
    let count = 3 + random.below(6);
    let end = if random.chance(15) { random.pick(&TITLE_ENDS) } else { "" };
    format!("{}{end}", capitalised(&words(random, count)))
}

/// A day from 2015 to 2025, in the three forms in which people write it.
fn date(random: &mut Random) -> String {
    let day = format!("{}-{:02}-{:02}", 2015 + random.below(11), 1 + random.below(12), 1 + random.below(28));
    let time = format!("{:02}:{:02}:{:02}", random.below(24), random.below(60), random.below(60));
    match random.below(3) {
        0 => day,
        1 => format!("{day}T{time}Z"),
        _ => format!("{day}T{time}+01:00"),
    }
}

/// Front matter below title and date.
fn others(random: &mut Random, index: usize) -> String {
    let mut lines = format!("section = \"{}\"\n", random.pick(&SECTIONS));
    let authors = several(random, &AUTHORS, 2);
    let tags = several(random, &TAGS, 4);
    let mut add = |line: String| {
        lines.push_str(&line);
        lines.push('\n');
    };
    add(format!("authors = [{authors}]"));
    add(format!("tags = [{tags}]"));
    if random.chance(40) {
        add(format!("summary = {}", toml(&sentence(random))));
    }
    if random.chance(15) {
        add(format!("label = {}", toml(random.pick(&LABELS))));
    }
    if random.chance(20) {
        add(format!("place = {}", toml(random.pick(&PLACES))));
    }
    if random.chance(5) {
        add("featured = true".to_owned());
    }
    if random.chance(40) {
        add(format!("image = \"https://lantern.example/pictures/{index}.jpg\""));
        add(format!("image_alt = {}", toml(&sentence(random))));
    }
    if random.chance(30) && index > 0 {
        add(format!("related = [\"{}\"]", slug(random.below(index))));
    }
    if random.chance(3) {
        let (question, answer) = (toml(&title(random)), toml(&sentence(random)));
        add(format!("faq = [{{ question = {question}, answer = {answer} }}]"));
    }
    lines
}

/// One to `most` different ones, as the inside of a TOML list.
fn several(random: &mut Random, from: &[&str], most: usize) -> String {
    let first = random.below(from.len());
    let count = 1 + random.below(most);
    (0..count).map(|next| toml(from[(first + next) % from.len()])).collect::<Vec<_>>().join(", ")
}

/// Some 5 KB of Markdown that begins with a paragraph.
fn body(random: &mut Random, index: usize) -> String {
    const BYTES: usize = 4_400;
    let mut body = String::with_capacity(BYTES + 1_000);
    let has_footnote = random.chance(10);
    let mut add = |paragraph: &str| {
        body.push_str(paragraph);
        body.push_str("\n\n");
        body.len()
    };
    add(&paragraph(random));
    if has_footnote {
        add("The engineer's figures[^cost] were read out twice.");
    }
    if random.chance(10) {
        add(&raw_html(random, index));
    }
    if random.chance(10) {
        add(
            "| Boat | Catch | Day |\n|------|------:|:---:|\n| *Lantern* | 120 kg | Mon |\n| Gull & Sons | 80 kg | Tue |",
        );
    }
    if random.chance(10) {
        add(&format!("![The quay at low tide](/pictures/{index}-quay.jpg \"Low tide\")"));
    }
    if random.chance(5) {
        add("```rust\nfn main() { assert!(1 < 2 && \"a\" != \"b\"); }\n```");
    }
    while add(&section(random)) < BYTES {}
    if has_footnote {
        add("[^cost]: As told to the council; see [the minutes](https://council.example/minutes?year=2025&page=4).");
    }
    body
}

fn paragraph(random: &mut Random) -> String {
    let count = 3 + random.below(5);
    (0..count).map(|_| sentence(random)).collect::<Vec<_>>().join(" ")
}

fn section(random: &mut Random) -> String {
    match random.below(10) {
        0 => format!("## {}", title(random)),
        1 => format!("> {}", sentence(random)),
        2 => format!("- {}\n- **{}**\n- *{}*", sentence(random), words(random, 3), words(random, 4)),
        3 => format!("{} See [{}](/articles/{}/).", sentence(random), words(random, 3), slug(random.below(100))),
        4 => format!("{} <https://council.example/plans?a=1&b=2>", sentence(random)),
        _ => paragraph(random),
    }
}

/// What editors paste, some of it not to be kept.
fn raw_html(random: &mut Random, index: usize) -> String {
    match random.below(4) {
        0 => format!("<div class=\"box\" onclick=\"alert(1)\"><b>{}</b><br>and <i>more</div>", words(random, 4)),
        1 => format!(
            "<figure><img src=\"/pictures/{index}.jpg\" alt=\"a boat\"><figcaption>A boat</figcaption></figure>"
        ),
        2 => "<p>Press <kbd>Ctrl</kbd>, then <a href=\"/here/\" onclick=\"alert(1)\">here</a>.</p>".to_owned(),
        _ => "<p style=\"position:fixed\" id=\"top\">Seen, but <u>not</u> everywhere.</p>".to_owned(),
    }
}
