package sentinel

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// The guide to rules names every key and every function.
func TestTheGuideIsWhole(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "rules.md"))
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for fn := range kinds {
		words = append(words, fn)
	}
	for _, of := range []reflect.Type{reflect.TypeFor[Rule](), reflect.TypeFor[Feature]()} {
		for i := range of.NumField() {
			key, _, _ := strings.Cut(of.Field(i).Tag.Get("yaml"), ",")
			words = append(words, key)
		}
	}
	for _, word := range words {
		if !strings.Contains(string(text), "`"+word+"`") {
			t.Errorf("docs/rules.md says nothing of %s", word)
		}
	}
}
