-- +goose Up

-- Of two boxes with one card, one may give what both hold new names, and the other send it
-- under the first ones behind that.
ALTER TABLE unit_run ADD COLUMN moved_first timestamptz, ADD COLUMN moved_last timestamptz;
COMMENT ON COLUMN unit_run.moved_first IS 'time of the oldest reading stored under a new name';
COMMENT ON COLUMN unit_run.moved_last IS 'time of the newest reading stored under a new name';
