-- +goose Up

CREATE TABLE alarm (
    alarm_id       text        PRIMARY KEY,
    rule           text        NOT NULL,
    priority       text        NOT NULL CHECK (priority IN ('low', 'medium', 'high', 'critical')),
    group_id       text        NOT NULL,
    node_id        text        NOT NULL,
    unit_id        text,
    condition      text        NOT NULL CHECK (condition IN ('active', 'normal')),
    quality        text        NOT NULL,
    onset_epoch    text        NOT NULL,
    onset_position bigint      NOT NULL,
    onset_row      int         NOT NULL,
    onset_at       timestamptz,
    raised_at      timestamptz NOT NULL,
    cleared_at     timestamptz,
    acked_at       timestamptz,
    acked_by       text        NOT NULL DEFAULT '',
    note           text        NOT NULL DEFAULT '',
    figures        jsonb       NOT NULL DEFAULT '[]',
    consequence    text        NOT NULL DEFAULT '',
    response       text        NOT NULL DEFAULT '',
    sequence       int         NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX alarm_open ON alarm (raised_at) WHERE condition = 'active' OR acked_at IS NULL;
CREATE INDEX ON alarm (group_id, unit_id, raised_at DESC);
COMMENT ON TABLE alarm IS 'each alarm as its last event left it; alarm_event says how it came to that';
COMMENT ON COLUMN alarm.unit_id IS 'null: the alarm is about the node';
COMMENT ON COLUMN alarm.onset_epoch IS 'with position and row: the reading that first made the condition true; for silence the last one heard';
COMMENT ON COLUMN alarm.sequence IS 'of the last event';

CREATE TABLE alarm_event (
    alarm_id text        NOT NULL REFERENCES alarm,
    sequence int         NOT NULL CHECK (sequence > 0),
    kind     text        NOT NULL CHECK (kind IN ('raised', 'cleared', 'ended', 'acknowledged')),
    at       timestamptz NOT NULL,
    actor    text        NOT NULL DEFAULT '',
    note     text        NOT NULL DEFAULT '',
    noted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (alarm_id, sequence)
);
COMMENT ON TABLE alarm_event IS 'the journal of alarms; only added to';

-- +goose StatementBegin
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is only added to', TG_TABLE_NAME;
END $$;
-- +goose StatementEnd
CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE ON alarm_event
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
