//! Articles in the store: what a sync writes, what is released, what is read back. On both engines.

#![expect(clippy::unwrap_used, reason = "clippy allows it in #[test] functions only, not in what they call")]

mod support;

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use support::engines::for_each_engine;
use tidings::domain::article::{Article, ArticleId, Image, Question, Released, Slug, Whereabouts};
use tidings::domain::feed::FeedName;
use tidings::problem::Problem;
use tidings::store::{Complaint, FileRow, Store, StoreError, SyncBatch};

const SOURCE: &str = "folder";
const TAG: &str = "tag:lantern.example,2026-11-20:";

for_each_engine! {
    an_article_comes_back_as_it_was_written,
    texts_that_sql_could_misread_come_back_unharmed,
    a_batch_of_several_statements_is_written_whole,
    a_batch_that_fails_leaves_nothing_behind,
    a_touched_file_keeps_its_article_and_its_revision,
    complaints_replace_those_about_the_same_file,
    a_file_that_two_syncs_found_at_once_has_one_identity,
    releases_are_numbered_in_the_order_of_dates,
    drafts_future_and_withdrawn_articles_are_not_released,
    an_article_is_released_once_whatever_is_edited,
    what_is_withdrawn_and_returns_keeps_its_identity_and_its_release,
    concurrent_releases_give_every_article_a_number_of_its_own,
    a_revision_that_can_be_read_stands_for_changes_that_can_be_read,
    the_next_release_is_that_of_the_earliest_date,
    a_feed_lists_its_newest_articles_first,
    entries_are_made_anew_from_the_selections,
    the_newest_articles_of_the_publication_come_without_bodies,
    an_article_is_found_by_its_slug_only_while_it_is_public,
    neighbours_are_the_nearest_public_articles_by_date,
    changes_are_read_page_by_page,
    a_digest_finds_what_was_released_between_two_numbers,
    mentions_are_found_from_the_other_side,
    what_a_feed_takes_no_more_is_named_until_it_takes_it_again,
    what_is_bound_stays_in_its_volume,
    addresses_of_before_lead_to_the_article,
    a_slug_that_another_source_took_meanwhile_is_refused,
    of_two_syncs_at_once_neither_says_what_the_folder_was_like,
    indexes_that_a_first_sync_goes_without_are_made_whoever_was_killed_before,
}

fn at(minutes: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 20, 6, 0, 0).unwrap() + TimeDelta::minutes(minutes)
}

fn feed(name: &str) -> FeedName {
    FeedName::parse(name).unwrap()
}

fn article(slug: &str, date: DateTime<Utc>) -> Article {
    Article {
        id: ArticleId::new(date),
        key: format!("{slug}.md"),
        slug: Slug::from_text(slug).unwrap(),
        title: format!("About {slug}"),
        label: None,
        place: None,
        section: Some("news".into()),
        language: None,
        date,
        updated: None,
        authors: vec!["Mara Quill".into()],
        tags: vec!["harbour".into()],
        summary: "A summary.".into(),
        summary_given: true,
        html: "<p>A body.</p>".into(),
        image: None,
        enclosure: None,
        featured: false,
        related: vec![],
        faq: vec![],
        original: None,
        draft: false,
        words: 2,
    }
}

fn row(article: Article, feeds: &[&str]) -> FileRow {
    let feeds = feeds.iter().map(|name| feed(name)).collect();
    FileRow { article, archive: false, aliases: vec![], size: 100, modified_ns: 1, content_hash: "hash".into(), feeds }
}

fn complaint(key: &str, whats: &[&str]) -> Complaint {
    let problems = whats.iter().map(|what| Problem::new(key, *what).at(3).hint("mend it")).collect();
    Complaint { key: key.into(), size: 7, modified_ns: 8, problems }
}

async fn write(store: &Store, rows: Vec<FileRow>) {
    store.write_sync(SOURCE, &SyncBatch { rows, ..SyncBatch::default() }).await.unwrap();
}

async fn release(store: &Store, now: DateTime<Utc>) -> u64 {
    store.release_due(SOURCE, TAG, false, now).await.unwrap()
}

/// A store with these articles, all in the feed `news` and dated a minute apart, released.
async fn released(url: &str, slugs: &[&str]) -> (Store, Vec<Article>) {
    let store = Store::open(url).await.unwrap();
    let articles: Vec<Article> = (0..).zip(slugs).map(|(minute, slug)| article(slug, at(minute))).collect();
    write(&store, articles.iter().map(|article| row(article.clone(), &["news"])).collect()).await;
    assert_eq!(release(&store, at(1000)).await, slugs.len() as u64);
    (store, articles)
}

fn slugs(found: &[Released]) -> Vec<&str> {
    found.iter().map(|released| released.article.slug.as_str()).collect()
}

async fn public(store: &Store, slug: &str) -> Released {
    store.by_slug(slug).await.unwrap().unwrap()
}

async fn an_article_comes_back_as_it_was_written(url: String) {
    let store = Store::open(&url).await.unwrap();
    let full = Article {
        label: Some("Breaking news".into()),
        place: Some("Port Example".into()),
        language: Some("pt".into()),
        updated: Some(at(5)),
        image: Some(Image { url: "https://lantern.example/light.jpg".into(), alt: "The light".into(), size: None }),
        featured: true,
        related: vec!["the-keeper".into()],
        faq: vec![Question { question: "Who?".into(), answer_html: "<p>Mara.</p>".into() }],
        words: 1234,
        ..article("full", at(0))
    };
    write(&store, vec![row(full.clone(), &["news"])]).await;
    release(&store, at(1)).await;
    let back = public(&store, "full").await;
    assert_eq!(back.article, full);
    assert_eq!(back.release.entry_id, format!("{TAG}{}", full.id));
    assert_eq!((back.release.number, back.release.at, back.release.archive), (1, at(1), false));
}

async fn texts_that_sql_could_misread_come_back_unharmed(url: String) {
    let store = Store::open(&url).await.unwrap();
    let texts = [
        "'; DROP TABLE articles; --",
        "$1 ? :name %_\\",
        "\"quoted\" 'single' `back`",
        "東京 Ćira 🕯️👩‍👩‍👧 \u{301}",
        "\r\n\t",
        "",
    ];
    let rows = (0..).zip(texts).map(|(n, text)| {
        let title = text.to_owned();
        let tags = vec![title.clone()];
        row(
            Article {
                title: title.clone(),
                summary: title.clone(),
                html: title,
                tags,
                ..article(&format!("a{n}"), at(n))
            },
            &[],
        )
    });
    write(&store, rows.collect()).await;
    release(&store, at(99)).await;
    for (n, text) in texts.iter().enumerate() {
        let back = public(&store, &format!("a{n}")).await.article;
        assert_eq!((back.title.as_str(), back.summary.as_str(), back.html.as_str()), (*text, *text, *text));
        assert_eq!(back.tags, [*text]);
    }
}

async fn a_batch_of_several_statements_is_written_whole(url: String) {
    let store = Store::open(&url).await.unwrap();
    let batch = SyncBatch {
        rows: (0..450).map(|n| row(article(&format!("a{n}"), at(n)), &["news", "all"])).collect(),
        complaints: (0..450).map(|n| complaint(&format!("bad{n}.md"), &["one", "two"])).collect(),
        ..SyncBatch::default()
    };
    store.write_sync(SOURCE, &batch).await.unwrap();
    let known = store.known_files(SOURCE).await.unwrap();
    assert_eq!(known.len(), 450);
    for row in &batch.rows {
        assert_eq!(known[&row.article.key].id, row.article.id);
    }
    let touched = batch.rows.iter().map(|row| (row.article.id, 200, 2)).collect();
    store.write_sync(SOURCE, &SyncBatch { touched, ..SyncBatch::default() }).await.unwrap();
    assert!(store.known_files(SOURCE).await.unwrap().values().all(|file| (file.size, file.modified_ns) == (200, 2)));
    assert_eq!(store.complaints(SOURCE).await.unwrap().len(), 450);
    assert_eq!(release(&store, at(1000)).await, 450);
    assert_eq!(store.newest_of(&feed("all"), 1000).await.unwrap().len(), 450);
    assert_eq!(store.newest_release().await.unwrap(), 450);
}

async fn a_batch_that_fails_leaves_nothing_behind(url: String) {
    let (store, articles) = released(&url, &["first"]).await;
    let revision = store.revision().await.unwrap();
    let edited = Article { title: "Edited".into(), ..articles[0].clone() };
    let batch = SyncBatch {
        rows: vec![row(edited, &["other"]), row(article("second", at(2)), &["news"])],
        touched: vec![(articles[0].id, 999, 999)],
        // Two complaints at one place: the last statement of the batch fails.
        complaints: vec![complaint("bad.md", &["one"]), complaint("bad.md", &["one"])],
        ..SyncBatch::default()
    };
    store.write_sync(SOURCE, &batch).await.unwrap_err();
    assert_eq!(public(&store, "first").await.article, articles[0]);
    assert_eq!(store.known_files(SOURCE).await.unwrap().len(), 1);
    assert_eq!(slugs(&store.newest_of(&feed("news"), 9).await.unwrap()), ["first"]);
    assert!(store.newest_of(&feed("other"), 9).await.unwrap().is_empty());
    assert!(store.complaints(SOURCE).await.unwrap().is_empty());
    assert_eq!(store.revision().await.unwrap(), revision);
}

async fn a_touched_file_keeps_its_article_and_its_revision(url: String) {
    let (store, articles) = released(&url, &["first", "second"]).await;
    let revision = store.revision().await.unwrap();
    let touched = vec![(articles[0].id, 321, -5)];
    store.write_sync(SOURCE, &SyncBatch { touched, ..SyncBatch::default() }).await.unwrap();
    let known = store.known_files(SOURCE).await.unwrap();
    let [first, second] = [&known["first.md"], &known["second.md"]];
    assert_eq!((first.size, first.modified_ns, first.content_hash.as_str()), (321, -5, "hash"));
    assert_eq!((second.size, second.modified_ns), (100, 1));
    assert_eq!(store.revision().await.unwrap(), revision, "nothing that is published has changed");
}

async fn complaints_replace_those_about_the_same_file(url: String) {
    let store = Store::open(&url).await.unwrap();
    let complain =
        async |complaints| store.write_sync(SOURCE, &SyncBatch { complaints, ..SyncBatch::default() }).await.unwrap();
    complain(vec![complaint("a.md", &["one", "two", "three"]), complaint("b.md", &["$1 is not 'a' date"])]).await;
    complain(vec![complaint("a.md", &["four"])]).await;
    let all = store.complaints(SOURCE).await.unwrap();
    let whats: Vec<(&str, Vec<&str>)> =
        all.iter().map(|one| (one.key.as_str(), one.problems.iter().map(|p| p.what.as_str()).collect())).collect();
    assert_eq!(whats, [("a.md", vec!["four"]), ("b.md", vec!["$1 is not 'a' date"])]);
    assert_eq!(all[0].problems[0], Problem::new("a.md", "four").at(3).hint("mend it"));
    assert_eq!((all[0].size, all[0].modified_ns), (7, 8));
    write(&store, vec![row(Article { key: "a.md".into(), ..article("a", at(0)) }, &[])]).await;
    assert_eq!(store.complaints(SOURCE).await.unwrap().len(), 1, "a file that became an article has no complaint left");
    store.withdraw(SOURCE, &[], &["b.md".into()], at(1)).await.unwrap();
    assert!(store.complaints(SOURCE).await.unwrap().is_empty());
    assert!(store.complaints("desk").await.unwrap().is_empty());
}

async fn a_file_that_two_syncs_found_at_once_has_one_identity(url: String) {
    let store = Store::open(&url).await.unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let store = store.clone();
            let rows = (0..20).map(|n| row(article(&format!("a{n}"), at(n)), &["news"])).collect();
            tokio::spawn(async move { write(&store, rows).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(release(&store, at(99)).await, 20);
    assert_eq!(store.newest_of(&feed("news"), 99).await.unwrap().len(), 20);
}

async fn releases_are_numbered_in_the_order_of_dates(url: String) {
    let store = Store::open(&url).await.unwrap();
    write(
        &store,
        vec![row(article("late", at(2)), &[]), row(article("early", at(0)), &[]), row(article("middle", at(1)), &[])],
    )
    .await;
    assert_eq!(store.release_due(SOURCE, TAG, true, at(10)).await.unwrap(), 3);
    for (slug, number) in [("early", 1), ("middle", 2), ("late", 3)] {
        let release = public(&store, slug).await.release;
        assert_eq!((release.number, release.archive), (number, true));
    }
    write(&store, vec![row(article("backdated", at(-9999)), &[])]).await;
    assert_eq!(release(&store, at(11)).await, 1);
    let backdated = public(&store, "backdated").await.release;
    assert_eq!((backdated.number, backdated.archive, backdated.at), (4, false, at(11)));
    assert_eq!(release(&store, at(12)).await, 0);
    assert_eq!(store.newest_release().await.unwrap(), 4);
}

async fn drafts_future_and_withdrawn_articles_are_not_released(url: String) {
    let store = Store::open(&url).await.unwrap();
    let (draft, future, gone) = (article("draft", at(0)), article("future", at(60)), article("gone", at(0)));
    let draft = Article { draft: true, ..draft };
    write(&store, vec![row(draft.clone(), &[]), row(future, &["news"]), row(gone.clone(), &["news"])]).await;
    store.withdraw(SOURCE, &[gone.id], &[], at(1)).await.unwrap();
    assert_eq!(release(&store, at(2)).await, 0);
    assert_eq!(store.article_counts().await.unwrap(), (0, 1, 1));
    assert!(store.newest_of(&feed("news"), 9).await.unwrap().is_empty(), "an entry alone makes nothing public");
    assert_eq!(release(&store, at(60)).await, 1, "its minute has come");
    write(&store, vec![row(Article { draft: false, ..draft }, &[])]).await;
    assert_eq!(release(&store, at(61)).await, 1);
    assert_eq!(public(&store, "draft").await.release.number, 2);
    assert_eq!(store.release_due("desk", TAG, false, at(99)).await.unwrap(), 0);
}

async fn an_article_is_released_once_whatever_is_edited(url: String) {
    let (store, articles) = released(&url, &["first", "second"]).await;
    let before = public(&store, "first").await.release;
    let edited = Article {
        title: "Edited".into(),
        date: at(500),
        slug: Slug::from_text("renamed").unwrap(),
        ..articles[0].clone()
    };
    write(&store, vec![row(edited.clone(), &["news"])]).await;
    assert_eq!(release(&store, at(2000)).await, 0);
    assert_eq!(public(&store, "renamed").await, Released { article: edited.clone(), release: before.clone() });
    // A draft again, then public again.
    write(&store, vec![row(Article { draft: true, ..edited.clone() }, &[])]).await;
    assert_eq!(store.by_slug("renamed").await.unwrap(), None);
    write(&store, vec![row(edited, &["news"])]).await;
    assert_eq!(release(&store, at(2001)).await, 0);
    assert_eq!(public(&store, "renamed").await.release, before);
}

async fn what_is_withdrawn_and_returns_keeps_its_identity_and_its_release(url: String) {
    let (store, articles) = released(&url, &["first", "second"]).await;
    let before = public(&store, "first").await;
    store.withdraw(SOURCE, &[articles[0].id], &[], at(1001)).await.unwrap();
    let known = &store.known_files(SOURCE).await.unwrap()["first.md"];
    assert!(known.withdrawn && known.id == articles[0].id);
    assert_eq!(slugs(&store.newest_of(&feed("news"), 9).await.unwrap()), ["second"]);
    store.withdraw(SOURCE, &[articles[0].id], &[], at(1002)).await.unwrap();
    // It comes back as a file that nobody has seen before; its key is what it is known by.
    let returned = Article { id: ArticleId::new(at(1003)), ..articles[0].clone() };
    write(&store, vec![row(returned, &["news"])]).await;
    assert_eq!(release(&store, at(1004)).await, 0);
    assert_eq!(public(&store, "first").await, before);
    assert_eq!(slugs(&store.newest_of(&feed("news"), 9).await.unwrap()), ["second", "first"]);
}

async fn concurrent_releases_give_every_article_a_number_of_its_own(url: String) {
    let store = Store::open(&url).await.unwrap();
    write(&store, (0..100).map(|n| row(article(&format!("a{n}"), at(n)), &["news"])).collect()).await;
    // Some see all of them due and some only half, all at once.
    let tasks: Vec<_> = (0..6)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { release(&store, if n % 2 == 0 { at(49) } else { at(99) }).await })
        })
        .collect();
    let mut count = 0;
    for task in tasks {
        count += task.await.unwrap();
    }
    assert_eq!(count, 100);
    let numbers: HashSet<i64> =
        store.newest_of(&feed("news"), 200).await.unwrap().iter().map(|one| one.release.number).collect();
    assert_eq!(numbers, (1..=100).collect());
    assert_eq!(store.newest_release().await.unwrap(), 100);
}

async fn a_revision_that_can_be_read_stands_for_changes_that_can_be_read(url: String) {
    let store = Store::open(&url).await.unwrap();
    let writer = store.clone();
    let writing = tokio::spawn(async move {
        for n in 0..30 {
            write(&writer, vec![row(article(&format!("a{n}"), at(n)), &["news"])]).await;
            release(&writer, at(999)).await;
        }
    });
    // What a publisher does: the revision first, then what changed up to there; nothing may be missed between the two.
    let (mut since, mut seen) = (0, HashSet::new());
    loop {
        let is_done = writing.is_finished();
        let revision = store.revision().await.unwrap();
        for one in store.changed_since(since, None, 1000).await.unwrap() {
            seen.insert(one.article.slug.as_str().to_owned());
        }
        since = revision;
        if is_done {
            break;
        }
    }
    writing.await.unwrap();
    assert_eq!(seen.len(), 30);
}

async fn the_next_release_is_that_of_the_earliest_date(url: String) {
    let (store, _) = released(&url, &["first"]).await;
    assert_eq!(store.next_due_release(SOURCE).await.unwrap(), None);
    let draft = Article { draft: true, ..article("draft", at(1001)) };
    write(&store, vec![row(article("b", at(3000)), &[]), row(article("a", at(2000)), &[]), row(draft, &[])]).await;
    assert_eq!(store.next_due_release(SOURCE).await.unwrap(), Some(at(2000)));
    release(&store, at(2000)).await;
    assert_eq!(store.next_due_release(SOURCE).await.unwrap(), Some(at(3000)));
}

async fn a_feed_lists_its_newest_articles_first(url: String) {
    let (store, articles) = released(&url, &["a", "b", "c", "d"]).await;
    // Two of one instant: the order of their ids decides, the same on every page.
    let (mut twins, date) = (vec![article("e", at(7)), article("f", at(7))], at(7));
    twins.sort_by_key(|twin| std::cmp::Reverse(twin.id));
    write(&store, twins.iter().map(|twin| row(twin.clone(), &["news", "other"])).collect()).await;
    write(
        &store,
        vec![row(Article { date: at(9), ..articles[1].clone() }, &["news"]), row(articles[3].clone(), &["other"])],
    )
    .await;
    release(&store, date).await;
    let twins: Vec<&str> = twins.iter().map(|twin| twin.slug.as_str()).collect();
    assert_eq!(slugs(&store.newest_of(&feed("news"), 9).await.unwrap()), [&["b"], &twins[..], &["c", "a"]].concat());
    assert_eq!(slugs(&store.newest_of(&feed("other"), 9).await.unwrap()), [&twins[..], &["d"]].concat());
    assert_eq!(slugs(&store.newest_of(&feed("news"), 2).await.unwrap()), ["b", twins[0]]);
    assert!(store.newest_of(&feed("none"), 9).await.unwrap().is_empty());
    assert!(store.newest_of(&feed("news"), 1).await.unwrap()[0].article.html.contains("body"));
}

async fn entries_are_made_anew_from_the_selections(url: String) {
    let (store, articles) = released(&url, &["a", "b", "c"]).await;
    store.withdraw(SOURCE, &[articles[2].id], &[], at(1001)).await.unwrap();
    let revision = store.revision().await.unwrap();
    let select = |article: &Article| {
        if article.slug.as_str() == "a" { vec![feed("one"), feed("two")] } else { vec![feed("two")] }
    };
    let (first, second) = tokio::join!(store.rebuild_entries(&select, at(9)), store.rebuild_entries(&select, at(9)));
    first.and(second).unwrap();
    assert!(store.newest_of(&feed("news"), 9).await.unwrap().is_empty());
    assert_eq!(slugs(&store.newest_of(&feed("one"), 9).await.unwrap()), ["a"]);
    assert_eq!(slugs(&store.newest_of(&feed("two"), 9).await.unwrap()), ["b", "a"]);
    assert!(store.revision().await.unwrap() > revision, "feeds have to be written anew");
}

async fn the_newest_articles_of_the_publication_come_without_bodies(url: String) {
    let (store, articles) = released(&url, &["a", "b", "c"]).await;
    write(
        &store,
        vec![row(Article { featured: true, ..articles[0].clone() }, &[]), row(article("future", at(5000)), &[])],
    )
    .await;
    let newest = store.newest(false, 2).await.unwrap();
    assert_eq!(slugs(&newest), ["c", "b"]);
    assert_eq!(newest[0].article.html, "");
    assert_eq!(slugs(&store.newest(true, 9).await.unwrap()), ["a"]);
    let titles: Vec<String> = store.titles_by_date().await.unwrap().into_iter().map(|(_, slug, _)| slug).collect();
    assert_eq!(titles, ["a", "b", "c"]);
    assert_eq!(store.article_counts().await.unwrap(), (3, 0, 1));
}

async fn an_article_is_found_by_its_slug_only_while_it_is_public(url: String) {
    let (store, articles) = released(&url, &["a", "b", "c"]).await;
    write(&store, vec![row(article("future", at(5000)), &[])]).await;
    store.withdraw(SOURCE, &[articles[1].id], &[], at(1001)).await.unwrap();
    let asked = ["a", "b", "c", "future", "'; --"];
    for (slug, is_public) in asked.iter().zip([true, false, true, false, false]) {
        assert_eq!(store.by_slug(slug).await.unwrap().is_some(), is_public, "{slug}");
    }
    let found = store.by_slugs(&asked).await.unwrap();
    assert_eq!(found.keys().map(String::as_str).collect::<HashSet<_>>(), HashSet::from(["a", "c"]));
    assert_eq!(found["a"].article.html, "");
    let whole = store.by_slugs_whole(&asked).await.unwrap();
    assert!(whole.len() == 2 && whole.iter().all(|one| !one.article.html.is_empty()));
    assert!(store.by_slugs(&[]).await.unwrap().is_empty() && store.by_slugs_whole(&[]).await.unwrap().is_empty());
}

async fn neighbours_are_the_nearest_public_articles_by_date(url: String) {
    let (store, articles) = released(&url, &["a", "b", "c", "d"]).await;
    store.withdraw(SOURCE, &[articles[1].id], &[], at(1001)).await.unwrap();
    let mut twin = article("twin", at(2));
    while twin.id < articles[2].id {
        twin.id = ArticleId::new(at(2));
    }
    write(&store, vec![row(twin, &[])]).await;
    release(&store, at(1002)).await;
    for (slug, before, after) in [
        ("a", None, Some("c")),
        ("c", Some("a"), Some("twin")),
        ("twin", Some("c"), Some("d")),
        ("d", Some("twin"), None),
    ] {
        let (earlier, later) = store.neighbours(&public(&store, slug).await.article).await.unwrap();
        let slug_of = |one: &Option<Released>| one.as_ref().map(|one| one.article.slug.as_str().to_owned());
        assert_eq!((slug_of(&earlier).as_deref(), slug_of(&later).as_deref()), (before, after), "{slug}");
    }
}

async fn changes_are_read_page_by_page(url: String) {
    let (store, articles) = released(&url, &["a", "b", "c", "d", "e"]).await;
    let revision = store.revision().await.unwrap();
    write(&store, [1, 2, 4].iter().map(|n| row(articles[*n].clone(), &["news"])).collect()).await;
    store.withdraw(SOURCE, &[articles[2].id], &[], at(1001)).await.unwrap();
    for (since, expected) in [(-1, vec!["a", "b", "d", "e"]), (0, vec!["a", "b", "d", "e"]), (revision, vec!["b", "e"])]
    {
        let (mut after, mut all) = (None, vec![]);
        loop {
            let page = store.changed_since(since, after, 1).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.article.id);
            all.extend(slugs(&page).into_iter().map(str::to_owned));
        }
        assert_eq!(all, expected, "since {since}");
    }
    let now = store.revision().await.unwrap();
    assert!(store.changed_since(now, None, 9).await.unwrap().is_empty());
}

async fn a_digest_finds_what_was_released_between_two_numbers(url: String) {
    let store = Store::open(&url).await.unwrap();
    write(&store, vec![row(article("old", at(0)), &["news"])]).await;
    store.release_due(SOURCE, TAG, true, at(1)).await.unwrap();
    for (n, slug) in (2..).zip(["b", "a", "other", "gone", "c"]) {
        let feeds = if slug == "other" { ["sport"] } else { ["news"] };
        // Dates fall while numbers grow: the number decides.
        write(&store, vec![row(article(slug, at(-n)), &feeds)]).await;
        release(&store, at(n)).await;
    }
    let gone = public(&store, "gone").await.article.id;
    store.withdraw(SOURCE, &[gone], &[], at(50)).await.unwrap();
    let news = feed("news");
    assert_eq!(slugs(&store.released_between(&news, -1, 99).await.unwrap()), ["b", "a", "c"]);
    assert_eq!(slugs(&store.released_between(&news, 2, 6).await.unwrap()), ["a", "c"]);
    assert_eq!(slugs(&store.released_between(&news, 2, 5).await.unwrap()), ["a"]);
    assert!(store.released_between(&news, 6, 6).await.unwrap().is_empty());
}

async fn mentions_are_found_from_the_other_side(url: String) {
    let (store, articles) = released(&url, &["a", "b", "c", "d"]).await;
    let name = |n: usize, related: &[&str]| {
        let related = related.iter().map(|slug| (*slug).to_owned()).collect();
        row(Article { related, ..articles[n].clone() }, &["news"])
    };
    let tagged = Article { tags: vec!["d".into()], authors: vec!["d".into()], ..articles[3].clone() };
    write(&store, vec![name(0, &["d", "d", "nowhere"]), name(1, &["d"]), name(2, &["d"]), row(tagged, &["news"])])
        .await;
    assert_eq!(store.slugs_that_name("d").await.unwrap(), ["a", "b", "c"], "a tag of the same word is no mention");
    write(&store, vec![name(0, &["c"])]).await;
    store.withdraw(SOURCE, &[articles[1].id], &[], at(1001)).await.unwrap();
    assert_eq!(store.slugs_that_name("d").await.unwrap(), ["c"]);
    assert_eq!(store.slugs_that_name("c").await.unwrap(), ["a"]);
    assert!(store.slugs_that_name("%").await.unwrap().is_empty());
}

async fn what_a_feed_takes_no_more_is_named_until_it_takes_it_again(url: String) {
    let (store, articles) = released(&url, &["first", "second"]).await;
    let take = async |only: &str, minute| {
        let takes = |article: &Article| article.slug.as_str().contains(only);
        let feeds = |article: &Article| if takes(article) { vec![feed("news")] } else { vec![] };
        store.rebuild_entries(&feeds, at(minute)).await.unwrap();
        let live = store.live(&feed("news"), 9).await.unwrap();
        let deleted: Vec<(String, DateTime<Utc>)> = live.deleted.into_iter().map(|gone| (gone.id, gone.at)).collect();
        (slugs(&live.articles).into_iter().map(str::to_owned).collect::<Vec<_>>(), deleted)
    };
    let gone = |minute| vec![(format!("{TAG}{}", articles[0].id), at(minute))];
    assert_eq!(take("second", 2000).await, (vec!["second".to_owned()], gone(2000)));
    assert_eq!(take("second", 2001).await, (vec!["second".to_owned()], gone(2000)), "it went once");
    assert_eq!(take("s", 2002).await, (vec!["second".to_owned(), "first".to_owned()], vec![]));
}

async fn what_is_bound_stays_in_its_volume(url: String) {
    let names: Vec<String> = (1..=10).map(|number| format!("a{number}")).collect();
    let (store, articles) = released(&url, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let news = feed("news");
    // Of six that may be loose, volumes are of three.
    assert_eq!(store.bind(&news, 6).await.unwrap(), 2);
    assert_eq!(store.bind(&news, 6).await.unwrap(), 0);
    let of = async |number| {
        let volume = store.volumes(&news, number, number).await.unwrap().pop().unwrap();
        (slugs(&volume.articles).into_iter().map(str::to_owned).collect::<Vec<_>>(), volume.deleted.len())
    };
    assert_eq!(of(1).await.0, ["a3", "a2", "a1"]);
    assert_eq!(of(2).await.0, ["a6", "a5", "a4"]);
    let live = store.live(&news, 6).await.unwrap();
    assert_eq!((slugs(&live.articles), live.before), (vec!["a10", "a9", "a8", "a7"], Some(2)));

    // Withdrawn, and dated anew.
    store.withdraw(SOURCE, &[articles[1].id], &[], at(2000)).await.unwrap();
    let dated = Article { date: at(500), ..articles[0].clone() };
    write(&store, vec![row(dated, &["news"])]).await;
    assert_eq!(of(1).await, (vec!["a1".to_owned(), "a3".to_owned()], 1));
    assert_eq!(store.volumes_changed_since(&news, 0).await.unwrap(), [1, 2]);
    let revision = store.revision().await.unwrap();
    write(&store, vec![row(articles[1].clone(), &["news"])]).await;
    assert_eq!(of(1).await, (vec!["a1".to_owned(), "a3".to_owned(), "a2".to_owned()], 0));
    assert_eq!(store.volumes_changed_since(&news, revision).await.unwrap(), [1]);
    // Less room: what is loose goes into volumes of its own, and none there is altered.
    assert_eq!(store.bind(&news, 2).await.unwrap(), 2);
    assert_eq!(
        (of(1).await.0.len(), of(2).await.0.len(), of(3).await.0, store.last_volume(&news).await.unwrap()),
        (3, 3, vec!["a7".to_owned()], 4)
    );
    // More room: it takes in what fits.
    let live = store.live(&news, 5).await.unwrap();
    assert_eq!((live.articles.len(), live.before), (4, Some(2)));
    assert_eq!(store.live(&news, 100).await.unwrap().articles.len(), 10);
}

async fn addresses_of_before_lead_to_the_article(url: String) {
    let (store, articles) = released(&url, &["first", "second"]).await;
    let slug = async |slug: &str| {
        write(&store, vec![row(Article { slug: Slug::from_text(slug).unwrap(), ..articles[0].clone() }, &[])]).await;
    };
    slug("then").await;
    slug("now").await;
    assert_eq!(store.whereabouts("first").await.unwrap(), Whereabouts::Moved("now".into()));
    assert_eq!(store.whereabouts("then").await.unwrap(), Whereabouts::Moved("now".into()));
    assert_eq!(store.whereabouts("never").await.unwrap(), Whereabouts::Unknown);
    let pairs = |olds: &[&str]| olds.iter().map(|old| ((*old).to_owned(), "now".to_owned())).collect::<Vec<_>>();
    assert_eq!(store.moved().await.unwrap(), pairs(&["first", "then"]));
    assert_eq!(store.by_slugs(&["then", "second"]).await.unwrap()["then"].article.slug.as_str(), "now");

    // A draft that waits with an old slug changes nothing until it is public.
    write(&store, vec![row(Article { draft: true, ..article("then", at(3)) }, &[])]).await;
    assert_eq!(store.whereabouts("then").await.unwrap(), Whereabouts::Moved("now".into()));
    write(&store, vec![row(article("then", at(3)), &[])]).await;
    release(&store, at(1000)).await;
    assert_eq!(store.moved().await.unwrap(), pairs(&["first"]));
    store.withdraw(SOURCE, &[articles[0].id], &[], at(2000)).await.unwrap();
    assert_eq!(store.whereabouts("first").await.unwrap(), Whereabouts::Gone);
    assert_eq!(store.whereabouts("now").await.unwrap(), Whereabouts::Gone);
    assert!(store.moved().await.unwrap().is_empty());
}

async fn a_slug_that_another_source_took_meanwhile_is_refused(url: String) {
    let store = Store::open(&url).await.unwrap();
    let batch = |rows| SyncBatch { rows, found_at: at(0), ..SyncBatch::default() };
    let taken = |written: Result<(), StoreError>| match written {
        Err(StoreError::SlugsTaken(slugs)) => slugs,
        other => panic!("{other:?}"),
    };
    store.write_sync("feed:one", &batch(vec![row(article("spring", at(0)), &[])])).await.unwrap();
    let both = || batch(vec![row(article("spring", at(1)), &[]), row(article("summer", at(1)), &[])]);
    assert_eq!(taken(store.write_sync("feed:two", &both()).await), ["spring"]);
    assert_eq!(taken(store.write_sync(SOURCE, &both()).await), ["spring"]);
    assert!(store.known_files("feed:two").await.unwrap().is_empty(), "nothing of it is written");
    // Its own is nobody else's, and what is withdrawn leaves its slug to others.
    store.write_sync("feed:one", &batch(vec![row(article("spring", at(2)), &[])])).await.unwrap();
    let known = store.known_files("feed:one").await.unwrap()["spring.md"].id;
    store.withdraw("feed:one", &[known], &[], at(3)).await.unwrap();
    store.write_sync("feed:two", &both()).await.unwrap();
    // At once, on whichever engine: one of them has it.
    let (here, there) =
        (batch(vec![row(article("autumn", at(4)), &[])]), batch(vec![row(article("autumn", at(4)), &[])]));
    let (here, there) = tokio::join!(store.write_sync("feed:one", &here), store.write_sync("feed:two", &there));
    assert_eq!(usize::from(here.is_ok()) + usize::from(there.is_ok()), 1);
}

async fn of_two_syncs_at_once_neither_says_what_the_folder_was_like(url: String) {
    let store = Store::open(&url).await.unwrap();
    let now = at(0);
    let finish = async |left: Option<&str>, now_like: &str| {
        store.finish_sync(SOURCE, left, now_like, now).await.unwrap();
        store.source_fingerprint(SOURCE).await.unwrap().unwrap()
    };
    assert_eq!(finish(None, "empty").await, "empty");
    store.begin_sync(SOURCE, "one under way").await.unwrap();
    assert_eq!(finish(Some("one under way"), "one").await, "one");
    store.begin_sync(SOURCE, "two under way").await.unwrap();
    store.begin_sync(SOURCE, "three under way").await.unwrap();
    assert_eq!(finish(Some("two under way"), "two").await, "", "the third may have read other bytes");
    assert_eq!(finish(Some("three under way"), "three").await, "", "the second may have written other bytes");
    assert_eq!(finish(Some(""), "four").await, "four");
}

/// Every index of a database, as it is defined.
async fn indexes(url: &str) -> BTreeSet<Vec<String>> {
    let sql = if url.starts_with("sqlite") {
        "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    } else {
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"
    };
    support::publication::rows(url, sql).await.into_iter().collect()
}

async fn indexes_that_a_first_sync_goes_without_are_made_whoever_was_killed_before(url: String) {
    let store = Store::open(&url).await.unwrap();
    let all = indexes(&url).await;
    // Where others may be at work already, nothing is taken away.
    let is_alone = url.starts_with("sqlite");
    assert_eq!(store.drop_orderings().await.unwrap(), is_alone);
    assert_eq!(indexes(&url).await.len(), all.len() - if is_alone { 7 } else { 0 });
    write(&store, vec![row(article("first", at(0)), &["news"])]).await;
    // Here it is killed. The next one finds articles, and goes without none.
    let store = Store::open(&url).await.unwrap();
    assert!(!store.drop_orderings().await.unwrap());
    store.make_orderings().await.unwrap();
    assert_eq!(indexes(&url).await, all);
    write(&store, vec![row(article("second", at(1)), &["news"])]).await;
    release(&store, at(2)).await;
    assert_eq!(slugs(&store.newest_of(&feed("news"), 9).await.unwrap()), ["second", "first"]);
    store.make_orderings().await.unwrap();
    assert_eq!(indexes(&url).await, all);
}
