//! The targets on stable Rust, without coverage: `cargo run --release --bin loop -- TARGET [SECONDS] [SEED]`.
//!
//! Inputs come from `corpus/TARGET/`, changed and put together at random. One that breaks a target is written to
//! `artifacts/` and ends the run; `loop -- TARGET FILE` runs it again.

use std::path::Path;
use std::time::{Duration, Instant};

use tidings_fuzz::TARGETS;

/// Pieces that parsers look for.
const WORDS: [&[u8]; 32] = [
    b"@",
    b".",
    b"\"",
    b"\\",
    b"<",
    b">",
    b"(",
    b")",
    b"xn--",
    b"\xc3\xbc",
    b"\xe2\x80\xae",
    b"\0",
    b"\r\n",
    b"250 ",
    b"250-",
    b"354 ",
    b"421 4.3.2 ",
    b"550 5.1.1 ",
    b"220 ",
    b"PIPELINING\r\n",
    b"SIZE ",
    b"AUTH PLAIN\r\n",
    b"+",
    b" ",
    b"\n\n",
    b"--",
    b"Content-Type: message/rfc822\r\n",
    b"Content-Type: multipart/report; boundary=\"a\"\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Status: 5.1.1\r\n",
    b"Action: failed\r\n",
    b"{\"a\":",
];
/// Longest input that is made.
const MAX_BYTES: usize = 40_000;

/// `SplitMix64`.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % end.max(1) as u64).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap_or(0)
    }

    fn change(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        match self.below(8) {
            0 | 1 if at < input.len() => input[at] = self.byte(),
            2 if at < input.len() => input[at] ^= 1 << self.below(8),
            3 if at < input.len() => {
                let end = (at + 1 + self.below(8)).min(input.len());
                input.drain(at..end);
            }
            4 => {
                let byte = self.byte();
                input.insert(at, byte);
            }
            5 => {
                let other = &corpus[self.below(corpus.len())];
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            6 if at < input.len() => {
                let end = (at + 1 + self.below(32)).min(input.len());
                let piece = input[at..end].repeat(1 + self.below(40));
                input.splice(at..end, piece);
            }
            _ => drop(input.splice(at..at, WORDS[self.below(WORDS.len())].iter().copied())),
        }
        input.truncate(MAX_BYTES);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let name = arguments.first().map_or("", String::as_str);
    let Some((name, target)) = TARGETS.into_iter().find(|(known, _)| *known == name) else {
        let known: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
        eprintln!("loop TARGET [SECONDS] [SEED], or loop TARGET FILE; targets: {}", known.join(", "));
        std::process::exit(2);
    };
    if let Some(file) = arguments.get(1).filter(|file| Path::new(file).is_file()) {
        return target(&std::fs::read(file).expect("the file"));
    }
    let number = |at: usize, default: u64| arguments.get(at).map_or(default, |text| text.parse().expect("a number"));
    let (length, mut chance) = (Duration::from_secs(number(1, 10)), Chance(number(2, 1)));
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(here.join("corpus").join(name)).expect("a corpus");
    let corpus: Vec<Vec<u8>> = files.flatten().map(|file| std::fs::read(file.path()).expect("an input")).collect();
    for input in &corpus {
        target(input);
    }
    let (begun, mut runs) = (Instant::now(), 0_u64);
    while begun.elapsed() < length {
        let mut input = corpus[chance.below(corpus.len())].clone();
        for _ in 0..=chance.below(6) {
            chance.change(&mut input, &corpus);
        }
        runs += 1;
        if std::panic::catch_unwind(|| target(&input)).is_err() {
            let artifacts = here.join("artifacts");
            std::fs::create_dir_all(&artifacts).expect("a folder");
            let file = artifacts.join(format!("{name}-{runs}"));
            std::fs::write(&file, &input).expect("a file");
            eprintln!("broken by {}: {:?}", file.display(), String::from_utf8_lossy(&input));
            std::process::exit(1);
        }
    }
    println!("{name}: {runs} runs in {:.1} s, nothing broken", begun.elapsed().as_secs_f64());
}
