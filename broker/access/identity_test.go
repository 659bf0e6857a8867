package access_test

import (
	"net/url"
	"testing"

	"andon.internal/broker/access"
)

func TestIdentityAsURI(t *testing.T) {
	for _, id := range []access.Identity{node, collector, viewer} {
		if err := id.Check(); err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(id.URI().String())
		if err != nil {
			t.Fatal(err)
		}
		if got, ok, err := access.ParseURI(u); got != id || !ok || err != nil {
			t.Errorf("%s reads as %v, %v, %v", u, got, ok, err)
		}
	}
	for text, ours := range map[string]bool{
		"https://plant.example/cell-07":        false,
		"spiffe://plant/cell-07":               false,
		"andon://node/line1":                   true,
		"andon://node/line1/cell-07/x":         true,
		"andon://node//cell-07":                true,
		"andon://node/line1/cell%2F07":         true,
		"andon://node/line1/+":                 true,
		"andon://collector/a/b":                true,
		"andon://collector":                    true,
		"andon://local/x":                      true,
		"andon://admin/x":                      true,
		"andon:collector/main":                 true,
		"andon://collector/main?x=1":           true,
		"andon://root@collector/main":          true,
		"andon://node/line1/cell-07#fragments": true,
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		got, ok, err := access.ParseURI(u)
		if ok != ours || got != (access.Identity{}) || (err == nil) == ours {
			t.Errorf("%s: %v, ours %v, error %v", text, got, ok, err)
		}
	}
}
