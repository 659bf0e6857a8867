package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon.internal/broker/access"
	"andon.internal/broker/ca"
	"andon.internal/shared/cli"
)

// TestRevokingOneTellsOfTheOthers of its holder: whoever had its key may have renewed it.
func TestRevokingOneTellsOfTheOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	c, err := ca.Init(dir, "plant")
	if err != nil {
		t.Fatal(err)
	}
	var serials []string
	for _, name := range []string{"cell-07", "cell-07", "cell-08"} {
		_, i, err := c.Issue(access.Identity{Role: access.Node, Group: "line1", Name: name}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		serials = append(serials, i.Serial)
	}
	revoke := func(which string) string {
		var out strings.Builder
		if err := (&caRevokeCmd{authority{dir}, which}).Run(&cli.Env{Stdout: &out}); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	want := "revoked: node line1/cell-07, serial number " + serials[0] + "\nstill good: node line1/cell-07, serial number " +
		serials[1] + "; revoke \"node line1/cell-07\" to end all of them\n"
	if got := revoke(serials[0]); got != want {
		t.Errorf("said %q, want %q", got, want)
	}
	if got := revoke("node line1/cell-07"); strings.Contains(got, "still good") {
		t.Errorf("by holder: %q", got)
	}
}
