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
    run INTEGER NOT NULL,                 -- the number of the run that sends it
    first INTEGER NOT NULL,               -- the numbers of its first and last row
    last INTEGER NOT NULL,
    made_at DOUBLE PRECISION NOT NULL,    -- seconds since the epoch; rows that failed before are sent again,
    sends_failed BOOLEAN NOT NULL,        -- if that was asked for
    epoch INTEGER NOT NULL DEFAULT 0,     -- grows whenever the block is given to a worker or taken from one
    task BIGINT NOT NULL DEFAULT 0,       -- the task that holds it, and its attempt: a later one may take it
    attempt INTEGER NOT NULL DEFAULT 0,
    worker TEXT NOT NULL DEFAULT '',      -- who holds it, or did when it was withdrawn; empty while nobody does
    is_open BOOLEAN NOT NULL DEFAULT TRUE, -- whether rows of it may be left to send
    withdrawn_at DOUBLE PRECISION         -- seconds since the epoch; since then nobody may send a row of it
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

CREATE TABLE recorders (                  -- processes that write outcomes, and the number of the last batch of each
    id TEXT PRIMARY KEY,
    batch BIGINT NOT NULL
);

-- When the next request of an app to a path may start. Lost in a crash of the database: then it begins anew.
CREATE UNLOGGED TABLE quota (
    app_key TEXT NOT NULL,
    path TEXT NOT NULL,                   -- what the requests are for: a RequestKind
    tat DOUBLE PRECISION NOT NULL,        -- theoretical arrival time of the next request, seconds since the epoch
    rate DOUBLE PRECISION NOT NULL,       -- requests per second: the lowest rate of those who reserve,
    reserved_at DOUBLE PRECISION NOT NULL, -- and when one of them with that rate did so last
    share DOUBLE PRECISION NOT NULL,      -- of the rate, that the service bears,
    refused DOUBLE PRECISION NOT NULL,    -- the share that was lowered last, 0 if none was,
    clean DOUBLE PRECISION NOT NULL,      -- and that of the window before, 0 if it had refusals or was not used
    since DOUBLE PRECISION NOT NULL,      -- when the window began over which refusals are counted: in the future while
    signals INTEGER NOT NULL,             -- responses are to earlier requests; refusals in it,
    responses INTEGER NOT NULL,           -- among so many responses
    PRIMARY KEY (app_key, path)
);

-- Reserve at most so many slots within the horizon, a slot being the time at which one request may start; none if the
-- caller does not hold the blocks of the job any more at their epochs. The slots begin in `first` seconds and are `step`
-- seconds apart.
--
-- `signals` are the refusals among the `responses` that the caller has received since its last call. They lower the rate
-- for all, by the rules of RateController for one process; `lowered` are those for which it was, and the responses.
CREATE FUNCTION reserve_slots(
    of_app TEXT, of_path TEXT, own_rate DOUBLE PRECISION, wanted INTEGER, horizon DOUBLE PRECISION,
    signals INTEGER, responses INTEGER, of_job INTEGER, held BIGINT[], epochs INTEGER[],
    OUT lost BIGINT[], OUT slots INTEGER, OUT first DOUBLE PRECISION, OUT step DOUBLE PRECISION, OUT lowered INTEGER[]
) LANGUAGE plpgsql AS $$
DECLARE
    lookback CONSTANT DOUBLE PRECISION := 2;  -- seconds for which earlier requests may be answered and counted
    idle CONSTANT DOUBLE PRECISION := 60;     -- seconds after which nothing is known any more
    least_share CONSTANT DOUBLE PRECISION := 0.02;
    q quota;
    now DOUBLE PRECISION;
    is_new BOOLEAN;
    refusals DOUBLE PRECISION;
    used DOUBLE PRECISION;
BEGIN
    slots := 0;
    SELECT * INTO q FROM quota WHERE app_key = of_app AND path = of_path FOR UPDATE;
    is_new := NOT FOUND;
    -- Only now that nobody else reserves: each statement sees what was committed before it began.
    SELECT array_agg(mine.block) INTO lost FROM unnest(held, epochs) AS mine (block, epoch)
        WHERE NOT EXISTS (
            SELECT FROM blocks WHERE id = mine.block AND job = of_job AND epoch = mine.epoch AND is_open
        );
    IF lost IS NOT NULL THEN
        RETURN;
    END IF;
    now := extract(epoch FROM clock_timestamp());
    IF is_new THEN
        first := 1;
        step := 1 / own_rate;
        INSERT INTO quota VALUES (of_app, of_path, now + first, own_rate, now, 1, 0, 0, now, 0, 0) ON CONFLICT DO NOTHING;
        RETURN;
    END IF;
    -- The clock may have been set back.
    q.reserved_at := least(q.reserved_at, now);
    q.since := least(q.since, now + lookback);
    IF q.tat > now + 1 + horizon + 1 / (least_share * least(q.rate, own_rate)) THEN
        q.tat := now + 1;
    END IF;
    IF own_rate <= q.rate OR now - q.reserved_at > lookback THEN
        q.rate := own_rate;
        q.reserved_at := now;
    END IF;
    IF q.since < now - idle THEN
        q.share := 1;
        q.refused := 0;
        q.clean := 0;
        q.since := now;
        q.signals := 0;
        q.responses := 0;
    END IF;
    IF q.since <= now THEN
        q.signals := q.signals + reserve_slots.signals;
        q.responses := q.responses + reserve_slots.responses;
    END IF;
    IF now - q.since >= 1 AND q.responses >= 10 THEN
        refusals := q.signals / q.responses::DOUBLE PRECISION;
        used := (q.responses - q.signals) / (now - q.since) / (q.rate * q.share);
        IF refusals > 0.08 AND q.signals > 2 THEN
            lowered := ARRAY[q.signals, q.responses];
            q.refused := q.share;
            q.share := greatest(least_share, q.share * greatest(1 - refusals, 0.3), q.clean * 0.92);
            q.clean := 0;
            q.since := now + lookback;
        ELSE
            q.clean := CASE WHEN used > 0.5 THEN q.share ELSE 0 END;
            IF used > 0.75 THEN
                q.share := least(1, CASE
                    WHEN q.share >= 1.2 * q.refused THEN 1.2 * q.share
                    WHEN q.share >= 0.8 * q.refused THEN 1.01 * q.share
                    ELSE least(1.2 * q.share, 0.8 * q.refused)
                END);
            END IF;
            q.since := now;
        END IF;
        q.signals := 0;
        q.responses := 0;
    END IF;
    step := 1 / (q.rate * q.share);
    q.tat := greatest(q.tat, now);
    first := q.tat - now;
    -- In the second half there would be few: half a horizon at a time keeps reservations rare when many want slots.
    IF first <= horizon / 2 THEN
        slots := least(wanted, floor((horizon - first) / step) + 1);
        q.tat := q.tat + slots * step;
    END IF;
    UPDATE quota SET
        tat = q.tat, rate = q.rate, reserved_at = q.reserved_at, share = q.share, refused = q.refused, clean = q.clean,
        since = q.since, signals = q.signals, responses = q.responses
        WHERE app_key = of_app AND path = of_path;
END $$;
