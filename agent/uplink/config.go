package uplink

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"time"

	"andon.internal/agent/clock"
	"andon.internal/agent/uplink/internal/flight"
	"andon.internal/shared/mtls"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// Config configures an uplink. Node and URL are required; the zero value of every
// other field means its default.
type Config struct {
	Node telemetry.Node
	URL  string      // the broker, such as tcp://127.0.0.1:1883; mqtts:// with TLS
	TLS  *mtls.Store // who the node is, and whom it trusts; nil: plain MQTT

	// PrimaryHost is the Sparkplug host application without which the node says
	// nothing: it is born when that is online and dies when it goes. Empty: do not wait.
	PrimaryHost string

	Version string   // of the agent, told in births
	Boot    [16]byte // the machine's boot id, told in births
	// Told is told the collector's time, as acknowledgements have it. It must not block.
	// Default: nobody.
	Told func(time.Time)
	// Clock reads the machine's clocks, for what is sent. Default: clock.Now.
	Clock  func() clock.Time
	Health func(*sparkplug.Heartbeat) // fills in what the buffer does not know; called by Run's goroutine

	KeepAlive      time.Duration // MQTT keepalive, in whole seconds; 10 s
	PingTimeout    time.Duration // 5 s
	ConnectTimeout time.Duration // dialling and the MQTT handshake; subscribing; 5 s each
	WriteTimeout   time.Duration // for 64 KiB to get into the connection; 10 s
	RetryMin       time.Duration // pause after the first failed attempt, doubled after each; 250 ms
	RetryMax       time.Duration // the longest pause; 5 s

	Heartbeat     time.Duration // 2 s
	Quiet         time.Duration // nothing heard from the collector for this long: hold; 4 s
	Silence       time.Duration // nothing heard from the collector for this long: connect anew; 15 s
	SyncTimeout   time.Duration // no answer to a birth for this long: be born again; 5 s, doubled up to 60 s
	SyncGrace     time.Duration // how long live waits for that answer at the start of a session; 250 ms
	RebirthEvery  time.Duration // births are at least this far apart; 1 s
	Retransmit    time.Duration // a record without acknowledgement is sent again; 5 s
	RetransmitMax time.Duration // what that backs off to, per record; 60 s
	HoldGrace     time.Duration // when a hold ends, repeats wait for what the collector kept; 500 ms
	LiveAge       time.Duration // how long a record counts as live, as in the buffer; 10 s
	FreshAge      time.Duration // what waited longer for a session, or the end of a hold, is backlog; 5 s
	StopRound     time.Duration // for what is in flight at a clean stop; 2.5 s
	Farewell      time.Duration // for the death and the disconnect after that; 1 s

	FirstRecords int   // window at the start of a session; 2
	FirstBytes   int64 // bytes in flight until the collector grants some; 1 MiB
	HoldRecords  int   // live records a second while nothing is acknowledged; 2,500
	HoldBytes    int64 // bytes likewise; 8 MiB
	// BacklogShare is the most of the window that the backlog has while there are live records
	// too, from 0.05 to 0.95; 0.5. At least it has 0.05, or one record.
	BacklogShare float64
	// MaxRate bounds what is sent, in bytes a second with what the network adds; none.
	// Live records go first, the backlog has 5 % at least.
	MaxRate    int64
	MaxMessage int           // bytes of one message; 500 KiB, below the broker's 512 KiB
	MaxHoles   int           // what is held lies in more pieces: oldest first; 2,048, half of what a ledger row takes
	ParkAfter  int           // failures of a record until it is parked; 5
	ParkFor    time.Duration // the first time it is parked for, doubled after each; 30 s
	ParkMax    time.Duration // what that doubles to; 1 h
	WellAfter  time.Duration // a session in which the collector was heard for so long tries what others broke with in flight; 10 s

	Logger  *slog.Logger // default: none
	Metrics *Metrics     // default: counted and not registered
}

// StopTakes is how long [Uplink.Run] takes at most, by the defaults, to return when its
// context has ended: the last round, the farewell, and a second for the connection's end.
const (
	StopTakes = stopRound + farewell + time.Second
	stopRound = 2500 * time.Millisecond
	farewell  = time.Second
)

// withDefaults returns c with its zero fields filled.
func (c Config) withDefaults() Config {
	def(&c.KeepAlive, 10*time.Second)
	def(&c.PingTimeout, 5*time.Second)
	def(&c.ConnectTimeout, 5*time.Second)
	def(&c.WriteTimeout, 10*time.Second)
	def(&c.RetryMin, 250*time.Millisecond)
	def(&c.RetryMax, 5*time.Second)
	def(&c.Heartbeat, 2*time.Second)
	def(&c.Quiet, 4*time.Second)
	def(&c.Silence, 15*time.Second)
	def(&c.SyncTimeout, 5*time.Second)
	def(&c.SyncGrace, 250*time.Millisecond)
	def(&c.RebirthEvery, time.Second)
	def(&c.Retransmit, 5*time.Second)
	def(&c.RetransmitMax, 60*time.Second)
	def(&c.HoldGrace, 500*time.Millisecond)
	def(&c.LiveAge, 10*time.Second)
	def(&c.FreshAge, 5*time.Second)
	def(&c.StopRound, stopRound)
	def(&c.Farewell, farewell)
	def(&c.FirstRecords, 2)
	def(&c.FirstBytes, 1<<20)
	def(&c.HoldRecords, 2500)
	def(&c.HoldBytes, 8<<20)
	def(&c.MaxMessage, 500<<10)
	def(&c.MaxHoles, 2048)
	def(&c.BacklogShare, 0.5)
	def(&c.ParkAfter, 5)
	def(&c.ParkFor, 30*time.Second)
	def(&c.ParkMax, time.Hour)
	def(&c.WellAfter, 10*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	if c.Clock == nil {
		c.Clock = clock.Now
	}
	if c.Told == nil {
		c.Told = func(time.Time) {}
	}
	return c
}

func def[T int | int64 | float64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// check returns every fault of the configuration, joined, and the broker's address.
func (c *Config) check() (*url.URL, error) {
	errs := []error{c.Node.Check()}
	if c.PrimaryHost != "" {
		errs = append(errs, telemetry.CheckID("primary host", c.PrimaryHost))
	}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Port() == "":
		errs = append(errs, fmt.Errorf("broker URL: %s is not like tcp://HOST:1883", mtls.ShowURL(c.URL)))
	default:
		errs = append(errs, mtls.CheckURL(u, c.TLS != nil))
	}
	if c.KeepAlive%time.Second != 0 {
		errs = append(errs, fmt.Errorf("keepalive %v is not in whole seconds", c.KeepAlive))
	}
	if c.BacklogShare < MinBacklogShare || c.BacklogShare > 1-MinBacklogShare {
		errs = append(errs, fmt.Errorf("backlog share %v is not from %v to %v", c.BacklogShare, MinBacklogShare, 1-MinBacklogShare))
	}
	return u, errors.Join(errs...)
}

// MinBacklogShare is the least of the window that one of the lanes has.
const MinBacklogShare = flight.LeastShare

func (c *Config) flight() flight.Config {
	return flight.Config{
		FirstRecords: c.FirstRecords, FirstBytes: c.FirstBytes,
		Timeout: c.Retransmit, TimeoutMax: c.RetransmitMax, BacklogShare: c.BacklogShare,
		ParkAfter: c.ParkAfter, ParkFor: c.ParkFor, ParkMax: c.ParkMax, ParkLimit: maxParked,
		WellAfter: c.WellAfter,
	}
}

// maxParked bounds how many records are remembered for having failed.
const maxParked = 1024
