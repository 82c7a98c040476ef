#!/usr/bin/env python3
"""Reads written messages with a parser that is not ours and says what is wrong with them.

    eml.py [--digests] [--any-body] FOLDER-OF-EML | MBOX

A digest is a message with a List-Id, List-Unsubscribe or List-Unsubscribe-Post header, or any with --digests.
With --any-body the bodies may say anything: for messages of random content, which no template has made.
An mbox keeps its lines with LF alone, so bare LF is only looked for in .eml files.
Exit status: 0 without faults, 1 with faults or where there is no message at all, 2 where it was called wrongly.
"""

import mailbox
import re
import sys
from collections import Counter
from email import errors, message_from_bytes, policy
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

ONCE = ("From", "To", "Date", "Message-ID", "Subject", "MIME-Version")
LIST_HEADERS = ("List-Id", "List-Unsubscribe", "List-Unsubscribe-Post")
# RFC 5322, section 2.1.1: octets of a line, its end not counted.
LONGEST_LINE = 998
# RFC 2045, sections 6.7 and 6.8.
LONGEST_ENCODED_LINE = 76
MESSAGE_ID = re.compile(r"<[^<>@\s]+@[^<>@\s]+>")
# What our own templates might use as marks and leave behind.
PRIVATE_USE = re.compile(r"[\ue000-\uf8ff]")
SHOWN = 50
# Gmail cuts what comes after as many octets of encoded HTML.
LONGEST_HTML = 102 * 1024
# What mail programs drop, or take for an attack.
FORBIDDEN = {"script", "form", "iframe", "object", "embed", "link", "base", "video", "audio"}


def header_faults(message, is_digest):
    for name in ONCE:
        count = len(message.get_all(name, []))
        if count != 1:
            yield f"{count} {name} headers, not one"
    for name, value in message.items():
        yield from (f"header {name}: {defect!r}" for defect in getattr(value, "defects", ()))
    if message["Message-ID"] and not MESSAGE_ID.fullmatch(message["Message-ID"].strip()):
        yield f"Message-ID is not <left@right>: {message['Message-ID']}"
    if message["Date"] and message["Date"].datetime is None:
        yield f"Date is not a date: {message['Date']}"
    if is_digest:
        # RFC 8058, section 3.1: one click needs an HTTPS address, and this very value beside it.
        addresses = re.findall(r"<([^>]*)>", message.get("List-Unsubscribe", ""))
        if not any(is_secure(address) for address in addresses):
            yield f"List-Unsubscribe without an HTTPS address: {message.get('List-Unsubscribe')}"
        if message.get("List-Unsubscribe-Post", "").strip() != "List-Unsubscribe=One-Click":
            yield f"List-Unsubscribe-Post is not List-Unsubscribe=One-Click: {message.get('List-Unsubscribe-Post')}"


def is_secure(address):
    parts = urlsplit(address)
    # A trial on one's own machine has no certificate.
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1"))


def structure_faults(message, is_digest):
    kind = message.get_content_type()
    if kind == "multipart/alternative":
        parts = [first_leaf(part).get_content_type() for part in message.iter_parts()]
        if parts != ["text/plain", "text/html"]:
            yield f"multipart/alternative of {parts}, not text and then HTML"
    elif is_digest or kind != "text/plain":
        yield f"{kind}, not multipart/alternative"


def first_leaf(part):
    """HTML may stand in a multipart/related with its pictures."""
    while part.get_content_type() == "multipart/related":
        part = next(part.iter_parts())
    return part


def content_faults(message):
    texts = [(f"header {name}", str(value)) for name, value in message.items()]
    for part in message.walk():
        if part.is_multipart():
            continue
        encoding = str(part.get("Content-Transfer-Encoding", "7bit")).strip().lower()
        if encoding in ("quoted-printable", "base64"):
            longest = max(map(len, part.get_payload().splitlines()), default=0)
            if longest > LONGEST_ENCODED_LINE:
                yield f"{part.get_content_type()} in {encoding} has a line of {longest} characters"
        part.get_payload(decode=True)
        if part.get_content_maintype() == "text":
            try:
                text = part.get_content(errors="strict")
            except (LookupError, UnicodeDecodeError, errors.MessageError) as error:
                yield f"{part.get_content_type()} cannot be decoded: {error}"
            else:
                texts.append((part.get_content_type(), text))
                if not text.strip():
                    yield f"{part.get_content_type()} is empty"
    # Only now: decoding is what finds the defects of encoded bodies.
    for part in message.walk():
        yield from (f"{part.get_content_type()}: {defect!r}" for defect in part.defects)
    for where, text in texts:
        if "{{" in text:
            at = text.index("{{")
            yield f"{where} has an unresolved {text[at:at + 40]!r}"
        if found := PRIVATE_USE.search(text):
            yield f"{where} has the private-use character U+{ord(found[0]):04X}"


class Page(HTMLParser):
    """Collects what is wrong with the HTML of a mail."""

    def __init__(self, html):
        super().__init__()
        self.faults, self.title, self.in_title, self.has_language, self.links = [], "", False, False, []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.in_title = tag == "title"
        if tag == "html":
            self.has_language = bool(attributes.get("lang"))
        if tag in FORBIDDEN:
            self.faults.append(f"has <{tag}>")
        if tag == "img" and "alt" not in attributes:
            self.faults.append(f"has a picture without alt: {attributes.get('src')}")
        if tag == "table" and attributes.get("role") != "presentation":
            self.faults.append("has a table for its layout without role=\"presentation\"")
        for name in ("href", "src"):
            if (target := attributes.get(name)) is not None:
                self.links.append(target)
                if urlsplit(target).scheme not in ("http", "https", "mailto"):
                    self.faults.append(f"has a {name} that is not absolute: {target!r}")
        self.faults.extend(f"has {name}=" for name in attributes if name.startswith("on"))

    def handle_data(self, data):
        if self.in_title:
            self.title += data

    def handle_endtag(self, tag):
        self.in_title = False


def body_faults(message, is_digest):
    """What a reader would miss in the bodies."""
    for part in message.walk():
        kind = part.get_content_type()
        if kind == "text/html":
            html = part.get_content(errors="replace")
            page = Page(html)
            yield from (f"the HTML {fault}" for fault in page.faults)
            if not page.has_language:
                yield "the HTML names no language"
            if not page.title.strip():
                yield "the HTML has no title"
            if "color-scheme" not in html:
                yield "the HTML does not say that it knows dark screens"
            if len(part.get_payload().encode()) > LONGEST_HTML:
                yield f"the HTML is longer than the {LONGEST_HTML} octets that Gmail shows"
            if is_digest and not {"unsubscribe", "preferences"} <= words(page.links):
                yield "the HTML has no link to unsubscribe or to preferences"
        elif kind == "text/plain":
            text = part.get_content(errors="replace")
            if found := re.search(r"</?(p|br|div|a|b|i|td|tr|span)\b[^>]*>|&(amp|lt|gt|quot|nbsp|mdash|#\d+);", text):
                yield f"the text has markup: {found[0]!r}"
            if is_digest and not {"unsubscribe", "preferences"} <= words(re.findall(r"https?://\S+", text)):
                yield "the text has no link to unsubscribe or to preferences"


def words(links):
    return {word for link in links for word in urlsplit(link).path.split("/")}


def line_faults(raw, from_mbox):
    if not from_mbox:
        bare_lf = raw.count(b"\n") - raw.count(b"\r\n")
        bare_cr = raw.count(b"\r") - raw.count(b"\r\n")
        if bare_lf or bare_cr:
            yield f"line ends that are not CRLF: {bare_lf} LF, {bare_cr} CR"
    longest = max(map(len, raw.splitlines()), default=0)
    if longest > LONGEST_LINE:
        yield f"a line of {longest} octets"
    if b"\0" in raw:
        yield "a NUL octet"


def messages(place):
    """(name, octets) of each message."""
    if place.is_dir():
        for path in sorted(place.rglob("*.eml")):
            yield str(path.relative_to(place)), path.read_bytes()
    else:
        box = mailbox.mbox(place, create=False)
        for number, key in enumerate(box.iterkeys(), start=1):
            yield f"message {number}", box.get_bytes(key)


def main(arguments):
    all_digests = "--digests" in arguments
    any_body = "--any-body" in arguments
    places = [Path(a) for a in arguments if a not in ("--digests", "--any-body")]
    if len(places) != 1 or not places[0].exists():
        print(__doc__, file=sys.stderr)
        return 2
    from_mbox = not places[0].is_dir()
    count, digests, octets, faulty, faults = 0, 0, 0, 0, 0
    ids = Counter()
    for name, raw in messages(places[0]):
        message = message_from_bytes(raw, policy=policy.SMTP)
        is_digest = all_digests or any(header in message for header in LIST_HEADERS)
        found = [
            *line_faults(raw, from_mbox),
            *header_faults(message, is_digest),
            *structure_faults(message, is_digest),
            *content_faults(message),
            *([] if any_body else body_faults(message, is_digest)),
        ]
        identity = str(message.get("Message-ID", "")).strip()
        ids[identity] += 1
        if identity and ids[identity] > 1:
            found.append(f"Message-ID {identity} was there before")
        for fault in found:
            faults += 1
            if faults <= SHOWN:
                print(f"{name}: {fault}")
        count += 1
        digests += is_digest
        octets += len(raw)
        faulty += bool(found)
    if faults > SHOWN:
        print(f"… and {faults - SHOWN} more")
    print(f"{count} messages, {digests} digests, {octets} octets, {faulty} messages with {faults} faults")
    return 1 if faults or not count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
