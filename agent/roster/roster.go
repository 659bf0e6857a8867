// Package roster keeps who is on test at this cell: the active runs of every source,
// with their reading counts and last values, and every profile that was ever in use.
//
// It stands beside the flow. The sampler writes it, the uplink reads it to announce
// units with births. It promises that a run survives a restart of the agent as the
// same run, and that a record in the buffer stays readable after its profile has
// left the configuration: a profile is remembered by its fingerprint for ever.
//
// Births, deaths and profiles are in the store when the method returns, unless it
// fails: then they count in memory, that is logged, and [Roster.Save] tries again, so
// that a dead disk stops no line. A store that writes behind, as state.Front does where the
// disk is slow, may lose the latest of them in a crash: then a run that began goes on as
// another run, and one that ended is on test again until its source says otherwise. Counts
// are noted by Save, which [Roster.Run] calls; after a crash the count of a live source's run
// may lag by what was read since, and by how long the store waits with a note.
package roster

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"andon.internal/agent/source"
	"andon.internal/shared/telemetry"
)

// DefaultSaveEvery is how often [Roster.Run] notes the counts.
const DefaultSaveEvery = 10 * time.Minute

// KV is the durable store that a roster writes to. Put returns when the
// change is on disk, or is sure to be written as soon as that can be. Note may wait until
// there is something to Put: twenty units at 1 Hz give so little that a transaction of its
// own every ten minutes would be what wears the card. Get returns nil and no error for a
// key that is not there, and else what was put or noted last.
type KV interface {
	Get(bucket, key string) ([]byte, error)
	Put(bucket, key string, value []byte) error
	Note(bucket, key string, value []byte) error
}

// Options of a roster. The zero value works.
type Options struct {
	Logger    *slog.Logger  // default: none
	SaveEvery time.Duration // default: DefaultSaveEvery
	// Late says that what the KV has may not be readable yet: nothing is written before
	// [Roster.Reload] has read it, since the lists in it would else be replaced by shorter ones.
	Late bool
}

// Unit is one unit on test.
type Unit struct {
	ID       string
	Source   string // the name of the source that announced it
	Profile  *telemetry.Profile
	Born     int64             // unix ns; ID and Born name the run
	Count    uint64            // readings of the run so far
	Last     []telemetry.Value // of the latest reading; nil before the first and after a restart
	LastTime int64             // unix ns of the latest reading; 0 before the first
}

// Roster is the set of units on test. Safe for concurrent use.
type Roster struct {
	kv      KV
	log     *slog.Logger
	every   time.Duration
	changed chan struct{}

	// writing is held by whoever changes the KV, for as long as that takes; it guards
	// sources. mu is held for moments only, so that a slow disk delays no reading; it
	// guards the rest. profiles changes with both held.
	writing sync.Mutex
	sources map[string]bool // every source that has a document
	late    bool            // Reload is to come, nothing is written before; likewise

	mu       sync.Mutex
	units    map[string]*Unit // by unit id
	dirty    map[string]bool  // sources with runs that are not saved
	counted  map[string]bool  // sources with counts that are not noted
	unsaved  map[uint64]bool  // profiles likewise
	failures int              // of the store, in a row
	profiles map[uint64]*telemetry.Profile
}

// Open reads what kv holds. A document that does not read back is logged as an
// error and left out: the agent starts regardless.
func Open(kv KV, o Options) (*Roster, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if o.SaveEvery <= 0 {
		o.SaveEvery = DefaultSaveEvery
	}
	r := &Roster{
		kv: kv, log: o.Logger, every: o.SaveEvery, late: o.Late,
		changed:  make(chan struct{}, 1),
		units:    map[string]*Unit{},
		sources:  map[string]bool{},
		dirty:    map[string]bool{},
		counted:  map[string]bool{},
		unsaved:  map[uint64]bool{},
		profiles: map[uint64]*telemetry.Profile{},
	}
	if err := r.load(); err != nil {
		return nil, fmt.Errorf("open roster: %w", err)
	}
	return r, nil
}

// Active returns the units on test, sorted by id. The values belong to the caller.
func (r *Roster) Active() []Unit {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Unit, 0, len(r.units))
	for _, u := range r.units {
		c := *u
		c.Last = slices.Clone(u.Last)
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Unit) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// Profile returns the profile with this fingerprint, or nil when none was ever in
// use. It must not be changed.
func (r *Roster) Profile(fingerprint uint64) *telemetry.Profile {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.profiles[fingerprint]
}

// Changed is signalled after a unit came, left or changed its profile. It has room
// for one signal, so it serves one reader, which then looks at Active.
func (r *Roster) Changed() <-chan struct{} { return r.changed }

// Sources returns the names of the sources that have a unit on test, sorted.
func (r *Roster) Sources() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := map[string]bool{}
	for _, u := range r.units {
		names[u.Source] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// Runs returns the runs of a source that are on test, sorted by unit.
func (r *Roster) Runs(sourceName string) []source.Run {
	var runs []source.Run
	for _, u := range r.Active() {
		if u.Source == sourceName {
			runs = append(runs, source.Run{Unit: u.ID, Profile: u.Profile, Born: u.Born, Count: u.Count})
		}
	}
	return runs
}

// Births puts runs of a source on test, all in one write. The run of a unit that is
// on test with the same birth goes on: it keeps its last values, and takes the count
// and profile given. With another birth the new run takes its place. A malformed id
// or profile, or a unit that another source has on test, is an error, and then nothing
// was changed.
func (r *Roster) Births(sourceName string, runs ...source.Run) error {
	return r.change(sourceName, runs, nil)
}

// Deaths takes units of a source off the test, all in one write. Units that are not on
// test are passed over.
func (r *Roster) Deaths(sourceName string, units ...string) error {
	return r.change(sourceName, nil, units)
}

// Restore makes runs the only ones of the source: a rereadable source's cursor
// knows better than the roster which are on test.
func (r *Roster) Restore(sourceName string, runs []source.Run) error {
	keep := map[string]bool{}
	for i := range runs {
		keep[runs[i].Unit] = true
	}
	var gone []string
	for _, old := range r.Runs(sourceName) {
		if !keep[old.Unit] {
			gone = append(gone, old.Unit)
		}
	}
	return r.change(sourceName, runs, gone)
}

// Took notes the latest reading of a unit: how many readings its run has with it,
// its time (unix ns) and values, which are copied. A unit that is not on test is
// passed over.
func (r *Roster) Took(unit string, count uint64, lastTime int64, last []telemetry.Value) {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.units[unit]
	if u == nil {
		return
	}
	u.Count, u.LastTime = count, lastTime
	u.Last = append(u.Last[:0], last...)
	r.counted[u.Source] = true
}

// Run notes counts from time to time until ctx ends, and makes them durable then, of which it
// returns the error; earlier ones are logged.
func (r *Roster) Run(ctx context.Context) error {
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return r.saveAll(r.kv.Put)
		case <-tick.C:
			r.note(r.Save())
		}
	}
}

// signal tells the reader of Changed.
func (r *Roster) signal() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}
