//! Made-up subscriber lists.

use std::{
    fs,
    io::{self, BufWriter, Write as _},
    path::Path,
};

use super::{Random, SECTIONS};

const CADENCES: [&str; 4] = ["instant", "daily", "weekly", "monthly"];
const NAMES: [&str; 16] = [
    "Mara Quill",
    "Quill, Mara",
    "Siobhán \"Shiv\" O'Neill",
    "José Ñúñez",
    "Łukasz Żółć",
    "Ольга Петрова",
    "Ελένη Παπαδοπούλου",
    "محمد العربي",
    "רות כהן",
    "山田 花子",
    "김민준",
    "अनीता शर्मा",
    "Nguyễn Thị Ánh",
    "สมชาย ใจดี",
    "=Sum, Ltd.",
    "",
];
const LANGUAGES: [&str; 8] = ["en", "pt", "de", "fr", "pl", "ru", "ja", ""];
const TIME_ZONES: [&str; 8] = [
    "Europe/Lisbon",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Tokyo",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "",
];
/// Domains that are reserved (RFC 2606), so that a slip sends nothing to anybody.
const DOMAINS: [&str; 4] = ["example.com", "example.net", "example.org", "reader.test"];

/// What is wrong with a malformed line of a subscriber list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Malformed {
    /// `reader.example.com`.
    NoAtSign,
    /// Nothing before the first comma.
    EmptyAddress,
    /// Two columns of five.
    TooFewColumns,
    /// Six columns of five.
    TooManyColumns,
    /// `Europe/Atlantis`.
    UnknownTimeZone,
    /// `news:hourly`.
    UnknownCadence,
    /// Bytes that are not UTF-8.
    BadUtf8,
    /// A line break within the address.
    BrokenAddress,
}

impl Malformed {
    /// All kinds, in the order in which they are dealt out.
    pub const ALL: [Self; 8] = [
        Self::NoAtSign,
        Self::EmptyAddress,
        Self::TooFewColumns,
        Self::TooManyColumns,
        Self::UnknownTimeZone,
        Self::UnknownCadence,
        Self::BadUtf8,
        Self::BrokenAddress,
    ];

    fn line(self, number: usize) -> Vec<u8> {
        let line = match self {
            Self::NoAtSign => format!("reader{number}.example.com,No Sign,en,Europe/Lisbon,news:daily\n"),
            Self::EmptyAddress => format!(",Nobody {number},en,Europe/Lisbon,news:daily\n"),
            Self::TooFewColumns => format!("short{number}@example.com,Short\n"),
            Self::TooManyColumns => format!("long{number}@example.com,Long,en,Europe/Lisbon,news:daily,more\n"),
            Self::UnknownTimeZone => format!("sunken{number}@example.com,Sunken,en,Europe/Atlantis,news:daily\n"),
            Self::UnknownCadence => format!("eager{number}@example.com,Eager,en,Europe/Lisbon,news:hourly\n"),
            Self::BadUtf8 => {
                return [format!("latin{number}@example.com,").as_bytes(), b"Ren\xe9,fr,Europe/Paris,news:daily\n"]
                    .concat();
            }
            Self::BrokenAddress => {
                format!("\"broken{number}@example.com\nBcc: all@example.com\",Broken,en,Europe/Lisbon,news:daily\n")
            }
        };
        line.into_bytes()
    }
}

/// Writes a list of `count` subscribers, each with another address, with `malformed` lines between them.
/// Gives the line on which each malformed record begins, from 1 (the heading), and its kind.
///
/// # Errors
///
/// When the file cannot be written.
pub fn write_subscribers_csv(
    path: &Path,
    count: usize,
    seed: u64,
    malformed: usize,
) -> io::Result<Vec<(usize, Malformed)>> {
    let mut random = Random::new(seed);
    let mut file = BufWriter::new(fs::File::create(path)?);
    let (mut line, mut faults) = (2, Vec::new());
    file.write_all(b"address,name,language,time_zone,feeds\n")?;
    for index in 0..=count {
        // As many as belong before this one when they are spread evenly; what is left comes last.
        while faults.len() < malformed * index / count.max(1) || (index == count && faults.len() < malformed) {
            let kind = Malformed::ALL[faults.len() % Malformed::ALL.len()];
            file.write_all(&kind.line(faults.len()))?;
            faults.push((line, kind));
            line += if kind == Malformed::BrokenAddress { 2 } else { 1 };
        }
        if index < count {
            file.write_all(subscriber(&mut random, index).as_bytes())?;
            line += 1;
        }
    }
    file.flush()?;
    Ok(faults)
}

fn subscriber(random: &mut Random, index: usize) -> String {
    let first = random.below(SECTIONS.len());
    let feeds: Vec<_> = (0..=random.below(3))
        .map(|next| format!("{}:{}", SECTIONS[(first + next) % SECTIONS.len()], random.pick(&CADENCES)))
        .collect();
    format!(
        "reader{index:07}@{},{},{},{},{}\n",
        random.pick(&DOMAINS),
        csv(random.pick(&NAMES)),
        random.pick(&LANGUAGES),
        random.pick(&TIME_ZONES),
        feeds.join(";")
    )
}

/// A field of CSV (RFC 4180 §2).
fn csv(text: &str) -> String {
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
