#!/usr/bin/env python3
"""Reads published feeds with a parser that is not ours and says what is wrong with them.

    feeds.py FOLDER

Looks for rss.xml, atom.xml and feed.json at any depth. Prints a line for each, then its faults, then a summary. Walks
back from each document through the volumes before it (RFC 5005), as a crawler does that wants everything.
Exit status: 0 without faults, 1 with faults or where there is no feed at all, 2 where it was called wrongly.
"""

import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import feedparser

# RFC 822 as RSS 2.0 takes it, in UTC: feeds are compared and cached, and a zone that comes and goes changes them.
RSS_DATE_UTC = re.compile(r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} (GMT|\+0000)")
# RFC 3339, for Atom (RFC 4287, section 3.3) and JSON Feed.
RFC_3339 = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})")
# What XML 1.0 cannot say at all; JSON can, escaped, and readers choke on it.
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
# RFC 6838, section 4.2.
MEDIA_TYPE = re.compile(r"[A-Za-z0-9][\w!#$&.+^-]*/[A-Za-z0-9][\w!#$&.+^-]*")
ATOM = "{http://www.w3.org/2005/Atom}"
HISTORY = "{http://purl.org/syndication/history/1.0}"
TOMBSTONES = "{http://purl.org/atompub/tombstones/1.0}"


def is_web_address(text):
    return text.lower().startswith(("http:", "https:"))


def entry_faults(entries):
    """Faults of entries given as (title, link, id, date)."""
    for number, (title, link, identity, date) in enumerate(entries, start=1):
        for name, value in (("title", title), ("link", link), ("id", identity), ("date", date)):
            if not (isinstance(value, str) and value.strip()):
                yield f"entry {number}: no {name}"
        if isinstance(identity, str) and is_web_address(identity):
            yield f"entry {number}: its id is a URL, which changes when the page moves: {identity}"
        if isinstance(link, str) and link and not is_web_address(link):
            yield f"entry {number}: its link is not absolute: {link}"
    counts = Counter(identity for _, _, identity, _ in entries if isinstance(identity, str))
    for identity, count in counts.items():
        if count > 1:
            yield f"{count} entries have the id {identity}"


def enclosure_faults(enclosures):
    """Faults of what entries bring along, given as (entry's number, URL, media type, length)."""
    for number, url, kind, length in enclosures:
        if not is_web_address(url or ""):
            yield f"entry {number}: its enclosure is not absolute: {url}"
        if not MEDIA_TYPE.fullmatch(kind or ""):
            yield f"entry {number}: its enclosure has no media type: {kind}"
        if length is not None and not str(length).isdecimal():
            yield f"entry {number}: its enclosure has a length that is no number: {length}"


def date_faults(dates, form, wanted):
    for where, date in dates:
        if not form.fullmatch((date or "").strip()):
            yield f"{where} is not {wanted}: {date}"


def rss_faults(root):
    if root.tag != "rss" or root.get("version") != "2.0":
        yield f"the root is not <rss version=\"2.0\">: {root.tag}"
    for guid in root.iterfind("channel/item/guid"):
        if guid.get("isPermaLink", "true") != "false":
            yield f"guid without isPermaLink=\"false\", so readers take it for a URL: {guid.text}"
    dates = [(f"<{e.tag}>", e.text) for e in root.iter() if e.tag in ("pubDate", "lastBuildDate")]
    yield from date_faults(dates, RSS_DATE_UTC, "an RFC 822 date in UTC")


def atom_faults(root):
    if root.tag != f"{ATOM}feed":
        yield f"the root is not an Atom feed: {root.tag}"
    for name in ("id", "title", "updated"):
        if not (root.findtext(f"{ATOM}{name}") or "").strip():
            yield f"the feed has no {name}"
    names = (f"{ATOM}updated", f"{ATOM}published")
    dates = [(f"<{e.tag.removeprefix(ATOM)}>", e.text) for e in root.iter() if e.tag in names]
    yield from date_faults(dates, RFC_3339, "an RFC 3339 date")


def xml_document(data, kind):
    """What a document holds, in words, and its faults."""
    parsed = feedparser.parse(data)
    faults = []
    if parsed.bozo:
        faults.append(f"ill-formed: {parsed.get('bozo_exception')}")
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        faults.append(f"not XML: {error}")
    else:
        faults += rss_faults(root) if kind == "rss" else atom_faults(root)
    for name in ("title", "link"):
        if not parsed.feed.get(name):
            faults.append(f"the feed has no {name}")
    entries = [
        (e.get("title"), e.get("link"), e.get("id"), e.get("published") or e.get("updated")) for e in parsed.entries
    ]
    faults += entry_faults(entries)
    # A length may be missing in Atom alone.
    faults += enclosure_faults(
        (number, enclosure.get("href"), enclosure.get("type"), enclosure.get("length", "" if kind == "rss" else None))
        for number, entry in enumerate(parsed.entries, start=1)
        for enclosure in entry.get("enclosures", [])
    )
    return f"{parsed.version or 'no known format'}, bozo {int(parsed.bozo)}", len(entries), faults


def strings(value, where="document"):
    """All strings of a JSON value, with their places."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from strings(inner, f"{where}[{number}]")
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from strings(inner, f"{where}.{name}")


def json_document(data):
    try:
        feed = json.loads(data.decode("utf-8"))
        version = feed["version"]
        items = feed["items"]
        entries = [(i.get("title"), i.get("url"), i.get("id"), i.get("date_published")) for i in items]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return "not a JSON Feed, bozo 1", 0, [f"ill-formed: {error!r}"]
    faults = [f"the feed has no {name}" for name in ("title", "home_page_url", "feed_url") if not feed.get(name)]
    if version not in ("https://jsonfeed.org/version/1", "https://jsonfeed.org/version/1.1"):
        faults.append(f"unknown version: {version}")
    faults += entry_faults(entries)
    dates = [
        (f"entry {number}: {name}", item[name])
        for number, item in enumerate(items, start=1)
        for name in ("date_published", "date_modified")
        if name in item
    ]
    faults += date_faults(dates, RFC_3339, "an RFC 3339 date")
    for number, item in enumerate(items, start=1):
        if not ("content_html" in item or "content_text" in item):
            faults.append(f"entry {number}: neither content_html nor content_text")
    faults += enclosure_faults(
        (number, attachment.get("url"), attachment.get("mime_type"), attachment.get("size_in_bytes"))
        for number, item in enumerate(items, start=1)
        for attachment in item.get("attachments", [])
    )
    faults += [f"{where} has a control character" for where, text in strings(feed) if CONTROL.search(text)]
    return f"{version.rsplit('/', 1)[-1]}, bozo 0", len(entries), faults


def links(data, kind):
    """Where a document leads, by link relation, and the ids of its entries and of what it says is deleted."""
    if kind == "json":
        feed = json.loads(data)
        found = {"prev-archive": feed.get("next_url"), "current": feed.get("feed_url")}
        return found, [item["id"] for item in feed["items"]], []
    root = ElementTree.fromstring(data)
    top = root.find("channel") if kind == "rss" else root
    found = {link.get("rel"): link.get("href") for link in top.iterfind(f"{ATOM}link")}
    if top.find(f"{HISTORY}archive") is not None:
        found["archive"] = True
    ids = root.iterfind("channel/item/guid") if kind == "rss" else root.iterfind(f"{ATOM}entry/{ATOM}id")
    deleted = list(top.iterfind(f"{TOMBSTONES}deleted-entry"))
    return found, [identity.text for identity in ids], deleted


def walk_faults(folder, path):
    """Faults of a feed as a whole, from the document that readers poll back to the first volume."""
    kind = {"rss.xml": "rss", "atom.xml": "atom", "feed.json": "json"}[path.name]
    current, met, gone, behind = path, Counter(), Counter(), None
    while True:
        found, ids, deleted = links(current.read_bytes(), kind)
        where = current.relative_to(folder)
        met.update(ids)
        gone.update(entry.get("ref") for entry in deleted)
        for entry in deleted:
            if not RFC_3339.fullmatch(entry.get("when") or ""):
                yield f"{where}: when {entry.get('ref')} went is not an RFC 3339 date: {entry.get('when')}"
        if kind != "json" and bool(found.get("archive")) != (current != path):
            yield f"{where}: fh:archive stands where it does not belong, or is missing"
        if behind and kind != "json":
            here, ahead = f"/{where}", found.get("next-archive")
            if behind != path and (not ahead or not urlsplit(ahead).path.endswith(f"/{behind.relative_to(folder)}")):
                yield f"{where}: does not lead back to {behind.relative_to(folder)}: {ahead}"
            if not urlsplit(found.get("current") or "").path.endswith(f"/{path.relative_to(folder)}"):
                yield f"{where}: its current document is another: {found.get('current')}"
            if not urlsplit(found.get("self") or "").path.endswith(here):
                yield f"{where}: it is not itself: {found.get('self')}"
        previous = found.get("prev-archive")
        if not previous:
            break
        behind, current = current, folder / urlsplit(previous).path.lstrip("/")
        if not current.is_file():
            yield f"{where}: leads to nothing: {previous}"
            break
    for identity, count in met.items():
        if count > 1:
            yield f"{identity} is met {count} times"
    for identity in met.keys() & gone.keys():
        yield f"{identity} is there, and deleted"


KINDS = {
    "rss.xml": lambda data: xml_document(data, "rss"),
    "atom.xml": lambda data: xml_document(data, "atom"),
    "feed.json": json_document,
}


def main(arguments):
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    documents, all_entries, all_faults = 0, 0, 0
    for path in sorted(p for p in folder.rglob("*") if p.name in KINDS and p.is_file()):
        words, entries, faults = KINDS[path.name](path.read_bytes())
        if path.parent.parent.name != "archive":
            faults += walk_faults(folder, path)
        print(f"{path.relative_to(folder)}: {entries} entries, {words}, {len(faults)} faults")
        for fault in faults:
            print(f"    {fault}")
        documents += 1
        all_entries += entries
        all_faults += len(faults)
    print(f"{documents} documents, {all_entries} entries, {all_faults} faults")
    return 1 if all_faults or not documents else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
