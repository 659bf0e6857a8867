package web

import (
	"encoding/json"
	"time"

	"andon.internal/collector/plant"
)

// frame is what changed between two versions of the picture. Who misses one gets the
// next from where they stand, so nothing is ever queued.
type frame struct {
	Stamp
	Version  uint64              `json:"v"`
	Readings uint64              `json:"readings"`
	Profiles map[string]*Profile `json:"profiles,omitempty"`
	Units    []unitView          `json:"units,omitempty"`   // new, or changed in more than values
	Changes  []columns           `json:"changes,omitempty"` // by profile
	Gone     []uint32            `json:"gone,omitempty"`
	Cells    []cellView          `json:"cells,omitempty"`
	Alarms   []alarmView         `json:"alarms,omitempty"`
}

// columns are the units of one profile that changed, one entry each.
type columns struct {
	Profile string   `json:"p"`
	Key     []uint32 `json:"k"`
	State   []string `json:"state"`
	Since   []int64  `json:"since"`
	Time    []int64  `json:"t"`
	Plotted []int64  `json:"at"`
	Heard   []int64  `json:"heard"`
	Quality []int    `json:"q"`
	Values  [][]live `json:"v"` // by signal of the fleet page, then by unit
}

// frameSince makes the frame from a version to now. ok is false when only a snapshot
// will do.
func (w *Web) frameSince(since uint64, now time.Time) (f frame, ok bool) {
	pic, ok := w.sources.Plant.Changes(now, since)
	if !ok {
		return frame{}, false
	}
	f = frame{
		Version: pic.Version, Readings: pic.Readings, Gone: pic.Gone,
		Cells: cellViews(pic.Cells), Alarms: alarmViews(pic.Alarms), Profiles: map[string]*Profile{},
	}
	changed := map[string]int{}
	for i := range pic.Units {
		u := &pic.Units[i]
		if u.Introduced > since {
			f.Units = append(f.Units, w.whole(u, f.Profiles, now))
			continue
		}
		p := w.display.of(u.Profile)
		at, seen := changed[p.ID]
		if !seen {
			at = len(f.Changes)
			changed[p.ID] = at
			f.Changes = append(f.Changes, columns{Profile: p.ID, Values: make([][]live, len(p.Fleet))})
		}
		f.Changes[at].add(u, p.Fleet)
	}
	return f, true
}

func (c *columns) add(u *plant.Unit, signals []int) {
	c.Key = append(c.Key, u.Key)
	c.State = append(c.State, string(u.State))
	c.Since = append(c.Since, millis(u.Since))
	c.Time = append(c.Time, millis(u.Time))
	c.Plotted = append(c.Plotted, millis(u.Plotted))
	c.Heard = append(c.Heard, millis(u.Heard))
	c.Quality = append(c.Quality, int(u.Quality))
	for i, n := range numbers(u, signals) {
		c.Values[i] = append(c.Values[i], live(n))
	}
}

// event writes a server-sent event. The types that are sent can always be encoded.
func event(name string, data any) []byte {
	body, err := json.Marshal(data)
	if err != nil {
		body = []byte("{}")
	}
	out := make([]byte, 0, len(body)+len(name)+20)
	out = append(out, "event: "...)
	out = append(out, name...)
	out = append(out, "\ndata: "...)
	out = append(out, body...)
	return append(out, "\n\n"...)
}
