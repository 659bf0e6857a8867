// Package configtest checks that an example configuration explains every key there is.
//
// It stands beside the flow: the tests of the daemons call it, so that a key cannot
// be added, renamed or dropped without its explanation.
//
// An example is an ordinary configuration file that loads as it stands. A key that is
// not in force is commented out with its # directly before it, or before an even
// number of blanks where it stands deeper:
//
//	# Text has one blank after its #.
//	#sources:
//	#- name: line1
//	#  driver: replay
package configtest

import (
	"encoding"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Example fails the test unless every key that values of the type of config may have,
// in force or commented out, stands in the file with an explanation above it or
// beside it, and no other key does. It does not load the file.
func Example(t testing.TB, path string, config any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	faults, err := Faults(string(raw), config)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for _, f := range faults {
		t.Errorf("%s: %s", path, f)
	}
}

// Faults returns what [Example] reports of a text. The error says that it is not YAML
// when its keys are in force.
func Faults(text string, config any) ([]string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(Enable(text)), &doc); err != nil {
		return nil, fmt.Errorf("with its commented keys in force: %w", err)
	}
	wanted, whole := map[string]bool{}, map[string]bool{}
	keys("", reflect.TypeOf(config), wanted, whole)
	shown := map[string]bool{} // whether it is explained
	if len(doc.Content) > 0 {
		collect("", doc.Content[0], shown, whole)
	}
	var faults []string
	for key := range wanted {
		if explained, ok := shown[key]; !ok {
			faults = append(faults, key+" is not there")
		} else if !explained {
			faults = append(faults, key+" has no explanation, above or beside it")
		}
	}
	for key := range shown {
		if !wanted[key] {
			faults = append(faults, key+" is no key of the configuration")
		}
	}
	slices.Sort(faults)
	return faults, nil
}

var disabled = regexp.MustCompile(`(?m)^( *)#((?:  )*)([a-z_]+:(?: .*)?|- .*|#.*)$`)

// Enable puts the keys that are commented out in force.
func Enable(text string) string { return disabled.ReplaceAllString(text, "$1$2$3") }

// collect notes the keys below a node; of a list, the keys of all its items together.
// Below a key of whole it does not look.
func collect(path string, n *yaml.Node, shown, whole map[string]bool) {
	switch n.Kind {
	case yaml.SequenceNode:
		for _, item := range n.Content {
			collect(path, item, shown, whole)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			// The comment above an item of a list belongs to the item, and so to its first key.
			explained := key.HeadComment+key.LineComment+value.LineComment != "" || (i == 0 && n.HeadComment != "")
			child := strings.TrimPrefix(path+"."+key.Value, ".")
			shown[child] = shown[child] || explained
			if !whole[child] {
				collect(child, value, shown, whole)
			}
		}
	}
}

var text = reflect.TypeFor[encoding.TextUnmarshaler]()

// keys notes the keys that values of a type may have, as config.Decode reads them. A
// type that has a form of its own and no fields for it, such as config.Secret, is whole,
// and so is a map.
func keys(path string, t reflect.Type, wanted, whole map[string]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() == reflect.Map {
		whole[path] = true // its keys are the user's
		return
	}
	if t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(text) {
		return
	}
	before := len(wanted)
	for i := range t.NumField() {
		f := t.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key == "" || key == "-" || !f.IsExported() {
			continue
		}
		child := strings.TrimPrefix(path+"."+key, ".")
		wanted[child] = true
		keys(child, f.Type, wanted, whole)
	}
	whole[path] = len(wanted) == before
}
