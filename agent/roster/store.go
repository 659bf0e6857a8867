package roster

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"andon.internal/agent/source"
	"andon.internal/shared/telemetry"
)

// What lies where in the KV. A KV cannot list its keys, so an index names the
// documents. There is one document a source, so that a busy source does not rewrite
// the runs of the others.
const (
	indexBucket   = "roster"
	sourcesKey    = "sources"  // JSON list of source names
	profilesKey   = "profiles" // JSON list of fingerprints
	runsBucket    = "runs"     // source name -> runsDoc
	profileBucket = "profiles" // fingerprint -> profileDoc
)

// errLate is why nothing is written: see Options.Late.
var errLate = errors.New("what the disk has is not known yet")

// docVersion is the version of the documents' form.
const docVersion = 1

type runsDoc struct {
	Version int      `json:"version"`
	Runs    []runDoc `json:"runs"`
}

type runDoc struct {
	Unit     string `json:"unit"`
	Born     int64  `json:"born"`
	Profile  string `json:"profile"` // fingerprint
	Count    uint64 `json:"count"`
	LastTime int64  `json:"last_time"`
}

func fingerprintText(fp uint64) string { return fmt.Sprintf("%016x", fp) }

// change applies births and deaths of one source: checked first, then durable, then
// in memory. A store that fails does not hold a unit back.
func (r *Roster) change(name string, births []source.Run, deaths []string) error {
	if err := telemetry.CheckID("source", name); err != nil {
		return err
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	if err := r.checkBirths(name, births); err != nil {
		return err
	}
	for i := range births {
		if err := r.remember(births[i].Profile); err != nil {
			return err
		}
	}
	next := r.copyOf(name)
	if !r.apply(next, name, births, deaths) {
		return nil
	}
	err := r.putRuns(name, next, r.kv.Put)
	r.mu.Lock()
	r.apply(r.units, name, births, deaths)
	if err != nil {
		r.dirty[name] = true
	}
	r.mu.Unlock()
	r.note(err)
	r.signal()
	return nil
}

// note logs that something is in memory only, the first time and now and then, and
// that it is over. The line keeps running.
func (r *Roster) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil:
		if r.failures++; r.failures%6 == 1 {
			r.log.Warn("units on test are in memory only; trying again", "error", err, "failures", r.failures)
		}
	case r.failures > 0:
		r.log.Info("units on test are stored again", "failures", r.failures)
		r.failures = 0
	}
}

// copyOf returns copies of the units of a source.
func (r *Roster) copyOf(name string) map[string]*Unit {
	r.mu.Lock()
	defer r.mu.Unlock()
	units := map[string]*Unit{}
	for id, u := range r.units {
		if u.Source == name {
			c := *u
			units[id] = &c
		}
	}
	return units
}

func (r *Roster) checkBirths(name string, births []source.Run) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range births {
		b := &births[i]
		if err := telemetry.CheckID("unit", b.Unit); err != nil {
			return err
		}
		if b.Profile == nil {
			return fmt.Errorf("unit %s is born without a profile", b.Unit)
		}
		if u := r.units[b.Unit]; u != nil && u.Source != name {
			return fmt.Errorf("unit %s of source %s is already on test at source %s: give one of them another name or prefix",
				b.Unit, name, u.Source)
		}
	}
	return nil
}

// apply makes the change in units, which holds at least those of the source, and
// reports whether anything is different from before.
func (r *Roster) apply(units map[string]*Unit, name string, births []source.Run, deaths []string) (changed bool) {
	for _, id := range deaths {
		if u := units[id]; u != nil && u.Source == name {
			delete(units, id)
			changed = true
		}
	}
	for i := range births {
		b := &births[i]
		p := r.profiles[b.Profile.Fingerprint()]
		u := units[b.Unit]
		if u == nil || u.Born != b.Born {
			u = &Unit{ID: b.Unit, Source: name, Born: b.Born}
			units[b.Unit], changed = u, true
		}
		if u.Profile != p || u.Count != b.Count {
			u.Profile, u.Count, changed = p, b.Count, true
		}
		if len(u.Last) != len(p.Signals) {
			u.Last = nil
		}
	}
	return changed
}

// storing is KV.Put or KV.Note.
type storing func(bucket, key string, value []byte) error

// putRuns stores the units of a source. It is called with writing held.
func (r *Roster) putRuns(name string, units map[string]*Unit, store storing) error {
	doc := runsDoc{Version: docVersion, Runs: make([]runDoc, 0, len(units))}
	for _, u := range units {
		doc.Runs = append(doc.Runs, runDoc{u.ID, u.Born, fingerprintText(u.Profile.Fingerprint()), u.Count, u.LastTime})
	}
	slices.SortFunc(doc.Runs, func(a, b runDoc) int { return strings.Compare(a.Unit, b.Unit) })
	if !r.sources[name] {
		names := append(slices.Collect(maps.Keys(r.sources)), name)
		slices.Sort(names)
		if err := r.put(indexBucket, sourcesKey, names, r.kv.Put); err != nil {
			return err
		}
		r.sources[name] = true
	}
	return r.put(runsBucket, name, doc, store)
}

// Save notes the counts, and makes durable what could not be stored before. It writes
// nothing when nothing has changed.
func (r *Roster) Save() error { return r.saveAll(r.kv.Note) }

// saveAll is Save, with another way to store the counts.
func (r *Roster) saveAll(note storing) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	if r.late {
		return nil
	}
	r.mu.Lock()
	dirty, counted, unsaved := r.dirty, r.counted, r.unsaved
	r.dirty, r.counted, r.unsaved = map[string]bool{}, map[string]bool{}, map[uint64]bool{}
	r.mu.Unlock()
	err := r.save(dirty, counted, unsaved, note)
	if err != nil {
		r.mu.Lock()
		maps.Copy(r.dirty, dirty)
		maps.Copy(r.counted, counted)
		maps.Copy(r.unsaved, unsaved)
		r.mu.Unlock()
		return fmt.Errorf("save roster: %w", err)
	}
	return nil
}

func (r *Roster) save(dirty, counted map[string]bool, profiles map[uint64]bool, note storing) error {
	for fp := range profiles {
		if err := r.putProfile(r.profiles[fp]); err != nil {
			return err
		}
	}
	for name := range counted {
		if dirty[name] {
			continue
		}
		if err := r.putRuns(name, r.copyOf(name), note); err != nil {
			return err
		}
	}
	for name := range dirty {
		if err := r.putRuns(name, r.copyOf(name), r.kv.Put); err != nil {
			return err
		}
	}
	return nil
}

func (r *Roster) put(bucket, key string, v any, store storing) error {
	if r.late {
		return fmt.Errorf("store %s/%s: %w", bucket, key, errLate)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s/%s: %w", bucket, key, err)
	}
	if err := store(bucket, key, b); err != nil {
		return fmt.Errorf("store %s/%s: %w", bucket, key, err)
	}
	return nil
}

// load reads everything. Only a store that does not answer is an error.
func (r *Roster) load() error {
	var fingerprints, names []string
	if _, err := r.get(indexBucket, profilesKey, &fingerprints); err != nil {
		return err
	}
	for _, text := range fingerprints {
		if err := r.loadProfile(text); err != nil {
			return err
		}
	}
	if _, err := r.get(indexBucket, sourcesKey, &names); err != nil {
		return err
	}
	for _, name := range names {
		r.sources[name] = true
		var doc runsDoc
		ok, err := r.get(runsBucket, name, &doc)
		if err != nil {
			return err
		}
		if ok && doc.Version != docVersion {
			r.log.Error("units of a source not read: unknown version", "source", name, "version", doc.Version)
			continue
		}
		r.adopt(name, doc.Runs)
	}
	return nil
}

// get decodes a document; ok is false when there is none or it is damaged, which is
// logged.
func (r *Roster) get(bucket, key string, into any) (ok bool, err error) {
	b, err := r.kv.Get(bucket, key)
	if err != nil {
		return false, fmt.Errorf("read %s/%s: %w", bucket, key, err)
	}
	if b == nil {
		return false, nil
	}
	if err := json.Unmarshal(b, into); err != nil {
		r.log.Error("stored document is damaged and left out", "bucket", bucket, "key", key, "error", err)
		return false, nil
	}
	return true, nil
}

// adopt puts the stored runs of a source on test.
func (r *Roster) adopt(name string, runs []runDoc) {
	for _, d := range runs {
		p := r.profileByText(d.Profile)
		if p == nil || telemetry.CheckID("unit", d.Unit) != nil || r.units[d.Unit] != nil {
			r.log.Error("stored unit is not usable and left out", "source", name, "unit", d.Unit, "profile", d.Profile)
			continue
		}
		r.units[d.Unit] = &Unit{
			ID: d.Unit, Source: name, Profile: p, Born: d.Born, Count: d.Count, LastTime: d.LastTime,
		}
	}
}
