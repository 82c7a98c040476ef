#!/usr/bin/env python3
"""Checks the DKIM signatures of written messages with a verifier that is not ours.

    signatures.py [--tamper] RECORDS FOLDER-OF-EML

RECORDS is what `tidings dkim record --json` prints: it stands in for the DNS. Each message has to have one signature
per record at least. With --tamper every message is also changed in many ways, none of which any signature may survive.
Exit status: 0 without faults, 1 with faults or where there is no message at all, 2 where it was called wrongly.
"""

import json
import re
import sys
from pathlib import Path

import dkim

# Fields that nobody may add where there are none.
ADDED = (b"From", b"Sender", b"Reply-To", b"To", b"Cc", b"Subject", b"Content-Type", b"Content-Transfer-Encoding")
# Ours that have to be signed wherever they are.
SIGNED = {
    b"from", b"to", b"reply-to", b"subject", b"date", b"message-id", b"mime-version", b"content-type", b"list-id",
    b"list-unsubscribe", b"list-unsubscribe-post", b"list-help", b"list-archive", b"feedback-id", b"precedence",
    b"auto-submitted",
}
# RFC 5322, section 2.1.1: what a line should keep to.
LONGEST_LINE = 78
SIGNATURE = b"dkim-signature"


def split(raw):
    """Fields, each with its line end, and the body with the empty line before it."""
    head, blank, body = raw.partition(b"\r\n\r\n")
    return re.findall(rb"[^\r\n][^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*", head + b"\r\n"), blank[2:] + body


def name_of(field):
    return field.split(b":", 1)[0].strip().lower()


def verdicts(raw, records):
    """Whether each signature holds, from the top."""
    count = sum(name_of(field) == SIGNATURE for field in split(raw)[0])
    for place in range(count):
        try:
            yield dkim.DKIM(raw).verify(place, dnsfunc=lambda name, timeout=5: records.get(name.rstrip(b".")))
        except dkim.DKIMException as error:
            yield f"{error}"


def tampered(raw):
    """(what was done, the message that came of it)."""
    fields, body = split(raw)
    own = [place for place, field in enumerate(fields) if name_of(field) != SIGNATURE]
    put = lambda place, *instead: b"".join([*fields[:place], *instead, *fields[place + 1:]]) + body
    for place in own:
        field = fields[place]
        name = field.split(b":", 1)[0]
        yield f"{name} removed", put(place)
        yield f"{name} changed", put(place, field[:-2] + b"x\r\n")
        yield f"{name} twice", put(place, field, field)
    for name in {*ADDED, *(fields[place].split(b":", 1)[0] for place in own)}:
        yield f"{name} added above", b"".join([name, b": x <x@example.net>\r\n", *fields]) + body
        yield f"{name} added below", b"".join([*fields, name, b": x <x@example.net>\r\n"]) + body
    yield "body longer", raw + b"more\r\n"
    yield "body shorter", raw[:-20] + b"\r\n"
    middle = len(raw) - len(body) // 2
    letter = b"x" if raw[middle:middle + 1] != b"x" else b"y"
    yield "body changed", raw[:middle] + letter + raw[middle + 1:]


def faults(raw, records, tamper):
    fields, _ = split(raw)
    signatures = [field for field in fields if name_of(field) == SIGNATURE]
    if len(signatures) < len(records):
        yield f"{len(signatures)} signatures, {len(records)} records"
    for signature in signatures:
        tags = dict(tag.split(b"=", 1) for tag in re.sub(rb"\s", b"", signature.split(b":", 1)[1]).split(b";"))
        named = [name.lower() for name in tags[b"h"].split(b":")]
        for name in {name_of(field) for field in fields} & SIGNED:
            present = sum(name_of(field) == name for field in fields)
            if named.count(name) != present + 1:
                yield f"{name} is in h= {named.count(name)} times, and there {present} times"
        if b"l" in tags:
            yield "l= leaves the end of the body open"
        if longest := [line for line in signature.split(b"\r\n") if len(line) > LONGEST_LINE]:
            yield f"a line of the signature is too long: {longest[0]}"
    for place, verdict in enumerate(verdicts(raw, records), start=1):
        if verdict is not True:
            yield f"signature {place} does not hold: {verdict}"
    if tamper:
        for what, changed in tampered(raw):
            if True in verdicts(changed, records):
                yield f"a signature survives: {what}"


def main(arguments):
    tamper = "--tamper" in arguments
    places = [Path(argument) for argument in arguments if argument != "--tamper"]
    if len(places) != 2 or not all(place.exists() for place in places):
        print(__doc__, file=sys.stderr)
        return 2
    records = {record["name"].encode(): record["text"].encode() for record in json.loads(places[0].read_text())}
    messages = sorted(places[1].rglob("*.eml"))
    found = [f"{path.name}: {fault}" for path in messages for fault in faults(path.read_bytes(), records, tamper)]
    print("\n".join(found[:20]))
    print(f"{len(messages)} messages, {len(records)} keys, {len(found)} faults")
    return 1 if found or not messages else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
