"""The whole life of a reader in Chromium, against a server that runs: life.py BASE OUTBOX PUBLIC PICTURES

Every page on the way is looked at by axe-core, and a picture of it goes into PICTURES: desktop and phone, light and dark,
left to right and right to left.
"""

import email
import email.policy
import json
import pathlib
import re
import sys
import time

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

BASE, (OUTBOX, PUBLIC, PICTURES) = sys.argv[1], map(pathlib.Path, sys.argv[2:5])
PICTURES.mkdir(parents=True, exist_ok=True)
AXE = Axe()
faults = []


def letter(to, seen):
    """The next message to an address, by its text; the server writes it when it likes."""
    for _ in range(600):
        for path in sorted(OUTBOX.glob("**/*.eml")):
            message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            if path not in seen and to in str(message["To"]):
                seen.add(path)
                return message, message.get_body(("plain",)).get_content()
        time.sleep(0.05)
    raise AssertionError(f"no message to {to}")


def links(text, word):
    return re.findall(rf"{BASE}/{word}/\S+", text)


def looked_at(page, name):
    """What axe finds, and a picture for people."""
    for violation in AXE.run(page).response["violations"]:
        where = [node["target"] for node in violation["nodes"]]
        faults.append(f"{name}: {violation['id']}: {violation['help']}: {where}")
    width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if width > 0:
        faults.append(f"{name}: wider than its window by {width} pixels")
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


def life(browser, scripted, address):
    """Sign up, confirm, choose, pause, leave, come back, take the feed, download, erase."""
    context = browser.new_context(
        java_script_enabled=scripted, timezone_id="America/New_York", locale="en-GB", bypass_csp=True, accept_downloads=True
    )
    page, seen = context.new_page(), set()

    def look(name):
        # axe is a script: where the reader has none, it was looked at with one.
        if scripted:
            looked_at(page, name)
        else:
            page.screenshot(path=PICTURES / f"plain-{name}.png", full_page=True)

    page.goto(f"{BASE}/subscribe")
    look("subscribe")
    page.get_by_label("E-mail address").fill(address)
    page.get_by_label("Your name").fill("Ann Reader")
    page.locator("#signup-feed-news").check()
    if scripted:
        assert page.locator("#signup-zone").input_value() == "America/New_York", "the zone is guessed"
    page.get_by_role("button", name="Subscribe").click()
    if not scripted:
        time.sleep(2.1)  # a pass is good after two seconds of rest: this is what the server is asked about
        page.get_by_role("button", name="Yes, send me the message").click()
    page.get_by_text("a message is on its way there").first.wait_for()
    look("check-your-mail")

    _, text = letter(address, seen)
    page.goto(links(text, "confirm")[0])
    look("confirm")
    page.get_by_role("button", name="Yes, subscribe me").click()
    page.get_by_role("heading", name="You are subscribed").wait_for()
    look("subscribed")
    page.get_by_role("link", name="Choose what comes, and how often").click()
    preferences = page.url
    look("preferences")

    message, text = letter(address, seen)
    assert "Welcome" in message["Subject"], message["Subject"]

    page.locator("#pref-cadence-news").select_option("weekly")
    page.locator("#pref-zone").fill("Europe/Lisbon")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("status").get_by_text("Saved").wait_for()
    page.goto(preferences)
    assert page.locator("#pref-cadence-news").input_value() == "weekly"
    assert page.locator("#pref-zone").input_value() == "Europe/Lisbon"

    page.locator("#pref-pause").fill(page.locator("#pref-pause").get_attribute("min"))
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Your mail rests until").wait_for()
    look("paused")
    page.get_by_role("button", name="Begin again now").click()
    page.get_by_role("status").get_by_text("Your mail comes again").wait_for()

    # By header (RFC 8058), as a mail program does it, and back again by the link of the page.
    leave = re.search(r"<(http[^>]*)>", message["List-Unsubscribe"]).group(1)
    answer = context.request.post(leave, form={"List-Unsubscribe": "One-Click"})
    assert answer.status == 200, answer.status
    page.goto(preferences)
    assert not page.locator("#pref-feed-news").is_checked(), "it has ended before the answer came"
    page.locator("#pref-feed-news").check()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("status").get_by_text("Saved").wait_for()
    page.goto(leave)
    look("leave")
    page.get_by_role("button", name="Unsubscribe").first.click()
    page.get_by_role("heading", name="You have left").wait_for()
    look("left")
    page.get_by_role("button", name="I did not mean to").click()
    page.get_by_text("as if nothing had happened").wait_for()

    page.goto(preferences)
    assert page.locator("#pref-feed-news").is_checked()
    for summary in page.locator("details > summary").all():
        summary.click()
    look("all-choices")
    own = page.locator(".own-feed a").first.get_attribute("href")
    assert context.request.get(own).status == 200
    with page.expect_download() as download:
        page.get_by_role("link", name="Download my data").click()
    held = json.loads(pathlib.Path(download.value.path()).read_text())
    assert held["address"] == address and held["subscriptions"] and held["consents"], held
    page.goto(preferences)
    page.locator("details > summary").last.click()
    page.get_by_role("link", name="Erase me").click()
    look("erase")
    page.get_by_role("button", name="Erase me").click()
    page.get_by_role("heading", name="You are forgotten").wait_for()
    look("erased")
    assert context.request.get(own).status == 410
    page.goto(preferences)
    page.get_by_role("heading", name="This link has run out").wait_for()
    look("stale")
    context.close()


def pages(browser):
    """The public pages as others see them."""
    looks = [
        ("desktop", dict(viewport={"width": 1200, "height": 900})),
        ("phone", dict(viewport={"width": 390, "height": 844})),
        ("dark", dict(viewport={"width": 1200, "height": 900}, color_scheme="dark")),
        ("phone-dark", dict(viewport={"width": 390, "height": 844}, color_scheme="dark")),
    ]
    paths = {
        "home": "/",
        "article": "/articles/the-lighthouse-is-lit-again/",
        "feed": "/feeds/news/",
        "archive": "/digests/news/",
        "form": "/subscribe",
        "form-ar": "/subscribe?lang=ar",
        "form-de": "/subscribe?lang=de",
        "missing": "/nothing-here/",
        "section": "/sections/news/",
        "tag": "/tags/harbour/",
        "author": "/authors/mara-quill/",
        "gone": "/articles/the-night-ferry-sails-all-winter/",
    }
    words = {"section": "news", "tag": "harbour", "author": "Mara Quill", "gone": "The lighthouse is lit again"}
    # Where articles are files, a page stands at an old address and sends its reader on at once: looked at before it does.
    moved = (PUBLIC / "articles/forty-boats-and-one-bathtub/index.html").read_text()
    for look, options in looks:
        context = browser.new_context(bypass_csp=True, locale="en-GB", **options)
        page = context.new_page()
        for name, path in paths.items():
            answer = page.goto(BASE + path)
            looked_at(page, f"{name}-{look}")
            status = {"missing": 404, "gone": 410}.get(name, 200)
            if answer.status != status or words.get(name, "") not in page.content():
                faults.append(f"{name}: answers {answer.status}, or has no word of {words.get(name)!r}")
        page.route("**/the-bathtub-race/", lambda route: route.abort("aborted"))
        page.route("**/moved/", lambda route: route.fulfill(body=moved, content_type="text/html; charset=utf-8"))
        page.goto(BASE + "/moved/", wait_until="commit")
        page.wait_for_selector("a[href$='/the-bathtub-race/']")
        looked_at(page, f"moved-{look}")
        context.close()


with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    pages(browser)
    life(browser, True, "ann@reader.example")
    life(browser, False, "ben@reader.example")
    browser.close()

print("\n".join(faults))
sys.exit(1 if faults else 0)
