-- +goose Up

-- A random id made once: when it or the timeline changes, another database is
-- behind the connection, and every node is asked to sync.
CREATE TABLE epoch_of_database (
    only_row boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    id       uuid        NOT NULL DEFAULT gen_random_uuid(),
    made_at  timestamptz NOT NULL DEFAULT now()
);
INSERT INTO epoch_of_database DEFAULT VALUES;

CREATE TABLE profile (
    profile_key int         GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text        NOT NULL UNIQUE,
    version     int         NOT NULL,
    fingerprint bigint      NOT NULL,
    definition  jsonb       NOT NULL,
    changed_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE profile IS 'kinds of unit that the operator installed; reading_<name> has a column for every signal';

CREATE TABLE node (
    node_key      int  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    group_id      text NOT NULL,
    node_id       text NOT NULL,
    boot          uuid,
    current_epoch int,
    born_at       timestamptz,
    doubted_at    timestamptz,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (group_id, node_id)
);
COMMENT ON COLUMN node.born_at IS 'when the last birth was answered';
COMMENT ON COLUMN node.doubted_at IS 'when a birth last did not continue what is known: another box with the same name, or unknown epochs between';

CREATE TABLE epoch (
    epoch_key     int  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node_key      int  NOT NULL REFERENCES node,
    epoch_id      text NOT NULL,
    prev_id       text,
    boot          uuid,
    ended         text NOT NULL DEFAULT 'open' CHECK (ended IN ('open', 'closed', 'unclean')),
    next          bigint,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    closed_at     timestamptz,
    UNIQUE (node_key, epoch_id)
);
COMMENT ON TABLE epoch IS 'one start of an agent';
COMMENT ON COLUMN epoch.next IS 'the position after the highest that the node itself knows of; null where it has not said';
COMMENT ON COLUMN epoch.closed_at IS 'when the node stopped listing it: nothing more will come, and its holes are lost';

-- Which positions of an epoch are settled. Committed beats quarantined beats lost,
-- in whatever order they arrive. Rows are never deleted; a finished epoch is one
-- range. Half of each page stays free so that updates are heap-only.
CREATE TABLE ledger (
    epoch_key   int            PRIMARY KEY REFERENCES epoch,
    committed   int8multirange NOT NULL DEFAULT '{}',
    lost        int8multirange NOT NULL DEFAULT '{}',
    quarantined int8multirange NOT NULL DEFAULT '{}',
    repeats     bigint         NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
COMMENT ON COLUMN ledger.repeats IS 'how often a position came that was settled already';

CREATE TABLE loss (
    loss_key       bigint         GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    epoch_key      int            NOT NULL REFERENCES epoch,
    positions      int8multirange NOT NULL,
    reason         text           NOT NULL,
    units          text[]         NOT NULL DEFAULT '{}',
    readings       bigint         NOT NULL DEFAULT 0,
    first_ts       timestamptz,
    last_ts        timestamptz,
    told_epoch_key int            REFERENCES epoch,
    told_position  bigint,
    noted_at       timestamptz    NOT NULL DEFAULT now()
);
CREATE INDEX ON loss (epoch_key);
COMMENT ON TABLE loss IS 'what was told about positions that will not come; the ledger says which of them came after all';
COMMENT ON COLUMN loss.readings IS 'how many readings were lost; 0 where unknown';
COMMENT ON COLUMN loss.told_position IS 'the position of the loss record; null where the collector found the loss at a birth';

CREATE TABLE unit (
    unit_key      int  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    group_id      text NOT NULL,
    unit_id       text NOT NULL,
    profile_key   int  NOT NULL REFERENCES profile,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (group_id, unit_id)
);
COMMENT ON COLUMN unit.profile_key IS 'of the run that was seen first last; every run has its own';

CREATE TABLE unit_run (
    run_key     int         GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    unit_key    int         NOT NULL REFERENCES unit,
    node_key    int         NOT NULL REFERENCES node,
    profile_key int         NOT NULL REFERENCES profile,
    born        timestamptz NOT NULL,
    died        timestamptz,
    reason      text,
    readings    bigint      NOT NULL DEFAULT 0,
    expected    bigint      NOT NULL DEFAULT 0,
    late        bigint      NOT NULL DEFAULT 0,
    last_ts     timestamptz,
    UNIQUE (unit_key, born)
) WITH (fillfactor = 50);
CREATE INDEX ON unit_run (unit_key) WHERE died IS NULL;
COMMENT ON TABLE unit_run IS 'one time on test of a unit';
COMMENT ON COLUMN unit_run.readings IS 'readings stored';
COMMENT ON COLUMN unit_run.expected IS 'readings taken so far, as the node counted them';
COMMENT ON COLUMN unit_run.late IS 'readings stored that are older than one stored before them';
COMMENT ON COLUMN unit_run.last_ts IS 'time of the newest reading stored';

CREATE TABLE quarantine (
    epoch_key   int         NOT NULL REFERENCES epoch,
    position    bigint      NOT NULL,
    row_no      smallint    NOT NULL,
    unit_id     text,
    reason      text        NOT NULL,
    format      text        NOT NULL CHECK (format IN ('message', 'record')),
    size        int         NOT NULL,
    payload     bytea       NOT NULL,
    received_at timestamptz NOT NULL,
    noted_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (epoch_key, position, row_no)
);
COMMENT ON COLUMN quarantine.row_no IS 'the row of the record; -1 for the whole of it';
COMMENT ON COLUMN quarantine.format IS 'message: bytes as received; record: JSON of the readings';
COMMENT ON COLUMN quarantine.size IS 'bytes before the payload was cut to its limit';

CREATE TABLE lease (
    name        text        PRIMARY KEY,
    holder      text        NOT NULL,
    token       bigint      NOT NULL,
    acquired_at timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL
);
COMMENT ON COLUMN lease.token IS 'rises with every new holder; checked in every writing transaction';
