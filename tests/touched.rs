//! A sync that is told which files were touched looks at few others, and leaves what a sync of everything leaves.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use support::place::{Place, clock_at};
use tidings::domain::article::ArticleId;
use tidings::task::Publication;
use tidings::task::sync::{SyncReport, sync, sync_after};

/// Enough for several parts of a folder.
const ARTICLES: usize = 600;

fn name(number: u64) -> String {
    format!("article-{:04}.md", number % 2000)
}

fn text(title: &str, slug: Option<&str>) -> String {
    let slug = slug.map(|slug| format!("slug = \"{slug}\"\n")).unwrap_or_default();
    format!("+++\ntitle = \"{title}\"\ndate = 2026-11-20T08:00:00Z\n{slug}+++\nThe lamp of {title} burns.\n")
}

/// Numbers that look like chance, the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What becomes of a folder: `None` takes a file away.
type Step = Vec<(String, Option<String>)>;

/// One step of a history: edits, faults, renames, two who want the same slug, texts that were taken away and come back under
/// another name, all in files that the step names.
fn step(dice: &mut Dice, files: &BTreeMap<String, String>, gone: &[String]) -> Step {
    let any = |dice: &mut Dice| {
        let at = usize::try_from(dice.roll(files.len() as u64)).unwrap();
        files.iter().nth(at).map(|(name, text)| (name.clone(), text.clone())).unwrap()
    };
    (0..=dice.roll(3))
        .flat_map(|_| match dice.roll(9) {
            0 => vec![(any(dice).0, None)],
            1 => {
                let (before, text) = any(dice);
                vec![(before, None), (name(dice.roll(2000)), Some(text))]
            }
            2 => vec![(any(dice).0, Some("+++\ntitle = \n+++\nBroken.\n".to_owned()))],
            3 => vec![(
                any(dice).0,
                Some(text("Twin", Some(["castor", "pollux"][usize::try_from(dice.roll(2)).unwrap()]))),
            )],
            4 if !gone.is_empty() => {
                let at = usize::try_from(dice.roll(gone.len() as u64)).unwrap();
                vec![(name(dice.roll(2000)), Some(gone[at].clone()))]
            }
            4..=6 => {
                let number = dice.roll(2000);
                vec![(name(number), Some(text(&format!("New {number}"), None)))]
            }
            _ => {
                let number = dice.roll(1_000_000);
                vec![(any(dice).0, Some(text(&format!("Edited {number}"), None)))]
            }
        })
        .collect()
}

/// A publication whose articles are known by the order in which they came.
struct House {
    place: Place,
    publication: Publication,
    numbers: HashMap<ArticleId, usize>,
}

impl House {
    async fn new(files: &BTreeMap<String, String>) -> Self {
        let place = Place::new();
        for (name, text) in files {
            place.write(&format!("articles/{name}"), text);
        }
        let publication = place.open(clock_at("2026-11-24T12:00:00Z")).await;
        sync(&publication, &|_, _| {}).await.unwrap();
        Self { place, publication, numbers: HashMap::new() }
    }

    fn take(&self, step: &Step) {
        for (name, text) in step {
            let path = self.place.path().join("articles").join(name);
            match text {
                Some(text) => std::fs::write(path, text).unwrap(),
                // Two steps of one may take the same file away.
                None => drop(std::fs::remove_file(path)),
            }
        }
    }

    /// Every file that the store knows: which article it is, its slug and bytes, whether it is withdrawn; and all complaints.
    async fn state(&mut self) -> (BTreeMap<String, (usize, String, String, bool)>, Vec<String>) {
        let files: BTreeMap<_, _> = self.publication.store.known_files("folder").await.unwrap().into_iter().collect();
        let mut all = BTreeMap::new();
        for (key, file) in files {
            let next = self.numbers.len();
            let number = *self.numbers.entry(file.id).or_insert(next);
            all.insert(key, (number, file.slug, file.content_hash, file.withdrawn));
        }
        let complaints = self.publication.store.complaints("folder").await.unwrap();
        (all, complaints.iter().map(|complaint| format!("{} {:?}", complaint.key, complaint.problems)).collect())
    }
}

fn counts(report: &SyncReport) -> [usize; 5] {
    let released = usize::try_from(report.released).unwrap();
    [report.found, report.new, report.changed, report.withdrawn, released]
}

#[tokio::test]
async fn a_sync_of_what_was_touched_leaves_what_a_sync_of_everything_leaves() {
    for seed in 0..4 {
        let mut dice = Dice(seed);
        let mut files: BTreeMap<String, String> =
            (0..ARTICLES as u64).map(|number| (name(number * 3), text(&format!("Old {number}"), None))).collect();
        let (mut whole, mut told) = (House::new(&files).await, House::new(&files).await);
        assert_eq!(whole.state().await, told.state().await);
        let mut gone = vec![];
        for round in 0..25 {
            let step = step(&mut dice, &files, &gone);
            for (name, text) in &step {
                let before = match text {
                    Some(text) => files.insert(name.clone(), text.clone()),
                    None => files.remove(name),
                };
                gone.extend(before.filter(|_| text.is_none()));
            }
            whole.take(&step);
            told.take(&step);
            let touched: BTreeSet<String> = step.iter().map(|(name, _)| name.clone()).collect();
            let of_all = sync(&whole.publication, &|_, _| {}).await.unwrap();
            let of_some = sync_after(&told.publication, Some(&touched), &|_, _| {}).await.unwrap();
            assert_eq!(counts(&of_all), counts(&of_some), "seed {seed}, round {round}: {step:?}");
            assert_eq!(whole.state().await, told.state().await, "seed {seed}, round {round}: {step:?}");
        }
        // And a look at everything finds nothing that was missed.
        let after = sync(&told.publication, &|_, _| {}).await.unwrap();
        assert!(!after.is_change() && after.found == files.len(), "seed {seed}: {after:?}");
    }
}

#[tokio::test]
async fn what_nobody_spoke_of_is_found_by_the_next_look_at_everything() {
    let files: BTreeMap<String, String> =
        (0..ARTICLES as u64).map(|number| (name(number * 3), text(&format!("Old {number}"), None))).collect();
    let house = House::new(&files).await;
    let (first, last) = (name(0), name(3 * (ARTICLES as u64 - 1)));
    house.take(&vec![
        (first.clone(), Some(text("Edited", None))),
        (name(3), None),
        (last.clone(), Some(text("Edited too", None))),
    ]);
    let touched = [last].into();
    let report = sync_after(&house.publication, Some(&touched), &|_, _| {}).await.unwrap();
    assert_eq!(counts(&report), [ARTICLES - 1, 0, 1, 0, 0], "the others were not looked at");
    let report = sync(&house.publication, &|_, _| {}).await.unwrap();
    assert_eq!(counts(&report), [ARTICLES - 1, 0, 1, 1, 0]);
    // Where a link stands nobody knows what is touched through it.
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(
            house.place.path().join("articles").join(&first),
            house.place.path().join("articles/link.md"),
        )
        .unwrap();
        let report = sync_after(&house.publication, Some(&BTreeSet::new()), &|_, _| {}).await.unwrap();
        assert_eq!(report.found, ARTICLES, "{report:?}");
    }
}
