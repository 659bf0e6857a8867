package roster

import (
	"fmt"
	"maps"
	"slices"

	"andon.internal/shared/telemetry"
)

// Reload reads what the KV holds, where it could not be read at Open, and makes durable
// what is known beside it. Profiles and units that are known here stay as they are, and of
// the sources that own names only these: they have begun anew meanwhile. On an error it may
// be called again.
func (r *Roster) Reload(own ...string) error {
	stored := &Roster{
		kv: r.kv, log: r.log, units: map[string]*Unit{}, sources: map[string]bool{}, profiles: r.profilesNow(),
	}
	if err := stored.load(); err != nil {
		return fmt.Errorf("reload roster: %w", err)
	}
	r.writing.Lock()
	r.mu.Lock()
	for fp, p := range stored.profiles {
		if r.profiles[fp] == nil {
			r.profiles[fp] = p
		} else {
			r.unsaved[fp] = true
		}
	}
	for _, u := range r.units {
		r.dirty[u.Source] = true
	}
	for name := range stored.sources {
		r.sources[name] = true
		if slices.Contains(own, name) {
			r.dirty[name] = true
		}
	}
	for id, u := range stored.units {
		if r.units[id] == nil && !slices.Contains(own, u.Source) {
			u.Profile = r.profiles[u.Profile.Fingerprint()]
			r.units[id] = u
		}
	}
	r.mu.Unlock()
	r.late = false
	r.writing.Unlock()
	r.signal()
	return r.Save()
}

// profilesNow returns a copy of what is known.
func (r *Roster) profilesNow() map[uint64]*telemetry.Profile {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.profiles)
}
