-- +goose Up

-- A revision is never used twice, so that a session of an earlier one is known to be over
-- though its user was removed and made again.
CREATE SEQUENCE app_user_revision AS bigint;

CREATE TABLE app_user (
    name          text        PRIMARY KEY CHECK (name ~ '^[a-z0-9]([a-z0-9._@-]{0,62}[a-z0-9])?$'),
    role          text        NOT NULL CHECK (role IN ('viewer', 'operator', 'engineer', 'admin')),
    disabled      boolean     NOT NULL DEFAULT false,
    password_hash text        NOT NULL CHECK (password_hash LIKE '$argon2id$%' AND length(password_hash) <= 512),
    revision      bigint      NOT NULL DEFAULT nextval('app_user_revision'),
    created_at    timestamptz NOT NULL DEFAULT now(),
    changed_at    timestamptz NOT NULL DEFAULT now()
);
ALTER SEQUENCE app_user_revision OWNED BY app_user.revision;
COMMENT ON TABLE app_user IS 'who logs in at the command center with a password kept here';
COMMENT ON COLUMN app_user.revision IS 'another with each change; sessions of an earlier one are over';

CREATE TABLE app_session (
    session_id bytea       PRIMARY KEY CHECK (length(session_id) = 32),
    user_name  text        NOT NULL CHECK (length(user_name) BETWEEN 1 AND 128),
    role       text        NOT NULL CHECK (role IN ('viewer', 'operator', 'engineer', 'admin')),
    revision   bigint      NOT NULL CHECK (revision >= 0),
    created_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL,
    from_addr  text        NOT NULL DEFAULT '' CHECK (length(from_addr) <= 64)
);
CREATE INDEX ON app_session (user_name);
COMMENT ON TABLE app_session IS 'logins at the command center that are not over';
COMMENT ON COLUMN app_session.session_id IS 'the SHA-256 of the secret in the cookie';
COMMENT ON COLUMN app_session.revision IS 'of the user at the login; 0: an identity provider vouches for them';

CREATE TABLE api_token (
    token_id   text        PRIMARY KEY CHECK (token_id ~ '^[a-z2-7]{8}$'),
    name       text        NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9]([a-z0-9._@-]{0,62}[a-z0-9])?$'),
    scopes     text[]      NOT NULL CHECK (cardinality(scopes) > 0 AND scopes <@ '{read,acknowledge,health}'::text[]),
    hash       bytea       NOT NULL CHECK (length(hash) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL CHECK (expires_at > created_at)
);
COMMENT ON TABLE api_token IS 'what programs use the API of the command center with';
COMMENT ON COLUMN api_token.hash IS 'the SHA-256 of the text, which was shown once';
