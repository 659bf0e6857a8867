package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"andon.internal/lab/factory"
)

// What a backlog that comes home should reach.
const (
	DrainRatio = 2.0 // p99 of fresh readings meanwhile to the one at rest
	DrainTimes = 20  // readings of the backlog, times as fast as they were taken
)

// DrainReport is what fresh readings feel of a backlog that comes home.
type DrainReport struct {
	Machine Machine `json:"machine"`
	Short   bool    `json:"short"`
	Load    Load    `json:"load"` // of the fresh readings, and at which the backlog was taken
	Rows    int     `json:"rows"` // of the backlog
	// From the mended cable to the backlog's last commit.
	Seconds  float64 `json:"seconds"`
	PerS     float64 `json:"rows_per_s"`
	Times    float64 `json:"times_real_time"`
	Draining Fresh   `json:"draining"`
	Rest     Fresh   `json:"rest"`
	Ratio    float64 `json:"ratio"` // of the p99 of committed
}

// Fresh is the time from when a fresh reading was taken.
type Fresh struct {
	Received  Spread `json:"received"`  // until the collector had it
	Committed Spread `json:"committed"` // until its commit timestamp
}

const (
	// settle is left out behind the first of the backlog: the births, and the fresh readings
	// of before it.
	settle = 2 * time.Second
	// liveAge is how long the agent takes a reading for fresh.
	liveAge = 10 * time.Second
)

// Drain cuts a cell's cable, lets it fill its buffer, mends the cable, and compares the
// latency of fresh readings while the backlog comes home with that at rest, both in one
// run.
func Drain(ctx context.Context, o Options) (_ *DrainReport, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &DrainReport{Short: o.Short, Load: Load{Units: 200, Hz: 10}}
	r.Machine.read()
	cycles, rest := 5000, 30*time.Second
	if o.Short {
		cycles, rest = 250, 5*time.Second
	}
	r.Rows = r.Load.Units * cycles
	f, end, err := behindCable(ctx, o, r.Load, cycles, 10*60, &r.Machine)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	conn, err := pgx.Connect(ctx, f.DSN())
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return r, r.measure(ctx, f, conn, rest, o.Logger)
}

func (r *DrainReport) measure(ctx context.Context, f *factory.Factory, conn *pgx.Conn, rest time.Duration, log *slog.Logger) error {
	if err := writeLogAhead(ctx, conn); err != nil {
		return err
	}
	log.Info("filling the buffer with the cable cut", "readings", r.Rows)
	if err := fillBuffer(ctx, f, r.Rows, 2*time.Minute); err != nil {
		return err
	}
	// What was appended last still counts as fresh, and would be a part of what is measured.
	log.Info("having the disk written")
	if err := syncDisk(); err != nil {
		return err
	}
	log.Info("waiting until the backlog is one")
	sleep(ctx, liveAge+settle)
	log.Info("mending the cable")
	mended := time.Now()
	if err := f.Heal(cell); err != nil {
		return err
	}
	// The cell may connect seconds after the cable is whole: what is taken before waits for that.
	if err := awaitBacklog(ctx, conn, 1, 5*time.Minute); err != nil {
		return err
	}
	began := time.Now()
	if err := awaitBacklog(ctx, conn, r.Rows, 5*time.Minute); err != nil {
		return err
	}
	r.Seconds = time.Since(mended).Seconds()
	r.PerS = float64(r.Rows) / r.Seconds
	r.Times = r.PerS / float64(r.Load.Units*r.Load.Hz)
	// What was taken behind the cut cable comes last, in records of one reading each.
	if err := awaitEmpty(ctx, f, r.Load, time.Minute); err != nil {
		return err
	}
	home, draining := time.Now(), began.Add(settle)
	if !draining.Before(home) {
		draining = began // a short one
	}
	log.Info("the backlog is home; measuring at rest", "seconds", r.Seconds)
	from := home.Add(settle)
	sleep(ctx, settle+rest+settle) // the last ones must be committed
	var err error
	if r.Draining, err = commits(ctx, conn, draining, home); err != nil {
		return err
	}
	if r.Rest, err = commits(ctx, conn, from, from.Add(rest)); err != nil {
		return err
	}
	r.Ratio = r.Draining.Committed.P99 / r.Rest.Committed.P99
	return nil
}

// commits is how long the fresh readings of a while took.
func commits(ctx context.Context, conn *pgx.Conn, from, to time.Time) (Fresh, error) {
	rows, err := conn.Query(ctx, `select ts, received_at, pg_xact_commit_timestamp(r.xmin) from reading_turbofan r join unit using (unit_key)
		where unit_id like $1 and ts >= $2 and ts < $3`, freshPrefix+"%", from, to)
	if err != nil {
		return Fresh{}, err
	}
	var received, committed []time.Duration
	var taken, arrived, commit time.Time
	_, err = pgx.ForEachRow(rows, []any{&taken, &arrived, &commit}, func() error {
		received, committed = append(received, arrived.Sub(taken)), append(committed, commit.Sub(taken))
		return nil
	})
	if err == nil && len(committed) == 0 {
		err = fmt.Errorf("no fresh reading was taken from %v to %v", from, to)
	}
	return Fresh{spread(received), spread(committed)}, err
}
