package bench_test

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"andon.internal/agent/bench"
)

// TestShortForm: every figure is there, and both sides were given the same.
func TestShortForm(t *testing.T) {
	dir := t.TempDir()
	r, err := bench.Run(context.Background(), bench.Options{Dir: dir, Short: true})
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if len(r.Speeds) != 6 || len(r.Wears) != 8 {
		t.Fatalf("%+v", r)
	}
	for _, s := range r.Speeds {
		if s.Records == 0 || s.Buffer.Records <= 0 || s.Plain.Bytes != s.Plain.Records*float64(s.RecordBytes) ||
			s.Ratio.Least > s.Ratio.Median || s.Ratio.Median > s.Ratio.Most || s.Met() != (s.Ratio.Median >= bench.SpeedTarget) {
			t.Errorf("%+v", s)
		}
	}
	for _, w := range r.Wears {
		// Every byte stored is written, and 20 KB have a header and at most a page around them.
		if w.Stored < 2<<20 || w.Pages < w.Stored || w.Process < w.Stored || w.Amplification < 1 {
			t.Errorf("%+v", w)
		}
	}
	var text bytes.Buffer
	if err := r.Text(&text); err != nil || strings.Count(text.String(), "20000 B together") != 8 {
		t.Errorf("%v: %s", err, &text)
	}
}

func TestStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	dir := t.TempDir()
	if _, err := bench.Run(ctx, bench.Options{Dir: dir, Short: true}); err == nil {
		t.Error("no error when interrupted")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
