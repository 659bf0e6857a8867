package store

import (
	"encoding/json"
	"fmt"
	"strings"

	"andon.internal/shared/telemetry"
)

// definition is a profile as the table profile keeps it. Its signals are the
// table's columns, in the table's order.
type definition struct {
	Description string             `json:"description,omitempty"`
	Signals     []signalDefinition `json:"signals"`
}

type signalDefinition struct {
	Name        string   `json:"name"`
	Type        string   `json:"type"`
	Unit        string   `json:"unit,omitempty"`
	Description string   `json:"description,omitempty"`
	Min         *float64 `json:"min,omitempty"`
	Max         *float64 `json:"max,omitempty"`
}

// define writes a profile whose signals lie in the given order.
func define(p *telemetry.Profile) ([]byte, error) {
	d := definition{Description: cleanText(p.Description)}
	for _, s := range p.Signals {
		d.Signals = append(d.Signals, signalDefinition{
			Name: s.Name, Type: s.Type.String(), Unit: cleanText(s.Unit),
			Description: cleanText(s.Description), Min: s.Min, Max: s.Max,
		})
	}
	return json.Marshal(d)
}

// undefine is the inverse of define.
func undefine(name string, version int, b []byte) (*telemetry.Profile, error) {
	var d definition
	if err := json.Unmarshal(b, &d); err != nil {
		return nil, fmt.Errorf("definition of profile %s: %w", name, err)
	}
	p := &telemetry.Profile{Name: name, Version: version, Description: d.Description}
	for _, s := range d.Signals {
		t, err := telemetry.ParseType(s.Type)
		if err != nil {
			return nil, fmt.Errorf("definition of profile %s: signal %s: %w", name, s.Name, err)
		}
		p.Signals = append(p.Signals, telemetry.Signal{
			Name: s.Name, Type: t, Unit: s.Unit, Description: s.Description, Min: s.Min, Max: s.Max,
		})
	}
	if err := p.Check(); err != nil {
		return nil, fmt.Errorf("definition of profile %s: %w", name, err)
	}
	return p, nil
}

// evolve returns what the table must become when profile next meets the installed
// one: the installed signals in their order, with next's texts and ranges, then the
// new ones. changed is false when next is older and only has what is there.
func evolve(installed, next *telemetry.Profile) (merged *telemetry.Profile, added []telemetry.Signal, err error) {
	older := next.Version < installed.Version
	m := *next
	m.Signals = nil
	var faults []string
	for _, have := range installed.Signals {
		i := next.Index(have.Name)
		switch {
		case i < 0 && older:
			m.Signals = append(m.Signals, have)
		case i < 0:
			faults = append(faults, fmt.Sprintf("signal %s was removed: keep it in the profile (it may stay without values), its column holds readings", have.Name))
		case next.Signals[i].Type != have.Type:
			faults = append(faults, fmt.Sprintf("signal %s was %v and is now %v: give the new one another name", have.Name, have.Type, next.Signals[i].Type))
		default:
			m.Signals = append(m.Signals, next.Signals[i])
		}
	}
	for _, s := range next.Signals {
		if installed.Index(s.Name) < 0 {
			m.Signals = append(m.Signals, s)
			added = append(added, s)
		}
	}
	if len(m.Signals) > telemetry.MaxSignals {
		faults = append(faults, fmt.Sprintf("the table would have %d signals, more than %d", len(m.Signals), telemetry.MaxSignals))
	}
	if len(faults) > 0 {
		return nil, nil, fmt.Errorf("profile %s version %d cannot follow version %d: %s",
			next.Name, next.Version, installed.Version, strings.Join(faults, "; "))
	}
	if older {
		m.Version, m.Description = installed.Version, installed.Description
		copy(m.Signals, installed.Signals) // the newer texts and ranges stay
	}
	return &m, added, nil
}

// columnType is a signal's type in PostgreSQL.
func columnType(t telemetry.Type) string {
	switch t {
	case telemetry.Real:
		return "real"
	case telemetry.Integer:
		return "bigint"
	case telemetry.Boolean:
		return "boolean"
	default:
		return "double precision"
	}
}

// tableName is where a profile's readings lie.
func tableName(profile string) string { return "reading_" + profile }

// quote makes an identifier of a name; signal and profile names need no escapes.
func quote(name string) string { return `"` + name + `"` }

// columnList is the signals as quoted columns.
func columnList(p *telemetry.Profile, prefix string) string {
	var b strings.Builder
	for _, s := range p.Signals {
		b.WriteString(", ")
		b.WriteString(prefix)
		b.WriteString(quote(s.Name))
	}
	return b.String()
}
