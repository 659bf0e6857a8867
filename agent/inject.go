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

// maxInjection is the largest request for a fault, in bytes.
const maxInjection = 4096

// injection is the body of POST /simulated/inject: a fault for a unit that is on test
// at a simulated station of this cell.
type injection struct {
	Unit     string    `json:"unit"`
	Fault    dyno.Kind `json:"fault"`
	Seconds  float64   `json:"seconds"` // 0: for the rest of the unit's test
	Signal   string    `json:"signal"`  // of a sensor's fault
	duration time.Duration
}

// twin is a source whose machines can be given faults.
type twin interface {
	Inject(unit string, f dyno.Fault) error
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

// injector answers requests for faults: 204 when the fault has begun, 404 where no
// such unit is on test, 400 with the reason otherwise. It takes JSON only, so that no
// web page can send it one.
func injector(twins []twin) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in, err := readInjection(w, r)
		for i := 0; err == nil && i < len(twins); i++ {
			err = twins[i].Inject(in.Unit, dyno.Fault{Kind: in.Fault, Duration: in.duration, Signal: in.Signal})
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

func readInjection(w http.ResponseWriter, r *http.Request) (injection, error) {
	var in injection
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return in, errors.New("the request must be application/json")
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxInjection))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return in, err
	}
	if !(in.Seconds >= 0 && in.Seconds < 1e6) {
		return in, errors.New("seconds must be 0 or more")
	}
	in.duration = time.Duration(in.Seconds * float64(time.Second))
	return in, nil
}
