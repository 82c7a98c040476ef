-- The portable subset: text ids, instants as unix milliseconds UTC, JSON as text. WITHOUT ROWID is for SQLite alone and
-- left out elsewhere: rows that are little more than their key are kept once, in its order.

CREATE TABLE facts (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('release', 0);
INSERT INTO counters (name, value) VALUES ('revision', 0);

CREATE TABLE sources (
    name TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    first_synced_at BIGINT NOT NULL,
    synced_at BIGINT NOT NULL
);

-- Feeds elsewhere, each under the name that config.toml gives it.
CREATE TABLE remotes (
    name TEXT PRIMARY KEY,
    -- As it is configured, and where it has moved to for good.
    url TEXT NOT NULL,
    moved_to TEXT,
    title TEXT,
    -- What the server calls the document that was read last, and how its entries were made into articles.
    etag TEXT,
    modified TEXT,
    settings TEXT,
    -- A hash of that document, and its entries.
    document TEXT,
    entries BIGINT NOT NULL DEFAULT 0,
    -- Whose poll is under way, and until when.
    claim TEXT,
    lease_until BIGINT,
    next_at BIGINT NOT NULL,
    polled_at BIGINT,
    succeeded_at BIGINT,
    -- Polls in a row that failed, and why the last did.
    failures BIGINT NOT NULL,
    trouble TEXT,
    -- When it said that it is there no more.
    gone_at BIGINT,
    -- How often it changes, as its document says: what answers "not modified" does not say it again.
    rhythm_s BIGINT
);

-- Entries of feeds elsewhere whose text is that of their pages, or was to be.
CREATE TABLE full_texts (
    source TEXT NOT NULL,
    key TEXT NOT NULL,
    -- A hash of the entry as it was when its page was asked for.
    entry TEXT NOT NULL,
    -- Whether the article has the page's text.
    has_page BOOLEAN NOT NULL,
    -- Whether the page is asked for at the next poll, how often it was, and what came of it.
    is_due BOOLEAN NOT NULL,
    attempts BIGINT NOT NULL,
    why TEXT,
    PRIMARY KEY (source, key)
);

-- What hubs elsewhere bring us: one subscription for each feed elsewhere that names a hub.
CREATE TABLE pushes (
    remote TEXT PRIMARY KEY,
    hub TEXT NOT NULL,
    topic TEXT NOT NULL,
    -- Where the last poll found the document: what is relative in what is brought is relative to this.
    found_at TEXT NOT NULL,
    -- The end of the callback's address, and what is brought there is signed with.
    token TEXT NOT NULL UNIQUE,
    secret TEXT,
    -- When the hub is asked next, and how often it was without an answer.
    ask_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    -- Until when it brings what is new; nothing where it never said so, or does not.
    lease_until BIGINT,
    pushed_at BIGINT,
    -- Times in a row that a poll found what it should have brought, or that it was not signed as agreed.
    missed BIGINT NOT NULL,
    trouble TEXT
);

CREATE TABLE articles (
    id TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    key TEXT NOT NULL,
    slug TEXT NOT NULL,
    title TEXT NOT NULL,
    label TEXT,
    place TEXT,
    section TEXT,
    language TEXT,
    date BIGINT NOT NULL,
    updated BIGINT,
    summary TEXT NOT NULL,
    featured BOOLEAN NOT NULL,
    draft BOOLEAN NOT NULL,
    words BIGINT NOT NULL,
    details TEXT NOT NULL,
    size BIGINT NOT NULL,
    modified_ns BIGINT NOT NULL,
    content_hash TEXT NOT NULL,
    revision BIGINT NOT NULL,
    release_number BIGINT,
    released_at BIGINT,
    archive BOOLEAN NOT NULL,
    entry_id TEXT,
    withdrawn_at BIGINT,
    UNIQUE (source, key)
);

-- Apart, so that lists read and releases write rows of a few hundred bytes.
CREATE TABLE bodies (
    article TEXT PRIMARY KEY,
    html TEXT NOT NULL
);

CREATE INDEX articles_slug ON articles (slug);
-- What waits for its date has no number yet.
CREATE INDEX articles_release ON articles (release_number, source);
CREATE INDEX articles_revision ON articles (revision);
CREATE INDEX articles_date ON articles (date, id);
CREATE INDEX articles_withdrawn ON articles (source) WHERE withdrawn_at IS NOT NULL;
CREATE INDEX articles_featured ON articles (date, id) WHERE featured;

-- What an article names under "Also read".
CREATE TABLE mentions (
    slug TEXT NOT NULL,
    article TEXT NOT NULL,
    PRIMARY KEY (slug, article)
) WITHOUT ROWID;
CREATE INDEX mentions_article ON mentions (article);

-- What each sync had to complain about, so that every command can repeat it.
CREATE TABLE complaints (
    source TEXT NOT NULL,
    key TEXT NOT NULL,
    position BIGINT NOT NULL,
    line BIGINT,
    what TEXT NOT NULL,
    hint TEXT,
    size BIGINT NOT NULL,
    modified_ns BIGINT NOT NULL,
    PRIMARY KEY (source, key, position)
);

-- An article as it stands in a feed: the selections, made once per change.
CREATE TABLE entries (
    feed TEXT NOT NULL,
    article TEXT NOT NULL,
    date BIGINT NOT NULL,
    -- By article first: rows come in the order of articles, and an index that is appended to costs little at any size.
    PRIMARY KEY (article, feed)
) WITHOUT ROWID;
CREATE INDEX entries_date ON entries (feed, date, article);

-- Each article that was ever in a feed: the volume that it is bound into for ever, if it is, and since when it is not in
-- the feed any more.
CREATE TABLE bindings (
    feed TEXT NOT NULL,
    article TEXT NOT NULL,
    -- The revision with which it came in.
    came BIGINT NOT NULL,
    volume BIGINT,
    left_at BIGINT,
    PRIMARY KEY (article, feed)
) WITHOUT ROWID;
-- What is counted of a volume is counted from this alone.
CREATE INDEX bindings_volume ON bindings (feed, volume, left_at);
CREATE INDEX bindings_left ON bindings (feed, left_at) WHERE left_at IS NOT NULL;

-- Slugs that public articles had before: their old addresses lead to the new one.
CREATE TABLE former_slugs (
    slug TEXT PRIMARY KEY,
    article TEXT NOT NULL
);
CREATE INDEX former_slugs_article ON former_slugs (article);

-- Paths at which articles say that they stood before.
CREATE TABLE aliases (
    path TEXT NOT NULL,
    article TEXT NOT NULL,
    PRIMARY KEY (path, article)
) WITHOUT ROWID;
CREATE INDEX aliases_article ON aliases (article);

-- An article on the shelf of its section, of a tag or of an author: `tag/harbour`; what is gone from it, and since when.
CREATE TABLE shelved (
    shelf TEXT NOT NULL,
    article TEXT NOT NULL,
    date BIGINT NOT NULL,
    word TEXT NOT NULL,
    gone BOOLEAN NOT NULL,
    left_at BIGINT,
    PRIMARY KEY (article, shelf)
) WITHOUT ROWID;
CREATE INDEX shelved_date ON shelved (shelf, date, article);
CREATE INDEX shelved_gone ON shelved (article) WHERE gone AND left_at IS NULL;
CREATE INDEX shelved_left ON shelved (shelf, left_at) WHERE left_at IS NOT NULL;

-- Shelves with their addresses, which they keep.
CREATE TABLE shelves (
    shelf TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    slug TEXT NOT NULL,
    word TEXT NOT NULL,
    is_live BOOLEAN NOT NULL,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    UNIQUE (kind, slug)
);
CREATE INDEX shelves_revision ON shelves (revision);

-- Who reads feeds, as sums of a day: of a service what it says, of the others what one process told apart.
CREATE TABLE reads (
    day TEXT NOT NULL,
    feed TEXT NOT NULL,
    format TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (day, feed, format, kind, name)
);

CREATE TABLE subscribers (
    id TEXT PRIMARY KEY,
    address TEXT NOT NULL,
    address_key TEXT NOT NULL UNIQUE,
    address_hash TEXT NOT NULL,
    name TEXT,
    language TEXT,
    time_zone TEXT,
    -- What else is known, as a JSON object.
    attributes TEXT,
    -- Which address of their own feed holds: it is in the address, and those of before are gone.
    feed_version BIGINT NOT NULL DEFAULT 1,
    created_at BIGINT NOT NULL
);

-- The first eight digits: they come in no order, and a few bytes each keep a million of them in few pages.
CREATE INDEX subscribers_hash ON subscribers (substr(address_hash, 1, 8));

-- What limits sign-ups: the last three confirmations to a mailbox, whatever its alias, under a keyed hash.
CREATE TABLE confirmations (
    alias_hash TEXT PRIMARY KEY,
    last_at BIGINT NOT NULL,
    second_at BIGINT NOT NULL,
    third_at BIGINT NOT NULL
);
CREATE INDEX confirmations_last ON confirmations (last_at);

-- Who waits for a confirmation that a limit put off, and who has used the link of one.
CREATE TABLE confirmation_waits (
    subscriber TEXT PRIMARY KEY,
    put_off_until BIGINT,
    used_at BIGINT
);

CREATE TABLE subscriptions (
    subscriber TEXT NOT NULL,
    feed TEXT NOT NULL,
    cadence TEXT NOT NULL,
    state TEXT NOT NULL,
    -- The subscriber's, so that the clocks of readers are read from one index alone.
    time_zone TEXT,
    cursor BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    confirmed_at BIGINT,
    ended_at BIGINT,
    confirmation_sent_at BIGINT,
    -- At which hour and on which day they want it, where that is theirs to choose: `07:00`, `mon 07:00`, `15 07:00`.
    preferred TEXT,
    -- Until when it is paused.
    paused_until BIGINT,
    -- What it was before it ended, to be that again after a mistaken click.
    ended_from TEXT,
    -- When it came from elsewhere: of what was imported the ledger keeps no line of its own.
    imported_at BIGINT,
    PRIMARY KEY (subscriber, feed)
);
-- Without the cursor: a digest moves those of all its readers, which costs twice as much where an index has them, and readers
-- are counted from their rows in half a second for a million.
CREATE INDEX subscriptions_feed ON subscriptions (feed, state, cadence, time_zone, preferred, subscriber);
-- Those who asked, or asked again, since their confirmation was sent.
CREATE INDEX subscriptions_asking ON subscriptions (subscriber, feed)
    WHERE state = 'pending' AND (confirmation_sent_at IS NULL OR confirmation_sent_at < created_at);

-- Those who never confirmed, to be forgotten.
CREATE INDEX subscriptions_pending ON subscriptions (created_at) WHERE state = 'pending';

-- Those who left, to be erased after a while.
CREATE INDEX subscriptions_ended ON subscriptions (ended_at) WHERE state = 'ended';
-- Welcomes, queued as subscriptions are confirmed. A row stays: each reader is welcomed to a newsletter once.
CREATE TABLE welcomes (
    subscriber TEXT NOT NULL,
    feed TEXT NOT NULL,
    -- Up to which release it brings articles: there the cursor began.
    cut_off BIGINT NOT NULL,
    confirmed_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    settled_at BIGINT,
    PRIMARY KEY (subscriber, feed)
);
CREATE INDEX welcomes_due ON welcomes (due_at) WHERE settled_at IS NULL;

-- Those whose pause ends by itself.
CREATE INDEX subscriptions_paused ON subscriptions (paused_until) WHERE state = 'paused';

-- What readers agreed to and took back. The same step at the same instant is one.
CREATE TABLE consents (
    subscriber TEXT NOT NULL,
    at BIGINT NOT NULL,
    -- Empty where it is about the person.
    feed TEXT NOT NULL,
    step TEXT NOT NULL,
    cadence TEXT,
    source TEXT NOT NULL,
    text_version TEXT,
    ip TEXT,
    PRIMARY KEY (subscriber, at, feed, step)
);

-- Addresses that a reader's mail shall move to, or has moved away from, and when each was written to about it.
CREATE TABLE moves (
    address_hash TEXT PRIMARY KEY,
    subscriber TEXT NOT NULL,
    -- None where it is settled: the row then only says when that address was written to.
    address TEXT,
    -- Whether the mail moves away from this address; it has been done then.
    is_old BOOLEAN NOT NULL,
    asked_at BIGINT NOT NULL,
    sent_at BIGINT
);
CREATE INDEX moves_subscriber ON moves (subscriber);

-- Why readers left, where they said so.
CREATE TABLE reasons (
    subscriber TEXT NOT NULL,
    -- Empty for everything.
    feed TEXT NOT NULL,
    at BIGINT NOT NULL,
    reason TEXT NOT NULL,
    -- In their own words.
    words TEXT NOT NULL,
    PRIMARY KEY (subscriber, feed)
);

CREATE TABLE suppressions (
    address_hash TEXT PRIMARY KEY,
    cause TEXT NOT NULL,
    detail TEXT,
    created_at BIGINT NOT NULL
);

-- How far the scheduler has looked, per newsletter and cadence.
CREATE TABLE schedules (
    newsletter TEXT NOT NULL,
    cadence TEXT NOT NULL,
    looked_until BIGINT NOT NULL,
    PRIMARY KEY (newsletter, cadence)
);

CREATE TABLE digests (
    id TEXT PRIMARY KEY,
    newsletter TEXT NOT NULL,
    cadence TEXT NOT NULL,
    slot BIGINT NOT NULL,
    -- The name of the segment that it goes to; empty for all readers.
    segment TEXT NOT NULL,
    cut_off BIGINT NOT NULL,
    state TEXT NOT NULL,
    why TEXT,
    -- Where it is held: when it goes out by itself.
    held_until BIGINT,
    -- An editor's words at the top.
    note TEXT,
    -- Subjects that are tried on a part of its readers, as JSON; until when; and which of them the others get.
    trial TEXT,
    trial_until BIGINT,
    picked BIGINT,
    -- Where it stands in the archive, below its newsletter: a day, with a number where that is taken. Digests that bring
    -- the same to readers in different zones share one.
    page TEXT NOT NULL,
    -- When it was last changed, as the store counts changes.
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    UNIQUE (newsletter, cadence, slot, segment)
);

CREATE INDEX digests_state ON digests (state);
CREATE INDEX digests_page ON digests (newsletter, page);
CREATE INDEX digests_revision ON digests (revision);

CREATE TABLE digest_articles (
    digest TEXT NOT NULL,
    article TEXT NOT NULL,
    release_number BIGINT NOT NULL,
    PRIMARY KEY (digest, article)
);
CREATE INDEX digest_articles_article ON digest_articles (article);

CREATE TABLE deliveries (
    digest TEXT NOT NULL,
    subscriber TEXT NOT NULL,
    cursor_from BIGINT NOT NULL,
    state TEXT NOT NULL,
    due_at BIGINT NOT NULL,
    -- Whose it is, and until when.
    claim TEXT,
    lease_until BIGINT,
    attempts BIGINT NOT NULL,
    first_attempt_at BIGINT,
    settled_at BIGINT,
    -- Why it was not sent, in words.
    outcome TEXT,
    -- Every attempt, a line of JSON each.
    log TEXT,
    PRIMARY KEY (digest, subscriber)
);
-- Only what waits for an outcome, digest by digest: what is paused or done costs a claim nothing. A claim changes none of
-- these columns, and so no index.
CREATE INDEX deliveries_open ON deliveries (digest, due_at) WHERE settled_at IS NULL;
-- None by subscriber: a digest to a million would write into every page of it, and the more the longer the history. Whose
-- deliveries are asked for is looked up digest by digest.

-- What an editor has to know of: a digest that stopped by itself or waits for a yes, a relay that is away.
CREATE TABLE notices (
    -- When it happened, as the store counts changes.
    number BIGINT PRIMARY KEY,
    kind TEXT NOT NULL,
    digest TEXT,
    relay TEXT,
    why TEXT NOT NULL,
    -- The notice that tells of this one too; none while it is told to nobody.
    leader BIGINT
);
CREATE INDEX notices_untold ON notices (number) WHERE leader IS NULL;
CREATE INDEX notices_leader ON notices (leader);

-- A notice on its way to one address, or to the webhook.
CREATE TABLE tellings (
    notice BIGINT NOT NULL,
    channel TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    told_at BIGINT,
    PRIMARY KEY (notice, channel)
);
CREATE INDEX tellings_due ON tellings (due_at) WHERE told_at IS NULL;

-- Relays that nothing goes out by.
CREATE TABLE absences (
    relay TEXT PRIMARY KEY,
    since BIGINT NOT NULL,
    why TEXT NOT NULL,
    told BOOLEAN NOT NULL
);

-- Processes that send, each under the name of its claims. The beat moves while one is alive.
CREATE TABLE senders (
    claim TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    pid BIGINT NOT NULL,
    beat BIGINT NOT NULL,
    started_at BIGINT NOT NULL
);

-- What each relay accepted, day by day (UTC, days since 1970).
CREATE TABLE relay_days (
    relay TEXT NOT NULL,
    day BIGINT NOT NULL,
    accepted BIGINT NOT NULL,
    PRIMARY KEY (relay, day)
);

-- What came back after a relay had accepted it, and what was refused for a mailbox's sake before.
CREATE TABLE reports (
    -- A hash of whom it is about, what it says and the report's own identity: the same report counts once.
    id TEXT PRIMARY KEY,
    digest TEXT,
    subscriber TEXT,
    address_hash TEXT NOT NULL,
    kind TEXT NOT NULL,
    code TEXT,
    text TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX reports_digest ON reports (digest, kind, address_hash);
CREATE INDEX reports_address ON reports (address_hash, created_at);
CREATE INDEX reports_subscriber ON reports (subscriber);
INSERT INTO counters (name, value) VALUES ('reports_unclaimed', 0);

-- Signatures of webhooks that do not cover what they come with: each is good for one content.
CREATE TABLE used_signatures (
    name TEXT PRIMARY KEY,
    content TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Feed documents that a hub tells of, and what each was when it was last looked at.
CREATE TABLE hub_topics (
    topic TEXT PRIMARY KEY,
    hash TEXT NOT NULL,
    -- Of the store, when it had these bytes.
    revision BIGINT NOT NULL,
    -- One more with each change.
    version BIGINT NOT NULL
);

-- Callbacks that our hub tells of a topic until their lease runs out.
CREATE TABLE hub_listeners (
    -- A hash of topic and callback.
    id TEXT PRIMARY KEY,
    topic TEXT NOT NULL,
    callback TEXT NOT NULL,
    host TEXT NOT NULL,
    secret TEXT,
    since BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    -- The version that it is to be told of, and when; nothing is due where it has the last one, or was given up with it.
    owed BIGINT NOT NULL,
    due_at BIGINT,
    claimed_until BIGINT,
    -- Since it took the last one.
    attempts BIGINT NOT NULL,
    failing_since BIGINT,
    why TEXT,
    told_at BIGINT
);
CREATE INDEX hub_listeners_due ON hub_listeners (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX hub_listeners_topic ON hub_listeners (topic);
CREATE INDEX hub_listeners_lease ON hub_listeners (lease_until);

-- What was asked of our hub for a callback that has not shown yet that it wants it.
CREATE TABLE hub_requests (
    id TEXT PRIMARY KEY,
    topic TEXT NOT NULL,
    callback TEXT NOT NULL,
    host TEXT NOT NULL,
    mode TEXT NOT NULL,
    secret TEXT,
    lease_s BIGINT NOT NULL,
    asked_at BIGINT NOT NULL,
    claimed_until BIGINT
);
CREATE INDEX hub_requests_host ON hub_requests (host);

-- Topics whose change another's hub has not taken yet.
CREATE TABLE hub_pings (
    topic TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    claimed_until BIGINT,
    attempts BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    why TEXT
);
