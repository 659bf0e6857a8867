package lab_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/jackc/pgx/v5"

	"andon.internal/lab/browser"
	"andon.internal/lab/factory"
)

// patience is how long a page may take for what it is to show in the end.
const patience = 40 * time.Second

// look is a factory with a person before its pages.
type look struct {
	t       *testing.T
	f       *factory.Factory
	chrome  *browser.Browser
	address string // of the pages
	tab     *browser.Tab
}

func openLook(t *testing.T) *look {
	t.Helper()
	dir := filepath.Join(place(t), "lab")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	o := factory.Options{Dir: dir, Bin: bin}
	for i := range 2 {
		o.Cells = append(o.Cells, factory.Cell{
			Name:  fmt.Sprintf("cell-%02d", i+1),
			Dynos: factory.Dynos{Stations: 3, First: 1 + 3*i, Rate: 4, Programme: 20 * time.Minute},
		})
	}
	f, err := factory.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(false); err != nil {
			t.Error(err)
		}
	})
	chrome, err := browser.Start(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(chrome.Close)
	l := &look{t: t, f: f, chrome: chrome, address: "http://" + f.Status(t.Context()).Pages}
	l.tab = l.open("/")
	// A page that is loaded again has lost this.
	evaluate[int](l, `window.loadedOnce = 1`)
	return l
}

func (l *look) open(path string) *browser.Tab {
	l.t.Helper()
	tab, err := l.chrome.Open(l.address+path, browser.Window{Width: 1440, Height: 900})
	if err != nil {
		l.t.Fatal(err)
	}
	return tab
}

func (l *look) see(what, expression string) {
	l.t.Helper()
	if err := l.tab.See(patience, what, expression); err != nil {
		l.t.Fatal(err)
	}
}

func (l *look) do(steps ...chromedp.Action[chromedp.Void]) {
	l.t.Helper()
	if err := l.tab.Do(patience, steps...); err != nil {
		l.t.Fatal(err)
	}
}

func evaluate[T any](l *look, expression string) T {
	l.t.Helper()
	v, err := browser.Evaluate[T](l.tab, expression)
	if err != nil {
		l.t.Fatal(err)
	}
	return v
}

// query asks PostgreSQL for one row of one column.
func query[T any](l *look, sql string, args ...any) (v T) {
	l.t.Helper()
	conn, err := pgx.Connect(l.t.Context(), l.f.DSN())
	if err != nil {
		l.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(l.t.Context(), sql, args...).Scan(&v); err != nil {
		l.t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// inject breaks a machine.
func (l *look) inject(station, fault string) {
	l.t.Helper()
	if err := l.f.Inject(l.t.Context(), station, factory.Fault{Kind: fault}); err != nil {
		l.t.Fatal(err)
	}
}

func (l *look) kill(process string) {
	l.t.Helper()
	if err := l.f.Kill(process); err != nil {
		l.t.Fatal(err)
	}
}

func (l *look) restart(process string) {
	l.t.Helper()
	if err := l.f.Restart(l.t.Context(), process); err != nil {
		l.t.Fatal(err)
	}
}

// row is an expression: the row of a station's unit on the fleet page.
func row(station string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("tr.unit")].find((r) => r.textContent.includes(%q))`, station)
}

// values is an expression: what the row shows of its signals.
func values(station string) string {
	return fmt.Sprintf(`([...(%s?.querySelectorAll(".num") ?? [])].map((n) => n.textContent).join(" "))`, row(station))
}

// seeChange waits until a station's values are others than they are now.
func (l *look) seeChange(station string) {
	l.t.Helper()
	l.see("values of "+station, values(station)+` !== ""`)
	was := evaluate[string](l, values(station))
	l.see("other values of "+station+" than "+was, fmt.Sprintf("%s !== %q", values(station), was))
}

// seeOnce checks that the page was not loaded again.
func (l *look) seeOnce() {
	l.t.Helper()
	if evaluate[bool](l, `window.loadedOnce !== 1`) {
		l.t.Error("the page was loaded again")
	}
}
