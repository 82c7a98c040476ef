//! The cursor: over histories of everything that editors, readers and clocks do, each reader gets each article at most
//! once, and misses none that was released while they were there and that still is public.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chrono::TimeDelta;
use support::publication::{Lantern, Letter, NEWS, Setup, at, news};
use tidings::domain::attributes::Attributes;
use tidings::domain::digest::{Digest, DigestId, DigestState};
use tidings::domain::newsletter::Cadence;
use tidings::domain::segment::{Segment, SegmentName, Test, Whom, Words};
use tidings::task::{Publication, schedule};

support::engines::for_each_engine! {
    nobody_gets_an_article_twice_or_misses_one,
    with_a_hold_nobody_does_either,
    nor_where_an_editor_approves,
    nor_with_hours_and_days_of_their_own,
}

const ZONES: [&str; 6] =
    ["Europe/Lisbon", "Asia/Tokyo", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"];

const PREFERRED: [Option<&str>; 9] = [
    None,
    Some("00:00"),
    Some("02:00"),
    Some("07:00"),
    Some("18:00"),
    Some("fri"),
    Some("sun 06:00"),
    Some("31 23:00"),
    Some("25"),
];

/// Numbers that look random and are the same each time (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }

    fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())]
    }

    fn one_in(&mut self, number: usize) -> bool {
        self.below(number) == 0
    }
}

#[derive(Debug, Default)]
struct Reader {
    /// Pending confirmation apart, everyone who has not left.
    is_here: bool,
    /// Released while they were here.
    owed: BTreeSet<String>,
    /// What they got, and how often.
    got: BTreeMap<String, usize>,
}

#[derive(Debug, Default)]
struct Piece {
    is_public: bool,
    is_released: bool,
}

/// What should come about, beside what does.
struct History {
    lantern: Lantern,
    other: Publication,
    random: Random,
    readers: BTreeMap<String, Reader>,
    pieces: BTreeMap<String, Piece>,
    log: String,
    digests: usize,
    /// Articles that an editor took from a reader by cancelling what a later digest had overtaken.
    overtaken: usize,
    /// Whether hour and day are left to readers.
    prefers: bool,
}

impl History {
    async fn begin(url: &str, keys: &str, seed: u64) -> Self {
        let feeds = vec![("news", format!("{NEWS}{keys}\n"))];
        let lantern = Lantern::open(url, Setup { feeds, archive: vec!["old"], ..Setup::default() }).await;
        let other = lantern.again().await;
        let mut history = Self {
            lantern,
            other,
            random: Random(seed),
            readers: BTreeMap::new(),
            pieces: BTreeMap::new(),
            log: String::new(),
            digests: 0,
            overtaken: 0,
            prefers: keys.contains("choose"),
        };
        for _ in 0..5 {
            history.join().await;
        }
        history.tick().await;
        history
    }

    fn note(&mut self, what: &str) {
        let now = self.lantern.now();
        let _ = writeln!(self.log, "{} {what}", now.format("%m-%d %H:%M:%S"));
    }

    async fn join(&mut self) {
        let address = format!("reader{}@reader.example", self.readers.len());
        let (cadence, zone) = (self.random.pick(&Cadence::ALL), self.random.pick(&ZONES));
        let who = self.lantern.reader(&address, cadence, Some(zone)).await;
        let number = if self.readers.len().is_multiple_of(2) { "even" } else { "odd" };
        let attributes = Attributes::parse(&format!("{{\"number\": \"{number}\"}}")).unwrap();
        self.lantern.publication.store.change_attributes(who, &attributes, &[]).await.unwrap().unwrap();
        self.note(&format!("{address} joins, {cadence}, {zone}"));
        self.readers.insert(address, Reader { is_here: true, ..Reader::default() });
    }

    async fn tick(&mut self) {
        let mut composed = if self.random.one_in(8) {
            let (here, there) = tokio::join!(schedule::tick(&self.lantern.publication), schedule::tick(&self.other));
            [here.unwrap(), there.unwrap()].concat()
        } else {
            schedule::tick(&self.lantern.publication).await.unwrap()
        };
        composed.sort_by_key(|digest| digest.id);
        for digest in composed {
            self.composed(&digest).await;
        }
    }

    async fn composed(&mut self, digest: &Digest) {
        self.digests += 1;
        let readers = self.addresses(digest.id, "TRUE").await;
        let cadence = digest.key.cadence.map_or("every", Cadence::as_str);
        self.note(&format!("digest {} {cadence} {}: {readers:?}", digest.id, digest.state));
        self.pass_by(&readers);
    }

    async fn addresses(&self, digest: DigestId, which: &str) -> Vec<String> {
        let sql = format!(
            "SELECT s.address FROM deliveries d JOIN subscribers s ON s.id = d.subscriber \
             WHERE d.digest = '{digest}' AND {which} ORDER BY s.address"
        );
        self.lantern.rows(&sql).await.into_iter().flatten().collect()
    }

    /// What is not public as a digest is composed or sent is passed by: that digest will not bring it, and no later one.
    fn pass_by(&mut self, readers: &[String]) {
        let hidden: Vec<_> = self.pieces.iter().filter(|(_, piece)| !piece.is_public).map(|(slug, _)| slug).collect();
        for reader in readers {
            let owed = &mut self.readers.get_mut(reader).unwrap().owed;
            owed.retain(|slug| !hidden.contains(&slug));
        }
    }

    async fn dispatch(&mut self) {
        let sending = "SELECT DISTINCT s.address FROM deliveries d JOIN digests g ON g.id = d.digest \
                       JOIN subscribers s ON s.id = d.subscriber WHERE g.state = 'sending' AND d.state = 'queued'";
        let readers: Vec<String> = self.lantern.rows(sending).await.into_iter().flatten().collect();
        self.pass_by(&readers);
        let report = self.lantern.dispatch().await;
        self.note(&format!("{} sent, {} skipped", report.sent, report.skipped));
        let outbox = self.lantern.folder.path().join("outbox");
        let Ok(files) = std::fs::read_dir(outbox) else { return };
        let slugs: Vec<&str> = self.pieces.keys().map(String::as_str).collect();
        for file in files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "eml")) {
            let letter = Letter::read(&std::fs::read(&file).unwrap());
            std::fs::remove_file(&file).unwrap();
            for slug in letter.brings(&slugs) {
                *self.readers.get_mut(&letter.to).unwrap().got.entry(slug.to_owned()).or_default() += 1;
            }
        }
    }

    fn write(&self, slug: &str, more: &str, back: TimeDelta) {
        self.lantern.write(slug, self.lantern.now() - back, more);
    }

    async fn sync(&mut self) {
        self.lantern.sync().await;
        let released = self.lantern.rows("SELECT slug FROM articles WHERE release_number IS NOT NULL").await;
        for slug in released.into_iter().flatten() {
            let Some(piece) = self.pieces.get_mut(&slug).filter(|piece| !piece.is_released) else { continue };
            piece.is_released = true;
            if piece.is_public {
                for reader in self.readers.values_mut().filter(|reader| reader.is_here) {
                    reader.owed.insert(slug.clone());
                }
            }
        }
    }

    /// What an editor does to articles.
    async fn edit(&mut self) {
        let known: Vec<String> = self.pieces.keys().cloned().collect();
        let old = (!known.is_empty()).then(|| known[self.random.below(known.len())].clone());
        let back = TimeDelta::hours(if self.random.one_in(3) { 400 } else { 0 });
        match (self.random.below(8), old) {
            (0, Some(slug)) => {
                self.note(&format!("{slug} is withdrawn"));
                let piece = self.pieces.get_mut(&slug).unwrap();
                let file = self.lantern.folder.path().join(format!("articles/{slug}.md"));
                if file.exists() {
                    piece.is_public = false;
                    self.lantern.withdraw(&slug);
                }
            }
            (1, Some(slug)) => {
                let hides = self.random.pick(&["draft = true", "section = \"sport\""]);
                self.note(&format!("{slug}: {hides}"));
                self.pieces.get_mut(&slug).unwrap().is_public = false;
                self.write(&slug, hides, back);
            }
            (2 | 3, Some(slug)) => {
                self.note(&format!("{slug} is edited, dated back by {back}, or comes back"));
                self.pieces.get_mut(&slug).unwrap().is_public = true;
                let edited = format!("place = \"Port {}\"", self.random.below(1000));
                self.write(&slug, &edited, back);
            }
            _ => {
                for _ in 0..=self.random.below(2) {
                    let slug = format!("piece-{}", self.pieces.len());
                    let label = if self.random.one_in(5) { "label = \"Breaking news\"" } else { "" };
                    self.note(&format!("{slug} is written, dated back by {back} {label}"));
                    self.write(&slug, label, back);
                    self.pieces.insert(slug, Piece { is_public: true, is_released: false });
                }
            }
        }
        self.sync().await;
    }

    /// What readers do.
    async fn choose(&mut self) {
        let number = self.random.below(self.readers.len());
        let address = format!("reader{number}@reader.example");
        let who = self.lantern.who(&address).await;
        let (store, now) = (self.lantern.publication.store.clone(), self.lantern.now());
        if self.prefers && self.random.one_in(2) {
            let preferred = self.random.pick(&PREFERRED);
            self.note(&format!("{address} prefers {preferred:?}"));
            store.prefer(who, &news(), preferred).await.unwrap();
            return;
        }
        match self.random.below(8) {
            0..=2 => {
                let cadence = self.random.pick(&Cadence::ALL);
                self.note(&format!("{address} chooses {cadence}"));
                store.choose(who, &news(), cadence, now).await.unwrap();
                self.readers.get_mut(&address).unwrap().is_here = true;
            }
            3 => {
                self.note(&format!("{address} pauses"));
                let pause = format!(
                    "UPDATE subscriptions SET state = 'paused' WHERE subscriber = '{who}' AND state = 'active' RETURNING state"
                );
                self.lantern.rows(&pause).await;
            }
            4 => {
                self.note(&format!("{address} leaves"));
                store.leave(who, Some(&news()), now).await.unwrap();
                let reader = self.readers.get_mut(&address).unwrap();
                reader.is_here = false;
                reader.owed.clear();
            }
            5 | 6 => {
                let zone = self.random.pick(&ZONES);
                self.note(&format!("{address} moves to {zone}"));
                store.set_profile(who, None, Some(zone.parse().unwrap())).await.unwrap();
            }
            _ if self.readers.len() < 9 => self.join().await,
            _ => {}
        }
    }

    /// What an editor does to digests.
    async fn steer(&mut self) {
        let digests = self.lantern.publication.store.digests(None, 6).await.unwrap();
        let Some(digest) = digests.get(self.random.below(6)) else { return };
        let store = self.lantern.publication.store.clone();
        let state = digest.state.parts().0;
        let to = match self.random.below(6) {
            0 => DigestState::Paused,
            1 => return self.cancel(digest.id).await,
            2 => return self.send_by_hand().await,
            _ => DigestState::Sending,
        };
        if matches!(state, "held" | "paused" | "halted" | "sending") {
            self.note(&format!("digest {} from {state} to {to}", digest.id));
            store.move_digest(digest.id, state, &to).await.unwrap();
        }
    }

    async fn approve(&mut self) {
        for digest in self.lantern.publication.store.standing(None).await.unwrap() {
            if matches!(digest.state, DigestState::Held { .. }) && self.random.one_in(2) {
                self.note(&format!("digest {} is approved", digest.id));
                let store = &self.lantern.publication.store;
                assert!(store.move_digest(digest.id, "held", &DigestState::Sending).await.unwrap());
            }
        }
    }

    async fn send_by_hand(&mut self) {
        let name = self.random.pick(&["", "", "odd", "even"]);
        let segment = SegmentName::parse(name).map(|name| Segment {
            title: name.to_string(),
            whom: Whom::Has("number".into(), Test::Is(Words::new([name.as_str()]))),
            name,
        });
        if let Some((digest, true)) = self.lantern.compose_for(segment.as_ref()).await {
            self.note(&format!("an editor sends by hand to {}", if name.is_empty() { "everyone" } else { name }));
            self.composed(&digest).await;
        }
    }

    async fn cancel(&mut self, digest: DigestId) {
        let store = self.lantern.publication.store.clone();
        let Some(left_out) = store.cancel_digest(digest, self.lantern.now()).await.unwrap() else { return };
        self.note(&format!("digest {digest} is cancelled, {left_out} readers left out"));
        // Who has had a later one while this one was being sent does not get its articles any more.
        let overtaken = store.overtaken(digest).await.unwrap();
        let sql = format!(
            "SELECT s.address, a.slug FROM deliveries d JOIN subscribers s ON s.id = d.subscriber \
             JOIN digest_articles f ON f.digest = d.digest AND f.release_number > d.cursor_from \
             JOIN articles a ON a.id = f.article JOIN subscriptions n ON n.subscriber = d.subscriber \
             WHERE d.digest = '{digest}' AND d.outcome = 'cancelled' AND n.cursor > d.cursor_from AND n.state <> 'ended'"
        );
        let lost = self.lantern.rows(&sql).await;
        let whose: BTreeSet<&String> = lost.iter().map(|row| &row[0]).collect();
        assert_eq!(overtaken, whose.len() as u64, "{}", self.log);
        for row in &lost {
            self.overtaken += usize::from(self.readers.get_mut(&row[0]).unwrap().owed.remove(&row[1]));
        }
    }

    async fn step(&mut self) {
        match self.random.below(12) {
            0..=3 => self.edit().await,
            4..=6 => self.choose().await,
            7 => self.steer().await,
            8 => self.dispatch().await,
            9 => self.approve().await,
            _ => {}
        }
        let time = match self.random.below(40) {
            // Nobody looks for a while.
            0 | 1 => TimeDelta::hours(7 + i64::try_from(self.random.below(30)).unwrap()),
            // The clock is put back.
            2 => TimeDelta::hours(-1 - i64::try_from(self.random.below(50)).unwrap()),
            // The clock runs away, and somebody looks before it is put right.
            3 => {
                let now = self.lantern.now();
                self.lantern.set_clock(now + TimeDelta::days(20));
                self.note("looks, the clock being 20 days ahead");
                self.tick().await;
                self.lantern.set_clock(now);
                TimeDelta::minutes(1)
            }
            _ => TimeDelta::minutes(1 + i64::try_from(self.random.below(180)).unwrap()),
        };
        self.lantern.pass(time);
        self.tick().await;
    }

    /// In the end everything that stands goes on, and everybody wants what they have not had, at once.
    async fn end(&mut self) {
        for _ in 0..3 {
            for digest in self.lantern.publication.store.standing(None).await.unwrap() {
                let from = digest.state.parts().0;
                self.lantern.publication.store.move_digest(digest.id, from, &DigestState::Sending).await.unwrap();
            }
            let here: Vec<String> =
                self.readers.iter().filter(|(_, reader)| reader.is_here).map(|(who, _)| who.clone()).collect();
            for address in &here {
                let who = self.lantern.who(address).await;
                self.lantern
                    .publication
                    .store
                    .choose(who, &news(), Cadence::Instant, self.lantern.now())
                    .await
                    .unwrap();
            }
            self.lantern.pass(TimeDelta::minutes(5));
            self.tick().await;
            self.dispatch().await;
        }
    }

    /// How many articles were brought to how many; every fault with what led to it.
    fn judge(&self, seed: u64) -> usize {
        let mut brought = 0;
        for (address, reader) in &self.readers {
            for (slug, times) in &reader.got {
                brought += times;
                assert_eq!(*times, 1, "seed {seed}: {address} got {slug} {times} times\n{}", self.log);
            }
            for slug in &reader.owed {
                let is_public = self.pieces[slug].is_public;
                assert!(
                    !is_public || reader.got.contains_key(slug),
                    "seed {seed}: {address} missed {slug}\n{}",
                    self.log
                );
            }
        }
        brought
    }
}

async fn live(url: &str, keys: &str, seed: u64) {
    const STEPS: usize = 250;
    let mut history = Box::pin(History::begin(url, keys, seed)).await;
    for _ in 0..STEPS {
        Box::pin(history.step()).await;
    }
    Box::pin(history.end()).await;
    let brought = history.judge(seed);
    assert!(history.lantern.now() > at("2026-11-25T00:00:00Z"));
    assert!(brought > 50 && history.digests > 10, "{brought} in {} digests: too quiet", history.digests);
    assert!(history.overtaken * 10 < brought, "{} of {brought} were taken from somebody", history.overtaken);
}

/// One history, or another: `TIDINGS_TEST_SEED=1`.
fn seed() -> u64 {
    std::env::var("TIDINGS_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_124)
}

async fn nobody_gets_an_article_twice_or_misses_one(url: String) {
    live(&url, "", seed()).await;
}

async fn with_a_hold_nobody_does_either(url: String) {
    live(&url, "hold = \"90m\"\nmin_articles = 1", seed() + 1).await;
}

async fn nor_where_an_editor_approves(url: String) {
    live(&url, "approve = true", seed() + 2).await;
}

async fn nor_with_hours_and_days_of_their_own(url: String) {
    live(&url, "choose = [\"hour\", \"day\"]", seed() + 3).await;
}
