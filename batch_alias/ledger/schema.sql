-- A job's ledger: every row of the source and where it stands, and what each run did. In SQLite and PostgreSQL.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE rows (
    number INTEGER PRIMARY KEY,           -- as a spreadsheet shows it: the header is row 1
    user_id TEXT NOT NULL,
    group_id TEXT NOT NULL,
    remark TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN (
        'rejected', 'superseded', 'pending', 'unchanged', 'accepted', 'conflict', 'failed', 'unknown'
    )),
    reason TEXT NOT NULL DEFAULT '',      -- the kind of problem of a rejected row
    message TEXT NOT NULL DEFAULT '',
    code INTEGER,                         -- RongCloud's
    attempts INTEGER NOT NULL DEFAULT 0,
    request_id TEXT NOT NULL DEFAULT '',
    finished_at DOUBLE PRECISION,         -- seconds since the epoch
    warning TEXT NOT NULL DEFAULT '',
    superseded_by INTEGER,                -- the number of the row that counts
    cells TEXT,                           -- the row's own fields as JSON, where the values do not give them
    before TEXT,                          -- the alias before the row was first sent, '' for none; NULL: not read
    found TEXT,                           -- the alias when it was last read after the row was sent; NULL: not read
    verified_at DOUBLE PRECISION,         -- when that was
    started INTEGER NOT NULL DEFAULT 0,   -- 1: a compared row was about to be sent, so it may have been
    expected TEXT                         -- the alias that must be set when it is sent, '' for none; NULL: any
);

CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    command TEXT NOT NULL,                -- 'run', 'plan', 'verify' or 'members'
    started_at DOUBLE PRECISION NOT NULL,
    ended_at DOUBLE PRECISION,            -- NULL: killed, or still running
    target TEXT NOT NULL,                 -- the hosts, or the sandbox
    version TEXT NOT NULL,
    settings TEXT NOT NULL,               -- JSON, without any secret
    busiest_second INTEGER NOT NULL DEFAULT 0,
    host_switches INTEGER NOT NULL DEFAULT 0,
    exit_code INTEGER,
    stopped TEXT NOT NULL DEFAULT ''      -- why it ended early
);

CREATE TABLE seconds (
    run INTEGER NOT NULL,
    kind TEXT NOT NULL,                   -- what the requests were for: 'write', 'read' or 'members'
    at BIGINT NOT NULL,                   -- seconds since the epoch
    requests INTEGER NOT NULL,
    retries INTEGER NOT NULL,
    checks INTEGER NOT NULL,              -- of the requests, those that are about no row
    refusals INTEGER NOT NULL,
    settled TEXT NOT NULL,                -- JSON: state -> rows
    codes TEXT NOT NULL,                  -- JSON: code -> responses
    latencies TEXT NOT NULL               -- JSON: bucket -> responses; bucket n reaches up to 1.05 ** n ms
);

CREATE TABLE events (
    run INTEGER NOT NULL,
    at DOUBLE PRECISION NOT NULL,         -- seconds since the epoch
    kind TEXT NOT NULL,
    details TEXT NOT NULL                 -- JSON: the values in the event's sentence
);

CREATE TABLE groups (
    group_id TEXT PRIMARY KEY             -- whose members have been looked up
);
