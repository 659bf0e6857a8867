package agent

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"time"

	"andon.internal/agent/source"
	"andon.internal/agent/source/simulated"
	"andon.internal/agent/source/simulated/dyno"
)

// maxOrder is the largest order to a simulated machine, in bytes.
const maxOrder = 4096

// injection is the body of POST /simulated/inject: a fault for a unit that is on test
// at a simulated station of this cell.
type injection struct {
	Unit    string    `json:"unit"` // or the station's name
	Fault   dyno.Kind `json:"fault"`
	Seconds float64   `json:"seconds"` // 0: for the rest of the unit's test
	Signal  string    `json:"signal"`  // of a sensor's fault
}

// drive is the body of POST /simulated/stop and /simulated/release.
type drive struct {
	Unit string `json:"unit"` // or the station's name
}

// twin is a source whose machines can be given faults, stopped and released.
type twin interface {
	Inject(unit string, f dyno.Fault) error
	Stop(unit string) error
	Release(unit string) error
}

func twinsOf(sources []source.Source) []twin {
	var out []twin
	for _, s := range sources {
		if t, ok := s.(twin); ok {
			out = append(out, t)
		}
	}
	return out
}

// twinHandlers are what the agent answers about its simulated machines, by pattern.
func twinHandlers(twins []twin) map[string]http.Handler {
	return map[string]http.Handler{
		"POST /simulated/inject": order(twins, func(t twin, in injection) error {
			if !(in.Seconds >= 0 && in.Seconds < 1e6) {
				return errors.New("seconds must be 0 or more")
			}
			d := time.Duration(in.Seconds * float64(time.Second))
			return t.Inject(in.Unit, dyno.Fault{Kind: in.Fault, Duration: d, Signal: in.Signal})
		}),
		"POST /simulated/stop":    order(twins, func(t twin, in drive) error { return t.Stop(in.Unit) }),
		"POST /simulated/release": order(twins, func(t twin, in drive) error { return t.Release(in.Unit) }),
	}
}

// order answers requests to do something with a unit: 204 when it is done, 404 where no
// such unit is on test, 400 with the reason otherwise. It takes JSON only, so that no
// web page can send it one.
func order[T any](twins []twin, do func(twin, T) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in, err := readOrder[T](w, r)
		for i := 0; err == nil && i < len(twins); i++ {
			err = do(twins[i], in)
			if err == nil {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			if errors.Is(err, simulated.ErrNoUnit) && i < len(twins)-1 {
				err = nil // it may stand on a station of another source
			}
		}
		status := http.StatusBadRequest
		if errors.Is(err, simulated.ErrNoUnit) {
			status = http.StatusNotFound
		}
		http.Error(w, err.Error(), status)
	})
}

func readOrder[T any](w http.ResponseWriter, r *http.Request) (in T, err error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return in, errors.New("the request must be application/json")
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder))
	d.DisallowUnknownFields()
	err = d.Decode(&in)
	return in, err
}
