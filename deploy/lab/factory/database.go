package factory

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"andon.internal/lab/process"
	"andon.internal/shared/netns"
	"andon.internal/shared/pgserver"
)

// database makes PostgreSQL look like the other processes: it can be started,
// stopped and killed, and is started again when it ends by itself.
type database struct {
	pg  *pgserver.Server
	log *slog.Logger

	mu     sync.Mutex
	state  process.State
	starts int

	end  chan struct{}
	done sync.WaitGroup
}

// openDatabase starts PostgreSQL and watches over it until close.
func openDatabase(ctx context.Context, o pgserver.Options) (*database, error) {
	pg, err := pgserver.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	d := &database{pg: pg, log: o.Logger, state: process.Running, starts: 1, end: make(chan struct{})}
	d.done.Go(d.watch)
	return d, nil
}

// watch starts the server again when it has ended though nobody asked.
func (d *database) watch() {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-d.end:
			return
		case <-tick.C:
		}
		d.mu.Lock()
		if d.state == process.Running && d.pg.PID() == 0 {
			d.log.Warn("process exited and is started again", "process", Postgres, "log", d.pg.LogFile())
			if err := d.startLocked(context.Background()); err != nil {
				d.log.Error("process could not be started again", "process", Postgres, "error", err)
				d.state = process.Stopped
			}
		}
		d.mu.Unlock()
	}
}

func (d *database) startLocked(ctx context.Context) error {
	if err := d.pg.Start(ctx); err != nil {
		return err
	}
	d.state = process.Running
	d.starts++
	return nil
}

// Start starts a server that is down.
func (d *database) Start(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state == process.Running {
		return fmt.Errorf("start %s: %w", Postgres, process.ErrRunning)
	}
	err := d.startLocked(ctx)
	if err != nil {
		d.state = process.Stopped // and close does not try again
	}
	return err
}

// Stop ends the server in order.
func (d *database) Stop() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state = process.Stopped
	return d.pg.Stop()
}

// Kill ends all of the server's processes with SIGKILL.
func (d *database) Kill() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state != process.Running {
		return fmt.Errorf("kill %s: %w", Postgres, process.ErrDown)
	}
	d.state = process.Killed
	return d.pg.Kill()
}

// Status returns what the server is doing.
func (d *database) Status() process.Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	return process.Status{Name: Postgres, State: d.state, PID: d.pg.PID(), Starts: d.starts}
}

// close ends the server. Where its data is kept, one that was killed is first
// started again, so that it leaves a clean cluster and no shared memory.
func (d *database) close(ctx context.Context, keep bool) error {
	close(d.end)
	d.done.Wait()
	if !keep {
		return d.pg.Remove()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state == process.Killed {
		if err := d.pg.Start(ctx); err != nil {
			return err
		}
	}
	d.state = process.Stopped
	return d.pg.Stop()
}

func (f *Factory) startDatabase(ctx context.Context) error {
	port, err := f.ports.take(f.opt.PgPort)
	if err != nil {
		return err
	}
	site := f.opt.Sites[Postgres]
	db, err := openDatabase(ctx, pgserver.Options{
		Dir: cmp.Or(site.Data, filepath.Join(f.opt.Dir, Postgres)), Bin: f.opt.PgBin,
		Host: site.Host, Port: port, Netns: site.Netns,
		Settings: f.opt.PgSettings, Logger: f.opt.Logger,
	})
	if err != nil {
		return err
	}
	f.db = db
	f.join(Postgres, &member{runner: db, log: db.pg.LogFile()})
	return nil
}

// migrate prepares the database that a collector's configuration names.
func (f *Factory) migrate(ctx context.Context, config string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return netns.Do(f.opt.Sites[f.opt.collectors()[0]].Netns, func() error {
		cmd := exec.CommandContext(ctx, filepath.Join(f.opt.Bin, "andon-collector"), "migrate", "--config", config)
		cmd.WaitDelay = time.Second // for what it may have started itself
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("andon-collector migrate: %w: %s", err, strings.TrimSpace(string(out)))
		}
		return nil
	})
}

// MakeDatabase makes and prepares another database and returns how to connect to it.
func (f *Factory) MakeDatabase(ctx context.Context, name string) (dsn string, err error) {
	conn, err := pgx.Connect(ctx, f.DSN())
	if err != nil {
		return "", fmt.Errorf("make database: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "create database "+pgx.Identifier{name}.Sanitize()); err != nil {
		return "", fmt.Errorf("make database: %w", err)
	}
	dsn = f.db.pg.DatabaseDSN(name)
	config := filepath.Join(f.opt.Dir, "database-"+name+".yaml")
	// Neither broker nor HTTP is used by a migration.
	if err := collectorConfig("127.0.0.1:1883", dsn, "127.0.0.1:0", "", certificate{}).write(config); err != nil {
		return "", err
	}
	return dsn, f.migrate(ctx, config)
}

// DSN is how to connect to the factory's database.
func (f *Factory) DSN() string { return f.db.pg.DSN() }
