package browser_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"andon.internal/lab/browser"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const page = `<!doctype html><title>t</title><style>body, p { margin: 0 } body { height: 500px } @media (prefers-color-scheme: dark) { p { color: red } }</style>
<p id="p">one</p>
<img src="/missing.png">
<script>
console.log("said");
console.error("logged", new Error("with a cause"));
setTimeout(() => { document.getElementById("p").textContent = "two"; missing(); });
</script>
<script src="https://elsewhere.invalid/x.js"></script>`

func open(t *testing.T) *browser.Tab {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Security-Policy", "script-src 'unsafe-inline'")
		fmt.Fprint(w, page)
	}))
	t.Cleanup(s.Close)
	b, err := browser.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	tab, err := b.Open(s.URL, browser.Window{
		Width: 300, Height: 200, Scale: 2, Features: map[string]string{"prefers-color-scheme": "dark"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestTab(t *testing.T) {
	tab := open(t)
	if err := tab.See(10*time.Second, "the change", browser.Says("#p", "two")); err != nil {
		t.Fatal(err)
	}
	err := tab.See(100*time.Millisecond, "what never comes", browser.Says("#p", `"three"`))
	if err == nil || !strings.Contains(err.Error(), "wait for what never comes") || !strings.HasSuffix(err.Error(), "the page says:\ntwo") {
		t.Errorf("a wait in vain says: %v", err)
	}
	if size, err := browser.Evaluate[[]int](tab, `[innerWidth, innerHeight, devicePixelRatio]`); err != nil || !slices.Equal(size, []int{300, 200, 2}) {
		t.Errorf("the window is %v: %v", size, err)
	}
	if c, err := browser.Evaluate[string](tab, `getComputedStyle(document.getElementById("p")).color`); err != nil || c != "rgb(255, 0, 0)" {
		t.Errorf("in the dark the text is %s: %v", c, err)
	}
	for i, want := range []image.Point{{X: 600, Y: 400}, {X: 600, Y: 1000}} {
		b, err := tab.Picture(i == 1)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := png.DecodeConfig(bytes.NewReader(b)); err != nil || c.Width != want.X || c.Height != want.Y {
			t.Errorf("picture %d is %dx%d (%v), want %v", i, c.Width, c.Height, err, want)
		}
	}
	// What is missing on a server is not the page's fault.
	want := []string{"logged Error: with a cause", "ReferenceError: missing is not defined", "elsewhere.invalid"}
	got := tab.Complaints()
	for _, text := range want {
		if !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, text) }) {
			t.Errorf("no complaint with %q in %q", text, got)
		}
	}
	if len(got) != len(want) {
		t.Errorf("complaints are %q, want %d", got, len(want))
	}
}
