package collector

import (
	"errors"
	"log/slog"

	"andon.internal/collector/store"
	"andon.internal/shared/config"
	"andon.internal/shared/ops"
)

// DatabaseConfig is the part `database:` of a configuration.
type DatabaseConfig struct {
	// DSN is a PostgreSQL connection string without a password: that is Password, or
	// what pgx reads from PGPASSWORD or PGPASSFILE. One of dsn and dsn_from is required.
	DSN string `yaml:"dsn"`
	// DSNFrom says where a whole connection string lies, password and all.
	DSNFrom config.Secret `yaml:"dsn_from"`
	// Password says where the password lies. It is read for every connection that is
	// made, so that a replaced one counts at once.
	Password config.Secret `yaml:"password"`
	// Plaintext allows a server beyond loopback without TLS that verifies it: for an
	// isolated network of one machine, such as that of its containers.
	Plaintext bool `yaml:"plaintext"`
	// MaxConns bounds the connections; 8.
	MaxConns int `yaml:"max_conns"`
	// Migrate lets `run` prepare or upgrade the tables before it stores anything;
	// true. With false it waits until `andon-collector migrate` has done so.
	Migrate bool `yaml:"migrate"`
}

// Check reports a missing or double DSN, and a password given twice.
func (c *DatabaseConfig) Check() error {
	if (c.DSN == "") == !c.DSNFrom.IsSet() {
		return errors.New("one of dsn and dsn_from must be set, such as dsn: postgres://andon@127.0.0.1:5432/andon")
	}
	if c.Password.IsSet() && hasPassword(c.DSN) {
		return config.At("password", errors.New("is given, and dsn has one already"))
	}
	return nil
}

// dsnHint is the cure where a connection string cannot be read.
const dsnHint = "the connection string is one of PostgreSQL, such as postgres://andon@127.0.0.1:5432/andon"

// Store returns the part of a store's configuration that says which database it is. Its
// error is the operator's to mend, and shows no secret.
func (c *DatabaseConfig) Store() (store.Config, error) {
	out := store.Config{DSN: c.DSN, MaxConns: c.MaxConns}
	if c.DSNFrom.IsSet() {
		dsn, err := c.DSNFrom.Read()
		if err != nil {
			return out, ops.UsageError(err, "database.dsn_from says where the connection string lies: {file: PATH}, {env: NAME} or {credential: NAME}")
		}
		out.DSN = dsn
	}
	if err := checkServer(out.DSN, c.Plaintext); err != nil {
		return out, ops.UsageError(err, "database.dsn, or what dsn_from names, says which server it is, and how")
	}
	if c.Password.IsSet() {
		if _, err := c.Password.Read(); err != nil {
			return out, ops.UsageError(err, "database.password says where the password lies: {file: PATH}, {env: NAME} or {credential: NAME}")
		}
		out.Password = c.Password.Read
	}
	return out, nil
}

// warn says when a password stands where others read it.
func (c *DatabaseConfig) warn(log *slog.Logger) {
	if hasPassword(c.DSN) {
		log.Warn("database.dsn has a password in it; take it out, and say where it lies under database.password")
	}
}
