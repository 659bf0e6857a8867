-- +goose Up

-- An alarm that comes again before it is closed is the same alarm: when it came last is
-- what its age is counted from.
ALTER TABLE alarm ADD COLUMN active_at timestamptz;
UPDATE alarm a SET active_at = coalesce(
    (SELECT max(e.at) FROM alarm_event e WHERE e.alarm_id = a.alarm_id AND e.kind = 'raised'), a.raised_at);
ALTER TABLE alarm ALTER COLUMN active_at SET NOT NULL;
COMMENT ON COLUMN alarm.raised_at IS 'when it was decided for the first time';
COMMENT ON COLUMN alarm.active_at IS 'when it was decided for the last time';
