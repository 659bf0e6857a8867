package roster

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"andon.internal/shared/telemetry"
)

// profileDoc is a profile as stored. It is spelled out here, so that the stored form
// does not move when the Go type does.
type profileDoc struct {
	Version     int         `json:"version"` // of the document
	Name        string      `json:"name"`
	Number      int         `json:"profile_version"`
	Description string      `json:"description,omitempty"`
	Signals     []signalDoc `json:"signals"`
}

type signalDoc struct {
	Name        string   `json:"name"`
	Unit        string   `json:"unit,omitempty"`
	Type        string   `json:"type"`
	Description string   `json:"description,omitempty"`
	Min         *float64 `json:"min,omitempty"`
	Max         *float64 `json:"max,omitempty"`
}

// Remember keeps a profile for ever. A profile of the same fingerprint is replaced
// when its version, texts or ranges differ, for the units on test too: the layout of a row is
// the same. The error says that the profile is not valid.
func (r *Roster) Remember(p *telemetry.Profile) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	return r.remember(p)
}

// remember is called with writing held.
func (r *Roster) remember(p *telemetry.Profile) error {
	fp := p.Fingerprint()
	old := r.profiles[fp]
	if old != nil && old.Equal(p) {
		return nil
	}
	if err := p.Check(); err != nil {
		return fmt.Errorf("profile %s: %w", p.Name, err)
	}
	err := r.putProfile(p)
	r.mu.Lock()
	r.profiles[fp] = p
	for _, u := range r.units {
		if u.Profile == old {
			u.Profile = p
			r.signal()
		}
	}
	if err != nil {
		r.unsaved[fp] = true
	}
	r.mu.Unlock()
	r.note(err)
	return nil
}

// putProfile makes a profile durable. It is called with writing held.
func (r *Roster) putProfile(p *telemetry.Profile) error {
	fp := p.Fingerprint()
	if err := r.put(profileBucket, fingerprintText(fp), profileToDoc(p), r.kv.Put); err != nil {
		return err
	}
	texts := []string{fingerprintText(fp)}
	for known := range r.profiles {
		texts = append(texts, fingerprintText(known))
	}
	slices.Sort(texts)
	return r.put(indexBucket, profilesKey, slices.Compact(texts), r.kv.Put)
}

// Documents returns all profiles as they are stored, by fingerprint, for who reads the
// buffer in another process: see [FromDocuments]. Safe for concurrent use.
func (r *Roster) Documents() map[string]json.RawMessage {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string]json.RawMessage, len(r.profiles))
	for fp, p := range r.profiles {
		if b, err := json.Marshal(profileToDoc(p)); err == nil {
			out[fingerprintText(fp)] = b
		}
	}
	return out
}

// StoredDocuments returns what Documents does, of a KV that no roster has open.
func StoredDocuments(kv interface {
	All(bucket string) (map[string][]byte, error)
},
) (map[string]json.RawMessage, error) {
	stored, err := kv.All(profileBucket)
	out := make(map[string]json.RawMessage, len(stored))
	for fp, doc := range stored {
		out[fp] = doc
	}
	return out, err
}

// FromDocuments returns the profiles that are valid and have the fingerprint under which
// they stand.
func FromDocuments(docs map[string]json.RawMessage) map[uint64]*telemetry.Profile {
	out := map[uint64]*telemetry.Profile{}
	for text, b := range docs {
		var doc profileDoc
		if json.Unmarshal(b, &doc) != nil {
			continue
		}
		if p, err := docToProfile(&doc); err == nil && fingerprintText(p.Fingerprint()) == text {
			out[p.Fingerprint()] = p
		}
	}
	return out
}

func (r *Roster) loadProfile(text string) error {
	var doc profileDoc
	ok, err := r.get(profileBucket, text, &doc)
	if err != nil || !ok {
		return err
	}
	p, err := docToProfile(&doc)
	if err == nil && fingerprintText(p.Fingerprint()) != text {
		err = fmt.Errorf("it has the fingerprint %s", fingerprintText(p.Fingerprint()))
	}
	if err != nil {
		r.log.Error("stored profile is not usable and left out", "profile", text, "error", err)
		return nil
	}
	r.profiles[p.Fingerprint()] = p
	return nil
}

func (r *Roster) profileByText(text string) *telemetry.Profile {
	fp, err := strconv.ParseUint(text, 16, 64)
	if err != nil {
		return nil
	}
	return r.profiles[fp]
}

func profileToDoc(p *telemetry.Profile) *profileDoc {
	doc := &profileDoc{Version: docVersion, Name: p.Name, Number: p.Version, Description: p.Description}
	for i := range p.Signals {
		s := &p.Signals[i]
		doc.Signals = append(doc.Signals, signalDoc{s.Name, s.Unit, s.Type.String(), s.Description, s.Min, s.Max})
	}
	return doc
}

func docToProfile(doc *profileDoc) (*telemetry.Profile, error) {
	if doc.Version != docVersion {
		return nil, fmt.Errorf("version %d of the document is unknown", doc.Version)
	}
	p := &telemetry.Profile{Name: doc.Name, Version: doc.Number, Description: doc.Description}
	for i := range doc.Signals {
		s := &doc.Signals[i]
		t, err := telemetry.ParseType(s.Type)
		if err != nil {
			return nil, err
		}
		p.Signals = append(p.Signals, telemetry.Signal{
			Name: s.Name, Unit: s.Unit, Type: t, Description: s.Description, Min: s.Min, Max: s.Max,
		})
	}
	return p, p.Check()
}
