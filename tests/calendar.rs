//! The slots to come, and what another configuration would make of them.
#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use chrono::TimeDelta;
use support::place::Place;
use support::publication::{Lantern, NEWS, Setup, at, news};
use tidings::domain::newsletter::Cadence;
use tidings::task::calendar::{Calendar, Definitions, Difference, coming, difference};

support::engines::for_each_engine! {
    each_slot_to_come_has_its_readers_by_zone,
    another_definition_is_told_apart_from_the_one_in_force,
}

async fn week(lantern: &Lantern) -> Calendar {
    let definitions = Definitions::of(&lantern.publication);
    coming(&lantern.publication, &definitions, Some(&news()), TimeDelta::weeks(1)).await.unwrap()
}

async fn each_slot_to_come_has_its_readers_by_zone(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    lantern.readers(3).await;
    lantern.reader("mads@reader.example", Cadence::Daily, Some("Europe/London")).await;
    lantern.reader("kenji@reader.example", Cadence::Weekly, Some("Asia/Tokyo")).await;
    lantern.reader("ann@reader.example", Cadence::Instant, None).await;
    let calendar = week(&lantern).await;
    assert_eq!(calendar.slots.len(), 8, "seven days and a Monday: {calendar:#?}");
    let first = &calendar.slots[0];
    assert_eq!((first.slot, first.cadence), (at("2026-11-25T07:00:00Z"), Cadence::Daily));
    assert_eq!(first.readers, [("Europe/Lisbon".to_owned(), 3), ("Europe/London".to_owned(), 1)].into());
    let weekly = calendar.slots.iter().find(|coming| coming.cadence == Cadence::Weekly).unwrap();
    assert_eq!(weekly.slot, at("2026-11-29T22:00:00Z"), "Monday in Tokyo");
    let instant = &calendar.slotless[0];
    assert_eq!((instant.cadence, instant.readers, instant.is_offered), (Cadence::Instant, 1, true));
}

async fn another_definition_is_told_apart_from_the_one_in_force(url: String) {
    let lantern = Lantern::open(&url, Setup::default()).await;
    lantern.readers(3).await;
    lantern.reader("ben@reader.example", Cadence::Monthly, None).await;
    let week = TimeDelta::weeks(1);
    let other = lantern.folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let file = other.join("news.toml");
    let then = |text: &str| {
        std::fs::write(&file, text).unwrap();
        [&other, &file].map(|path| Definitions::at(&lantern.publication, path, []))
    };
    for same in then(NEWS) {
        let difference = difference(&lantern.publication, &same.unwrap(), None, week).await.unwrap();
        assert_eq!(difference, Difference::default());
    }
    let changed = NEWS
        .replace("{ at = \"07:00\" }", "{ cron = \"0 6 * * mon-fri\" }")
        .replace("cadences.monthly = { day = 1, at = \"07:00\" }\n", "hold = \"15m\"\n");
    for other in then(&changed) {
        let difference = difference(&lantern.publication, &other.unwrap(), None, week).await.unwrap();
        let keys: Vec<_> = difference.settings.iter().map(|change| change.key.as_str()).collect();
        assert_eq!(keys, ["cadences.daily", "cadences.monthly", "hold"]);
        assert_eq!(difference.settings[0].before.as_deref(), Some("each day at 07:00, on the reader's clock"));
        assert_eq!(difference.settings[0].after.as_deref(), Some("cron 0 6 * * mon-fri, on the reader's clock"));
        // Seven days and the first of December are gone, five days are new.
        assert_eq!((difference.gone.len(), difference.new.len()), (8, 5), "{difference:#?}");
        assert_eq!(difference.new[0].slot, at("2026-11-25T06:00:00Z"));
        let left = &difference.left_without[0];
        assert_eq!((left.cadence, left.readers, left.is_offered), (Cadence::Monthly, 1, false));
    }
    for other in then("title = \"News\"\n[newsletter]\ncadences.daily = { cron = \"0 0 30 2 *\" }\n") {
        assert!(other.unwrap_err()[0].to_string().contains("news.toml:3: cron"));
    }
}

#[test]
fn the_schedule_is_shown_and_its_json_is_json() {
    let place = Place::new();
    place.run(&["subscribers", "add", "ann@reader.example", "--time-zone", "Asia/Tokyo"]).ended(0);
    let shown = place.run(&["schedule", "--weeks", "2"]).ended(0).out;
    assert_eq!(shown.lines().filter(|line| line.contains("Asia/Tokyo 1")).count(), 14, "{shown}");
    let json = place.run(&["schedule", "news", "--weeks", "2", "--json"]).ended(0).json();
    assert_eq!(json["slots"].as_array().unwrap().len(), 14);
    assert_eq!(json["slots"][0]["readers"]["Asia/Tokyo"], 1);
    place.write(
        "then/news.toml",
        "title = \"News\"\n[newsletter]\ncadences.weekly = { on = \"monday\", at = \"07:00\" }\n",
    );
    let told = place.run(&["schedule", "--diff", "then"]).ended(0).out;
    assert!(told.contains("news cadences.daily: each day at 07:00, on the reader's clock becomes nothing"), "{told}");
    assert!(told.contains("news daily: not on offer; 1 reader get"), "{told}");
    assert_eq!(told.lines().filter(|line| line.starts_with("-  ")).count(), 7, "{told}");
    let json = place.run(&["schedule", "--diff", "then/news.toml", "--json"]).ended(0).json();
    assert_eq!(json["gone"].as_array().unwrap().len(), 7);
    place.run(&["schedule", "nws"]).ended(1);
    place.write("then/news.toml", "title = 1\n");
    place.run(&["schedule", "--diff", "then"]).ended(1);
}
