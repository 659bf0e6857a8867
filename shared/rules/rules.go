// Package rules holds the rule files that ship with Andon and reads those of the
// operator.
//
// It stands before the sentinel. It promises that what it returns was checked as a
// whole against the profiles, and that a rule of the operator takes the place of the
// shipped one of the same alarm.
package rules

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"andon.internal/shared/config"
	"andon.internal/shared/profiles"
	"andon.internal/shared/sentinel"
	"andon.internal/shared/telemetry"
)

//go:embed dyno.yaml node.yaml
var shipped embed.FS

// maxFiles bounds a folder of rule files.
const maxFiles = 256

// Shipped returns the rules that ship with Andon.
func Shipped() *sentinel.Rules {
	var files []*sentinel.Rules
	for _, name := range []string{"dyno.yaml", "node.yaml"} {
		data, err := shipped.ReadFile(name)
		if err != nil {
			panic(err) // the build embeds it
		}
		r, err := sentinel.Load(name, data, profiles.Builtin())
		if err != nil {
			panic(err) // a test reads both
		}
		files = append(files, r)
	}
	return sentinel.Join(files...)
}

// Load reads one rule file. The error names every fault with its line.
func Load(path string, list []*telemetry.Profile) (*sentinel.Rules, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, config.MaxFile+1)) // one byte too many is refused below
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	return sentinel.Load(path, data, list)
}

// All returns the shipped rules and those of the given files and folders. Two rules of
// the operator's with one alarm are an error.
func All[P ~string](paths []P, list []*telemetry.Profile) (*sentinel.Rules, error) {
	files := []*sentinel.Rules{Shipped()}
	from := map[string]string{}
	var errs []error
	for _, p := range paths {
		names, err := expand(string(p))
		if err != nil {
			errs = append(errs, fmt.Errorf("read rules: %w", err))
			continue
		}
		for _, name := range names {
			r, err := Load(name, list)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			for _, rule := range r.List() {
				if other, taken := from[rule.Alarm]; taken {
					errs = append(errs, fmt.Errorf("alarm %q of %s is in %s too; give it another name", rule.Alarm, name, other))
				}
				from[rule.Alarm] = name
			}
			files = append(files, r)
		}
	}
	if len(errs) > 0 {
		return nil, &setError{errors.Join(errs...)}
	}
	return sentinel.Join(files...), nil
}

// setError is every fault of a set of rule files; it is the operator's to mend.
type setError struct{ error }

func (e *setError) Unwrap() error { return e.error }
func (e *setError) Usage() bool   { return true }

// expand returns the path itself, or the YAML files of a folder in the order of their
// names, not looking into folders below.
func expand(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		ext := strings.ToLower(filepath.Ext(e.Name()))
		if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") && (ext == ".yaml" || ext == ".yml") {
			names = append(names, filepath.Join(path, e.Name()))
		}
	}
	if len(names) > maxFiles {
		return nil, fmt.Errorf("%s has more than %d files", path, maxFiles)
	}
	slices.Sort(names)
	return names, nil
}
