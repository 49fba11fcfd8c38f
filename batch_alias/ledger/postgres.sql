-- What the jobs in a database share. The tables of a job, in schema.sql, are in a schema of its own.

CREATE SCHEMA batch_alias;
SET LOCAL search_path = batch_alias;

CREATE TABLE format (version INTEGER NOT NULL);

CREATE TABLE jobs (
    id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- in the order in which they were staged
    name TEXT NOT NULL UNIQUE,
    app_key TEXT NOT NULL,                -- a hash of it: Target.key_hash
    staged_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE blocks (                     -- rows to send that a worker takes together
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    first INTEGER NOT NULL,               -- the numbers of its first and last row
    last INTEGER NOT NULL,
    made_at DOUBLE PRECISION NOT NULL,    -- seconds since the epoch; rows that failed before are sent again,
    sends_failed BOOLEAN NOT NULL,        -- if that was asked for
    epoch INTEGER NOT NULL DEFAULT 0,     -- grows whenever the block is given to a worker or taken from one
    task BIGINT NOT NULL DEFAULT 0,       -- the task that holds it, and its attempt: a later one may take it
    attempt INTEGER NOT NULL DEFAULT 0,
    worker TEXT NOT NULL DEFAULT '',      -- who holds it; empty while nobody does
    is_open BOOLEAN NOT NULL DEFAULT TRUE -- whether rows of it may be left to send
);
CREATE INDEX open_blocks ON blocks (job) WHERE is_open;

CREATE TABLE workers (
    job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    name TEXT NOT NULL,                   -- host and process
    started_at DOUBLE PRECISION NOT NULL, -- seconds since the epoch
    seen_at DOUBLE PRECISION NOT NULL,
    requests INTEGER NOT NULL DEFAULT 0,
    accepted INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job, name)
);

-- When the next request of an app to a path may start. Lost in a crash of the database: then it begins anew.
CREATE UNLOGGED TABLE quota (
    app_key TEXT NOT NULL,
    path TEXT NOT NULL,                   -- what the requests are for: a RequestKind
    tat DOUBLE PRECISION NOT NULL,        -- theoretical arrival time of the next request, seconds since the epoch
    rate DOUBLE PRECISION NOT NULL,       -- requests per second now
    changed_at DOUBLE PRECISION NOT NULL, -- when that was lowered or raised
    PRIMARY KEY (app_key, path)
);
