package sentinel

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"andon.internal/shared/config"
	"andon.internal/shared/telemetry"
)

// apiVersion is what a rule file of this form begins with.
const apiVersion = "andon/v1"

// period is the name by which an expression asks for the unit's usual time between
// two readings, in seconds.
const period = "period"

// Rules is a rule file that was checked and made ready. It is not changed, so
// engines may share it.
type Rules struct {
	Hash string // of the file's text; tells which rules a cell runs
	list []*compiled
}

// List returns the rules in the order of the file.
func (r *Rules) List() []Rule {
	out := make([]Rule, len(r.list))
	for i, c := range r.list {
		out[i] = c.Rule
	}
	return out
}

// Join returns the rules of several files as one. A rule takes the place of an earlier
// file's with the same alarm, so that an operator can change what ships.
func Join(files ...*Rules) *Rules {
	out, at := &Rules{}, map[string]int{}
	h := fnv.New64a()
	for _, f := range files {
		h.Write([]byte(f.Hash))
		for _, c := range f.list {
			if n, taken := at[c.Alarm]; taken {
				out.list[n] = c
				continue
			}
			at[c.Alarm] = len(out.list)
			out.list = append(out.list, c)
		}
	}
	out.Hash = fmt.Sprintf("%016x", h.Sum64())
	return out
}

// toldUnits are the functions of what is told of a node, and their units: the skew of its
// clock, and whether something is wrong with its disk.
var toldUnits = map[string]string{"skew": "s", "disk": ""}

// compiled is a rule made ready.
type compiled struct {
	Rule
	features []named // in the order of their names
	signals  []string
	silence  string // the feature that is silence, or ""
	told     string // the feature that is told of a node, or ""
	toldFn   string // its function: see toldUnits
	enable   *predicate
	when     *predicate
	clear    *predicate // nil: when `when` is no longer true
}

type named struct {
	name string
	Feature
}

// predicate is a stateless expression over features, signals and period.
type predicate struct {
	program *vm.Program
	uses    []string
}

// file is the form of a rule file.
type file struct {
	APIVersion string `yaml:"apiVersion,required"`
	Rules      []Rule `yaml:"rules,required"`
	profiles   []*telemetry.Profile
	compiled   []*compiled
}

// Check compiles every rule, so that faults in expressions are reported with all the
// others.
func (f *file) Check() error {
	var errs []error
	if f.APIVersion != apiVersion && f.APIVersion != "" {
		errs = append(errs, config.At("apiVersion", fmt.Errorf("%q is not %s", f.APIVersion, apiVersion)))
	}
	if len(f.Rules) > MaxRules {
		return errors.Join(append(errs, config.At("rules", fmt.Errorf("a file may have %d rules", MaxRules)))...)
	}
	seen := map[string]bool{}
	for i := range f.Rules {
		seen[f.Rules[i].Alarm] = true
	}
	defined := map[string]bool{}
	for i := range f.Rules {
		r := &f.Rules[i]
		at := func(key string, err error) {
			if err != nil {
				errs = append(errs, config.At("rules["+strconv.Itoa(i)+"]."+key, err))
			}
		}
		if defined[r.Alarm] {
			at("alarm", fmt.Errorf("alarm %q is defined twice", r.Alarm))
		}
		defined[r.Alarm] = true
		for _, name := range r.SuppressedBy {
			if !seen[name] {
				at("suppressed_by", fmt.Errorf("there is no alarm %q in this file", name))
			}
		}
		c := &compiled{Rule: *r}
		c.compile(f.profiles, at)
		f.compiled = append(f.compiled, c)
	}
	return errors.Join(errs...)
}

// Load reads the rule file at path. profiles are the ones its rules may speak of. The
// error is a [*config.Error] with every fault of the file.
func Load(path string, data []byte, profiles []*telemetry.Profile) (*Rules, error) {
	f := file{profiles: profiles}
	if err := config.Decode(path, data, &f); err != nil {
		return nil, err
	}
	h := fnv.New64a()
	h.Write(data)
	return &Rules{Hash: fmt.Sprintf("%016x", h.Sum64()), list: f.compiled}, nil
}

// compile checks the rule against the profiles and makes its predicates. at takes
// each fault with its key.
func (c *compiled) compile(profiles []*telemetry.Profile, at func(string, error)) {
	// A rule without a profile is for all: it knows no signal.
	i := slices.IndexFunc(profiles, func(p *telemetry.Profile) bool { return c.Profile == "" || c.Profile == p.Name })
	if i < 0 {
		at("profile", fmt.Errorf("there is no profile %q", c.Profile))
		return
	}
	env := map[string]any{period: 1.0}
	if c.Profile != "" {
		c.takeSignals(profiles[i], env)
	}
	c.takeFeatures(profiles[i], env, at)
	for _, f := range c.features {
		env[f.name] = 1.0
	}
	for _, p := range []struct {
		key, text string
		into      **predicate
	}{
		{"enable_when", c.EnableWhen, &c.enable},
		{"when", c.When, &c.when},
		{"clear_when", c.ClearWhen, &c.clear},
	} {
		if p.text == "" {
			continue
		}
		made, err := newPredicate(p.text, env)
		at(p.key, err)
		*p.into = made
	}
}

// takeSignals makes the profile's signals known to expressions, each with a value of
// its type.
func (c *compiled) takeSignals(p *telemetry.Profile, env map[string]any) {
	for _, s := range p.Signals {
		c.signals = append(c.signals, s.Name)
		env[s.Name] = 1.0
		if s.Type == telemetry.Boolean {
			env[s.Name] = true
		}
	}
}

// takeFeatures checks the features against the profile and the names that are taken.
func (c *compiled) takeFeatures(p *telemetry.Profile, taken map[string]any, at func(string, error)) {
	for name, f := range c.Features {
		key := "features." + name
		if _, ok := taken[name]; ok {
			at(key, fmt.Errorf("%q is a signal; name the feature differently", name))
		}
		if f.Signal != "" && c.Profile == "" {
			at(key, errors.New("a rule with signals needs a profile"))
		} else if f.Signal != "" && p.Index(f.Signal) < 0 {
			at(key+".signal", fmt.Errorf("profile %s has no signal %q", c.Profile, f.Signal))
		}
		if f.Fn == "silence" {
			if c.silence != "" {
				at(key, errors.New("a rule has one silence"))
			}
			c.silence = name
		}
		if _, ok := toldUnits[f.Fn]; ok {
			c.told, c.toldFn = name, f.Fn
		}
		c.features = append(c.features, named{name, f})
	}
	slices.SortFunc(c.features, func(a, b named) int { return strings.Compare(a.name, b.name) })
	if c.silence != "" && len(c.Features) > 1 {
		at("features", errors.New("silence stands alone: it has no reading to go with"))
	}
	if c.told != "" && len(c.Features) > 1 {
		at("features", fmt.Errorf("%s stands alone: it is of a node, and has no reading to go with", c.toldFn))
	}
	if c.told != "" && c.Profile != "" {
		at("profile", fmt.Errorf("%s is of a node, whatever its units are", c.toldFn))
	}
}

func newPredicate(text string, env map[string]any) (*predicate, error) {
	names := &names{env: env, seen: map[string]bool{}}
	program, err := expr.Compile(text, expr.Env(env), expr.AsBool(), expr.Patch(names), expr.MaxNodes(500))
	if err != nil {
		return nil, err
	}
	return &predicate{program: program, uses: names.list}, nil
}
