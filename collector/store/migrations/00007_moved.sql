-- +goose Up

-- Who writes meanwhile must not wait behind this for long: the next start tries again.
SET LOCAL lock_timeout = '5s';

-- Of two boxes with one card, one may give what both hold new names, and the other send it
-- under the first ones behind that.
ALTER TABLE unit_run ADD COLUMN moved_first timestamptz, ADD COLUMN moved_last timestamptz;
COMMENT ON COLUMN unit_run.moved_first IS 'time of the oldest reading stored under a new name';
COMMENT ON COLUMN unit_run.moved_last IS 'time of the newest reading stored under a new name';

-- What both tell as lost is looked for too.
CREATE INDEX loss_of_positions ON loss (epoch_key, lower(positions));
DROP INDEX loss_epoch_key_idx;
