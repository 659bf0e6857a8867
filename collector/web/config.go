package web

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"andon.internal/collector/account"
	"andon.internal/collector/login"
	"andon.internal/collector/plant"
	"andon.internal/shared/alarm"
	"andon.internal/shared/telemetry"
)

// Config configures a Web. The zero value of each field means its default.
type Config struct {
	// Exposure is from where the pages are reached; Listen: 127.0.0.1:8080. Its TLS is
	// set where there is a TLS of Config.
	Exposure
	// TLS has the certificate that the pages show; nil: they speak plain HTTP.
	TLS *tls.Config
	// Limits are how long a browser keeps its cookie: those of the sources' Desk.
	Limits account.Limits
	// Site is the plant's name in the header; none.
	Site string
	// Location is the plant's time zone; that of the process.
	Location *time.Location
	// Displays say how the signals of a profile are shown, by profile, in place of
	// [DefaultDisplays]; profiles without one show their first signals on their
	// plausible ranges.
	Displays map[string]Display
	// MaxClients bounds the event streams; 64.
	MaxClients int
	// Timeout bounds a question to the history; 5 s.
	Timeout time.Duration
	Logger  *slog.Logger     // default: none
	Metrics *Metrics         // default: counts, unregistered
	Now     func() time.Time // default: time.Now
}

func (c *Config) setDefaults() error {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:8080"
	}
	c.Exposure.TLS = c.TLS != nil
	if c.Limits == (account.Limits{}) {
		c.Limits = account.Limits{Idle: login.DefaultIdle, Absolute: login.DefaultAbsolute}
	}
	if c.Location == nil {
		c.Location = time.Local
	}
	if c.Displays == nil {
		c.Displays = DefaultDisplays()
	}
	if c.MaxClients <= 0 {
		c.MaxClients = 64
	}
	if c.Timeout <= 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return nil
}

// Sources is what the pages are made of. Plant, History, Acks and Broker are required.
type Sources struct {
	Plant   *plant.Plant
	History History
	Journal Journal
	Acks    Acknowledger
	// Broker returns nil, or why nothing is received from the broker. It must not
	// block and must be safe for concurrent use.
	Broker func() error
	// Roles returns the other roles of the collector that nobody does. It is asked while
	// the broker is there. It must not block and must be safe for concurrent use.
	Roles func(now time.Time) []Absence

	// Desk knows who is logged in. It is required where a login is, and run by
	// [Web.Watch].
	Desk *login.Desk
	// SignOn lets people in through an identity provider; nil: there is none.
	SignOn SingleSignOn
	// Audit keeps who did what; nil: the log.
	Audit Audit
	// Ready answers /readyz; nil: it is not served here.
	Ready http.Handler
}

// Absence is a role that nobody does: intake or sentinel.
type Absence struct {
	Role  string
	Since time.Time
	Fault string // what keeps it from its work; empty: nothing is heard of it
}

func (s *Sources) check(asks bool) error {
	if asks && s.Desk == nil {
		return errors.New("a login is required, and there is no Desk")
	}
	if s.Plant == nil || s.History == nil || s.Acks == nil || s.Broker == nil {
		return errors.New("the sources Plant, History, Acks and Broker are required")
	}
	return nil
}

// History reads what PostgreSQL has. It must be safe for concurrent use.
type History interface {
	// Ping returns nil when the database answers. It is called every second.
	Ping(ctx context.Context) error
	// Series returns stored readings; ok is false when the unit is not known.
	Series(ctx context.Context, q SeriesQuery) (s Series, ok bool, err error)
	// Runs returns the latest runs that were under way between from and to, newest first.
	Runs(ctx context.Context, group, unit string, from, to time.Time, limit int) ([]Run, error)
	// Losses returns what was told lost in the last window and did not come after all.
	Losses(ctx context.Context, window time.Duration) ([]Loss, error)
}

// Loss is how many positions of a node's were lost for one reason.
type Loss struct {
	Group, Node, Reason string

	Count int64
}

// SeriesQuery asks for signals (by name) of a unit, From <= time < To, in about as
// many points as given.
type SeriesQuery struct {
	Group, Unit string
	Signals     []string
	From, To    time.Time
	Points      int
}

// Series is the answer: readings (Step is 0), or steps with the least, greatest and
// average of their readings. Each slice has one entry for each of Times.
type Series struct {
	Profile   *telemetry.Profile
	Step      time.Duration
	Times     []time.Time
	Qualities []telemetry.Quality
	Signals   []SignalSeries
}

// SignalSeries is one signal of a [Series]; NaN where it has no value.
type SignalSeries struct {
	Signal         int // its index in the profile
	Low, High, Avg []float64
}

// Run is one time on test of a unit.
type Run struct {
	Node, Profile          string
	Born                   time.Time
	Died                   time.Time // zero: still active
	Reason                 string
	Newest                 time.Time // of the newest reading; zero: none
	Stored, Expected, Late int64     // readings
}

// Journal reads the journal of alarms. It must be safe for concurrent use.
type Journal interface {
	// Alarms returns the alarms of a unit that were raised before to and not over
	// before from, the newest first.
	Alarms(ctx context.Context, group, unit string, from, to time.Time, limit int) ([]alarm.Alarm, error)
	// OpenAlarms returns the alarms that are active or not acknowledged.
	OpenAlarms(ctx context.Context) ([]alarm.Alarm, error)
}

// Acknowledger brings an operator's acknowledgement to the sentinel. It must be safe
// for concurrent use. nil means that it is on its way, not that it was applied: the
// alarm's new state says that.
type Acknowledger interface {
	Acknowledge(ctx context.Context, k alarm.Acknowledgement) error
}
