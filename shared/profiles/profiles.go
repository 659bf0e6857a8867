// Package profiles reads profiles from YAML: the two that ship with Andon and those
// that a user adds.
//
// It stands before the flow, at both ends: the agent needs a profile to make a
// unit's birth, the collector to make its tables. It promises that what it returns
// has passed [telemetry.Profile.Check] and that no two profiles share a name. The
// file's form is documented at the head of dyno.yaml, and for users in
// docs/profiles.md.
package profiles

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"andon.internal/shared/config"
	"andon.internal/shared/telemetry"
)

//go:embed dyno.yaml turbofan.yaml
var builtin embed.FS

// maxFiles bounds a folder of profiles.
const maxFiles = 256

// Builtin returns the profiles that ship with Andon, dyno and turbofan. The caller
// owns them.
func Builtin() []*telemetry.Profile {
	var out []*telemetry.Profile
	for _, name := range []string{"dyno.yaml", "turbofan.yaml"} {
		data, err := builtin.ReadFile(name)
		if err != nil {
			panic(err) // the build embeds it
		}
		p, err := Decode(name, data)
		if err != nil {
			panic(err) // a test reads both
		}
		out = append(out, p)
	}
	return out
}

// Load reads the profile in the file at path. The error names every fault with its
// line.
func Load(path string) (*telemetry.Profile, error) {
	var f file
	if err := config.Load(path, &f); err != nil {
		return nil, err
	}
	return f.profile(), nil
}

// Decode is [Load] for data in memory; name stands for the file in messages.
func Decode(name string, data []byte) (*telemetry.Profile, error) {
	var f file
	if err := config.Decode(name, data, &f); err != nil {
		return nil, err
	}
	return f.profile(), nil
}

// LoadDir reads every .yaml and .yml file of a folder, in the order of their names,
// not looking into folders below. The error names the faults of all of them.
func LoadDir(dir string) ([]*telemetry.Profile, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read profiles: %w", err)
	}
	var out []*telemetry.Profile
	var errs []error
	files := 0
	for _, e := range entries {
		ext := strings.ToLower(filepath.Ext(e.Name()))
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") || (ext != ".yaml" && ext != ".yml") {
			continue
		}
		if files++; files > maxFiles {
			errs = append(errs, fmt.Errorf("read profiles: %s has more than %d files", dir, maxFiles))
			break
		}
		p, err := Load(filepath.Join(dir, e.Name()))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, p)
	}
	return out, errors.Join(errs...)
}

// All returns the built-in profiles and those of the given files and folders. Two
// profiles with one name are an error.
func All[P ~string](paths []P) ([]*telemetry.Profile, error) {
	out := Builtin()
	from := map[string]string{}
	for _, p := range out {
		from[p.Name] = "built in"
	}
	var errs []error
	for _, path := range paths {
		found, err := loadAny(string(path))
		if err != nil {
			errs = append(errs, err)
		}
		for _, p := range found {
			if other, taken := from[p.Name]; taken {
				errs = append(errs, fmt.Errorf("profile %q of %s is there already (%s); give it another name", p.Name, path, other))
				continue
			}
			from[p.Name] = string(path)
			out = append(out, p)
		}
	}
	if len(errs) > 0 {
		return nil, &setError{errors.Join(errs...)}
	}
	return out, nil
}

// setError is every fault of a set of profiles; it is the operator's to mend.
type setError struct{ error }

func (e *setError) Unwrap() error { return e.error }
func (e *setError) Usage() bool   { return true }

func loadAny(path string) ([]*telemetry.Profile, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	if info.IsDir() {
		return LoadDir(path)
	}
	p, err := Load(path)
	if err != nil {
		return nil, err
	}
	return []*telemetry.Profile{p}, nil
}

// Find returns the profile called name, or nil.
func Find(list []*telemetry.Profile, name string) *telemetry.Profile {
	i := slices.IndexFunc(list, func(p *telemetry.Profile) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return list[i]
}

// Names returns the names of the profiles, for a message.
func Names(list []*telemetry.Profile) string {
	names := make([]string, len(list))
	for i, p := range list {
		names[i] = p.Name
	}
	return strings.Join(names, ", ")
}
