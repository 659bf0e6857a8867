-- +goose Up

-- In a row of many ranges, committed also holds what is quarantined. Where that ever
-- happened, the table quarantine is asked whether a position that comes again is one of
-- those; elsewhere that question costs nothing.
ALTER TABLE ledger ADD COLUMN folded boolean NOT NULL DEFAULT false;
UPDATE ledger l SET folded = true WHERE EXISTS (
    SELECT FROM quarantine q WHERE q.epoch_key = l.epoch_key AND q.row_no = -1 AND l.committed @> q.position);
COMMENT ON COLUMN ledger.folded IS 'committed holds, or once held, positions that are quarantined: those with a whole row in the table quarantine';
COMMENT ON TABLE quarantine IS 'what came and could not be stored; the whole row of a position is deleted when the position is stored after all';
