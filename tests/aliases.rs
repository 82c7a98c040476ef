//! Addresses of before that articles name (`aliases`): `serve` leads on from them, and `publish` writes pages that do.

mod support;

use support::place::{Place, clock_at};
use support::site::Site;

fn article(place: &Place, name: &str, keys: &str) {
    let text = format!("+++\ntitle = \"{name}\"\ndate = 2026-11-20\n{keys}\n+++\nAbout {name}.\n");
    place.write(&format!("articles/{name}.md"), text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_of_before_leads_to_the_article_and_no_page_is_hidden_by_one() {
    let place = Place::new();
    place.write("static/about.html", "<p>About us</p>");
    article(
        &place,
        "spring",
        "aliases = [\"/2020/05/spring/\", \"/old.html\", \"/articles/lenz/\", \"/articles/summer/\", \"/about.html\"]",
    );
    article(&place, "summer", "");
    place.write(
        "articles/jekyll.md",
        "---\ntitle: Jekyll\ndate: 2026-11-20\nredirect_from: /blog/jekyll/\n---\nText.\n",
    );
    let site = Site::serve(place, clock_at("2026-11-27T08:00:00Z")).await;
    for (path, to) in [
        ("/2020/05/spring/", "/articles/spring/"),
        ("/2020/05/spring", "/articles/spring/"),
        ("/old.html", "/articles/spring/"),
        ("/articles/lenz/", "/articles/spring/"),
        ("/blog/jekyll/", "/articles/jekyll/"),
    ] {
        let answer = site.get(path).await;
        assert_eq!((answer.status, answer.header("location")), (301, Some(to)), "{path}");
    }
    assert_eq!(site.get("/articles/summer/").await.status, 200);
    assert!(site.get("/about.html").await.text().contains("About us"));
    assert_eq!(site.get("/2020/05/").await.status, 404);
    // What publish writes leads on without a server of ours.
    for path in ["2020/05/spring/index.html", "old.html", "articles/lenz/index.html", "blog/jekyll/index.html"] {
        let page = site.place.read(&format!("public/{path}"));
        assert!(page.contains("http-equiv=\"refresh\"") || page.contains("/articles/"), "{path}: {page}");
    }
    assert!(site.place.read("public/articles/summer/index.html").contains("About summer"));
    assert!(site.place.read("public/about.html").contains("About us"));

    // Another article takes one over, one is taken back, and the article of the last goes.
    article(&site.place, "spring", "aliases = [\"/old.html\"]");
    site.refresh().await;
    assert_eq!(site.get("/2020/05/spring/").await.status, 404);
    assert!(!site.place.has("public/2020/05/spring/index.html") && site.place.has("public/old.html"));
    site.place.remove("articles/spring.md");
    site.refresh().await;
    assert_eq!(site.get("/old.html").await.status, 410);
    assert!(!site.place.has("public/old.html"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_can_be_no_file_ends_no_publish_and_hides_nothing() {
    let place = Place::new();
    place.write("static/map.html", "<p>Map</p>");
    place.write("static/files/a.txt", "A");
    article(
        &place,
        "spring",
        "aliases = [\"/old.html\", \"/old.html/more/\", \"/map.html/north/\", \"/files/b/\", \"/sections/news/\", \
         \"/sections/other/\", \"/articles/spring/index.html/x\", \"/style.css.gz\"]\nsection = \"news\"",
    );
    let config = place.read("config.toml");
    place.write("config.toml", format!("{config}\n[feeds]\nby = [\"section\"]\n"));
    let site = Site::serve(place, clock_at("2026-11-27T08:00:00Z")).await;
    let has = |path: &str| site.place.has(&format!("public/{path}"));
    for there in ["old.html", "files/b/index.html", "sections/other/index.html", "articles/spring/index.html"] {
        assert!(has(there), "{there}");
    }
    assert!(site.place.read("public/map.html").contains("Map") && site.place.read("public/files/a.txt") == "A");
    let shelf = site.place.read("public/sections/news/index.html");
    assert!(!shelf.contains("http-equiv=\"refresh\"") && shelf.contains("spring"), "{shelf}");
    let style = std::fs::read(site.place.path().join("public/style.css.gz")).unwrap();
    assert!(style.starts_with(&[0x1f, 0x8b]));
    // A folder is to stand where a file was, and a file where a folder was.
    article(&site.place, "spring", "aliases = [\"/old.html/more/\", \"/files/b.c\", \"/x.y/z/\"]");
    site.refresh().await;
    assert!(has("old.html/more/index.html") && has("files/b.c") && has("x.y/z/index.html"));
    article(&site.place, "spring", "aliases = [\"/old.html\", \"/x.y\"]");
    site.refresh().await;
    for path in ["old.html", "x.y"] {
        assert!(site.place.read(&format!("public/{path}")).contains("/articles/spring/"), "{path}");
    }
}

#[test]
fn what_can_be_no_address_is_complained_of_and_the_rest_counts() {
    let place = Place::new();
    article(&place, "spring", "aliases = [\"/../etc\", \"https://other.example/x\", \"/feeds/news/\", \"/fine/\"]");
    let checked = place.run(&["check"]).ended(1);
    let said = checked.out + &checked.err;
    assert_eq!(said.matches("articles/spring.md:4: aliases holds what is no address of before").count(), 3, "{said}");
    assert!(said.contains("write a path such as /old/path/"), "{said}");
}
