-- +goose Up

-- Who did what: only added to, and chained. The hash of an entry is SHA-256 over the hash
-- of the entry before it and all columns of its own, in the form of package auditlog;
-- andon-collector audit verify-log recomputes all of it.
--
-- What the triggers and the missing rights stop: programs and people who work with the
-- rights of the collector or less, by mistake or intent. What they do not stop: a
-- superuser or the owner of the tables, who can disable a trigger, change an entry and
-- compute every hash behind it anew. Nothing that lies in the database can stop that.
-- Therefore the head of the chain, its last number and hash, is to be kept elsewhere: the
-- collector writes it to its process log, and verify-log --head compares it. A chain that
-- was rewritten, or whose end was cut off, no longer holds a head that was noted before.
CREATE TABLE audit_log (
    seq          bigint      PRIMARY KEY CHECK (seq >= 0),
    id           uuid        NOT NULL UNIQUE,
    at           timestamptz NOT NULL CHECK (isfinite(at)),
    who          text        NOT NULL CHECK (who <> '' AND char_length(who) <= 128),
    role         text        NOT NULL CHECK (char_length(role) <= 64),
    from_address text        NOT NULL CHECK (char_length(from_address) <= 64),
    action       text        NOT NULL CHECK (action <> '' AND char_length(action) <= 64),
    object       text        NOT NULL CHECK (char_length(object) <= 256),
    detail       json        NOT NULL CHECK (json_typeof(detail) = 'object'),
    result       text        NOT NULL CHECK (result IN ('ok', 'refused', 'failed')),
    hash         bytea       NOT NULL CHECK (octet_length(hash) = 32)
);
CREATE INDEX ON audit_log (at);
COMMENT ON TABLE audit_log IS 'who did what; only added to, and hash-chained: see andon-collector audit verify-log';
COMMENT ON COLUMN audit_log.seq IS '0 is the genesis entry, which names this database; no number is left out';
COMMENT ON COLUMN audit_log.id IS 'made with the entry, so that an entry whose commit was not learnt of is not added twice';
COMMENT ON COLUMN audit_log.role IS 'what who may do; empty: nobody had to log in, and who is what was typed';
COMMENT ON COLUMN audit_log.detail IS 'json and not jsonb: its text is hashed as it is';

-- The end of the chain. Who adds an entry holds this row, so that several collectors add
-- one after the other; and an end of the log that is cut off without this row is noticed.
CREATE TABLE audit_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    seq      bigint  NOT NULL CHECK (seq >= -1),
    hash     bytea   NOT NULL CHECK (octet_length(hash) = 32)
);
INSERT INTO audit_head (seq, hash) VALUES (-1, decode(repeat('00', 32), 'hex'));
COMMENT ON TABLE audit_head IS 'the last entry of audit_log; -1 before the first';

-- +goose StatementBegin
CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is only added to: % of % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'What was noted by mistake is put right by another entry.';
END $$;
-- +goose StatementEnd
CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER only_moved_on BEFORE DELETE OR TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER only_forward BEFORE UPDATE ON audit_head
    FOR EACH ROW WHEN (NEW.seq <= OLD.seq) EXECUTE FUNCTION refuse_audit_change();
REVOKE ALL ON audit_log, audit_head FROM PUBLIC;
