package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	connectTimeout = 10 * time.Second
	deadPeerAfter  = 15 * time.Second // unacknowledged bytes or keepalives end a connection
	tcpUserTimeout = 0x12             // TCP_USER_TIMEOUT of Linux
)

// poolConfig is how we connect: lazily, without prepared statements, and so that a
// dead peer is noticed on our side.
func poolConfig(c Config) (*pgxpool.Config, error) {
	pc, err := pgxpool.ParseConfig(c.DSN)
	if err != nil {
		return nil, unreadable(err)
	}
	pc.MaxConns = int32(c.MaxConns)
	pc.MinConns = 0
	cc := pc.ConnConfig
	cc.DefaultQueryExecMode = pgx.QueryExecModeExec
	cc.StatementCacheCapacity, cc.DescriptionCacheCapacity = 0, 0
	if cc.ConnectTimeout == 0 {
		cc.ConnectTimeout = connectTimeout
	}
	if cc.RuntimeParams["application_name"] == "" {
		cc.RuntimeParams["application_name"] = "andon"
	}
	dialer := &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 2},
		Control: func(network, _ string, rc syscall.RawConn) error {
			if network == "unix" {
				return nil
			}
			// Where the system has no such option, keepalives alone must do.
			return rc.Control(func(fd uintptr) {
				_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(deadPeerAfter.Milliseconds()))
			})
		},
	}
	cc.DialFunc = dialer.DialContext
	if c.Password != nil {
		pc.BeforeConnect = func(_ context.Context, cc *pgx.ConnConfig) (err error) {
			cc.Password, err = c.Password()
			return err
		}
	}
	cc.OnNotice = func(pg *pgconn.PgConn, n *pgconn.Notice) {
		if n.SeverityUnlocalized == "WARNING" {
			pg.CustomData()[warningKey] = n
		}
	}
	return pc, nil
}

// unreadable says what is wrong with a connection string without a word of it, because
// one that cannot be read may show the password anywhere. Only a file that it names, such
// as sslrootcert, is named.
func unreadable(err error) error {
	const text = "the connection string of the database cannot be read, and is not shown because a password may be in it"
	if file := (*fs.PathError)(nil); errors.As(err, &file) {
		return fmt.Errorf(text+": %w", file)
	}
	return errors.New(text)
}

// warningKey is where a connection keeps the last warning that it got.
const warningKey = "andon.warning"

// settingsSQL begins every transaction: a commit is durable when it returns, and a
// client that was cut off does not hold locks for hours. They are set for the
// transaction only, because a pooler gives the session to others.
func settingsSQL(c Config) string {
	dead := deadPeerAfter.Milliseconds()
	return fmt.Sprintf(`SELECT set_config('synchronous_commit', 'on', true),
 set_config('lock_timeout', '%d', true), set_config('statement_timeout', '%d', true),
 set_config('idle_in_transaction_session_timeout', '%d', true),
 set_config('tcp_keepalives_idle', '5', true), set_config('tcp_keepalives_interval', '5', true),
 set_config('tcp_keepalives_count', '2', true), set_config('tcp_user_timeout', '%d', true)`,
		c.LockTimeout.Milliseconds(), c.StatementTimeout.Milliseconds(), dead, dead)
}

// writeOutSQL has the kernel write pages of tables when PostgreSQL gives them to it, not half
// a minute later those of a whole backlog at once, for which commits then wait a tenth of a
// second and more. Where somebody has set it, be it to 0, or the system knows no such hint, it
// is left; that is found out when the cache is loaded.
const writeOutSQL = `SELECT set_config('backend_flush_after', '256kB', true)`

// call is one statement of a pipeline. Parameters are text; the SQL casts them.
type call struct {
	sql    string
	params [][]byte
	binary bool                        // the format of the result; text otherwise
	row    func(values [][]byte) error // for each row of the result; may be nil
	done   func(tag pgconn.CommandTag) error
}

var binaryFormat = []int16{1}

// pipeline sends all calls at once and reads their results: one round trip. After
// an error the later calls did not run.
func pipeline(ctx context.Context, pg *pgconn.PgConn, calls []call) (err error) {
	p := pg.StartPipeline(ctx)
	defer func() {
		if cerr := p.Close(); err == nil {
			err = cerr
		}
	}()
	for i := range calls {
		var formats []int16
		if calls[i].binary {
			formats = binaryFormat
		}
		p.SendQueryParams(calls[i].sql, calls[i].params, nil, nil, formats)
	}
	if err := p.Sync(); err != nil {
		return err
	}
	for i := range calls {
		delete(pg.CustomData(), warningKey)
		res, err := p.GetResults()
		if err != nil {
			return err
		}
		rr, ok := res.(*pgconn.ResultReader)
		if !ok {
			return fmt.Errorf("pipeline: unexpected result %T", res)
		}
		for rr.NextRow() {
			if calls[i].row != nil && err == nil {
				err = calls[i].row(rr.Values())
			}
		}
		tag, cerr := rr.Close()
		if cerr != nil {
			return cerr
		}
		if err == nil && calls[i].done != nil {
			err = calls[i].done(tag)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
