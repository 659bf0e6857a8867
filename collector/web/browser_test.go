package web_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"andon.internal/collector/login"
	"andon.internal/collector/plant"
	"andon.internal/collector/web"
	"andon.internal/shared/sentinel"
	"andon.internal/shared/telemetry"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// site is a fixture that is served, with a real browser before it.
type site struct {
	*fixture
	url     string
	tab     context.Context
	stop    func() // the server
	console chan string
}

// openSite serves a fixture and starts a browser.
func openSite(t *testing.T, change ...func(*web.Config)) *site {
	t.Helper()
	return openSiteWith(t, nil, change...)
}

// openSiteWith is openSite with who knows who is logged in.
func openSiteWith(t *testing.T, desk *login.Desk, change ...func(*web.Config)) *site {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Fatal("there is no Chromium: run `make prerequisites`")
	}
	f := &fixture{tb: t, p: plant.New(plant.Config{}), history: &fakeHistory{}, desk: desk, audit: &notes{}}
	f.acks = &fakeAcks{p: f.p}
	c := web.Config{Exposure: web.Exposure{Listen: "127.0.0.1:0"}}
	for _, fn := range change {
		fn(&c)
	}
	w, err := web.Open(c, f.sources())
	if err != nil {
		t.Fatal(err)
	}
	f.web = w
	s := &site{fixture: f, url: "http://" + w.Addr(), console: make(chan string, 100)}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- w.Run(ctx) }()
	s.stop = func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		s.stop = func() {}
	}
	t.Cleanup(func() { s.stop() })

	alloc, endAlloc := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun)...)
	tab, endTab := chromedp.NewContext(alloc)
	tab, endTime := context.WithTimeout(tab, 10*time.Minute)
	t.Cleanup(func() {
		endTime()
		_ = chromedp.Cancel(tab)
		endTab()
		endAlloc()
	})
	s.tab = tab
	s.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, log.Enable, cdp.Empty{})
		return err
	}))
	if err := chromedp.Listen(tab, s.hear); err != nil {
		t.Fatal(err)
	}
	return s
}

// hear notes what a developer would see in red.
func (s *site) hear(ev any) {
	text := ""
	switch e := ev.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == "error" {
			text = e.Entry.Text + " " + e.Entry.URL
		}
	case *runtime.EventExceptionThrown:
		text = e.ExceptionDetails.Text
	}
	if text != "" {
		select {
		case s.console <- text:
		default:
		}
	}
}

// quiet fails when the browser complained, as it does about a breach of the content
// policy.
func (s *site) quiet() {
	s.tb.Helper()
	for {
		select {
		case text := <-s.console:
			s.tb.Errorf("the browser complained: %s", text)
		default:
			return
		}
	}
}

func (s *site) do(steps ...chromedp.Action[chromedp.Void]) {
	s.tb.Helper()
	for _, step := range steps {
		err := chromedp.Do(s.tab, step)
		for end := time.Now().Add(patience); drawnAnew(err) && time.Now().Before(end); {
			err = chromedp.Do(s.tab, step)
		}
		if err != nil {
			s.tb.Fatal(err)
		}
	}
}

// drawnAnew reports whether the page put another element in the place of the one that was
// found, before anything was done with it.
func drawnAnew(err error) bool {
	return err != nil && strings.Contains(err.Error(), "Could not find node with given id (-32000)")
}

// see waits until a JavaScript expression is true.
func (s *site) see(what, expression string) {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(s.tab, patience)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Poll[bool](expression))
	for err != nil && strings.Contains(err.Error(), "(-32000)") && ctx.Err() == nil { // another page, meanwhile
		_, err = chromedp.Run(ctx, chromedp.Poll[bool](expression))
	}
	if err != nil {
		body, _ := chromedp.Run(s.tab, chromedp.Evaluate[string](`document.body.innerText`))
		s.tb.Fatalf("waiting for %s: %v; the page says:\n%s", what, err, body)
	}
}

// says is an expression: the text of what a selector finds contains a text.
func says(selector, text string) string {
	return `(document.querySelector('` + selector + `')?.textContent ?? "").includes('` + text + `')`
}

func TestBrowserFleet(t *testing.T) {
	s := openSite(t)
	s.read("dyno-0001", time.Now(), telemetry.QualitySimulated, values(61.2, 412, true))
	s.p.Heartbeat(time.Now(), cell, heartbeat(3, 200*time.Millisecond))
	s.do(chromedp.Navigate(s.url))
	s.see("the first value", says("tr.unit .num", "61.2"))
	s.see("the simulated badge", says("andon-source", "simulated"))

	s.read("dyno-0001", time.Now(), telemetry.QualitySimulated, values(75.5, 412, true))
	s.see("the new value", says("tr.unit .num", "75.5"))

	s.raise("x1", "dyno-0001", sentinel.Critical, time.Now())
	s.see("the alarm", says("andon-alarms li.a-unacknowledged", "thermal-runaway"))
	s.see("the alarm at its unit", says("tr.unit.in-alarm.p-critical", "dyno-0001"))
	s.see("the alarm being spoken", says("andon-speak", "Critical alarm: thermal-runaway, dyno-0001"))

	s.do(
		chromedp.Click(chromedp.CSS(`li.alarm summary`)),
		chromedp.SendKeys(chromedp.CSS(`li.alarm input[name=by]`), "Ann"),
		chromedp.SendKeys(chromedp.CSS(`li.alarm input[name=note]`), "on my way"),
		chromedp.Click(chromedp.CSS(`li.alarm form button`)),
	)
	s.see("the acknowledgement", says("li.a-acknowledged .acked", "Ann"))
	s.see("no unacknowledged alarm", says("andon-tally", "0 unacknowledged"))

	s.history.setDown(errAway)
	s.see("the badge of the memory", says("andon-source .src-memory", "memory"))
	s.see("what is lost", says("andon-lost", "DATABASE DOWN since"))
	s.history.setDown(nil)
	s.see("the badge going back", says("andon-source .src-simulated", "simulated")+` && !`+says("andon-lost", "DATABASE"))

	s.setAbsent(web.Absence{Role: "sentinel", Since: time.Now()})
	s.see("that nobody raises alarms", says("andon-lost", "SENTINEL AWAY since"))
	s.see("of when the alarms are", says("andon-alarms h2", "as of"))
	s.setAbsent()
	s.see("the sentinel back", `!`+says("andon-lost", "SENTINEL")+` && !`+says("andon-alarms h2", "as of"))
	s.quiet()

	s.stop()
	s.see("the frozen badge", says("andon-source .src-frozen", "frozen"))
	s.see("the lost connection", says("andon-lost", "CONNECTION LOST since"))
}

// TestBrowserPanelsStandAlone breaks one panel: the others go on, the fault is told
// and reported, and Retry brings it back.
func TestBrowserPanelsStandAlone(t *testing.T) {
	s := openSite(t)
	s.read("dyno-0001", time.Now(), 0, values(61.2, 412, true))
	s.do(chromedp.Navigate(s.url))
	s.see("the cells", says("andon-cells table", "cell-07"))
	if _, err := chromedp.Run(s.tab, chromedp.Evaluate[any](`document.querySelector('andon-cells').view = () => { throw new Error('made to fail') }, 0`)); err != nil {
		t.Fatal(err)
	}
	s.see("the fault", says("andon-cells .fault", "This panel failed"))
	s.read("dyno-0001", time.Now(), 0, values(75.5, 412, true))
	s.see("the other panels going on", says("tr.unit .num", "75.5"))
	if _, err := chromedp.Run(s.tab, chromedp.Evaluate[any](`delete document.querySelector('andon-cells').view, 0`)); err != nil {
		t.Fatal(err)
	}
	s.do(chromedp.Click(chromedp.CSS(`andon-cells .fault button`)))
	s.see("the cells again", says("andon-cells table", "cell-07"))
}

// TestBrowserWithoutStream has a page that gets no event stream ask instead.
func TestBrowserWithoutStream(t *testing.T) {
	s := openSite(t, func(c *web.Config) { c.MaxClients = 1 })
	_, end := s.open("/api/v1/events")
	defer end()
	s.read("dyno-0001", time.Now(), 0, values(61.2, 412, true))
	s.do(chromedp.Navigate(s.url))
	s.see("the value", says("tr.unit .num", "61.2"))
	s.see("that it asks", says("andon-source", "asked every 5 s"))
	s.read("dyno-0001", time.Now(), 0, values(75.5, 412, true))
	s.see("the new value", says("tr.unit .num", "75.5"))
}

// keepReading gives a reading every quarter of a second until the test ends, as a unit on
// test does: a chart shows the mean of a second, and one reading may share its own.
func (s *site) keepReading(t *testing.T, unit string, v []telemetry.Value) {
	stop, done := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-done })
	go func() {
		defer close(done)
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			s.read(unit, time.Now(), telemetry.QualitySimulated, v)
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
}

func TestBrowserUnit(t *testing.T) {
	s := openSite(t)
	now := time.Now()
	for i := range 120 {
		s.read("dyno-0001", now.Add(time.Duration(i-119)*time.Second), telemetry.QualitySimulated, values(60, 412, true))
	}
	s.do(chromedp.EmulateViewport(1440, 900), chromedp.Navigate(s.url+"/unit/austin-line1/dyno-0001"))
	s.see("charts", `document.querySelectorAll('andon-history .charts canvas').length === 4`)
	still := values(83.4, 412, true)
	still[0] = telemetry.DoubleValue(-0.04)
	s.keepReading(t, "dyno-0001", still)
	s.see("the new value", says("andon-values", "83.4"))
	s.see("the new value under the chart", says("andon-history .u-legend", "83.4"))
	s.see("no minus before a zero", `[...document.querySelectorAll('andon-history .u-legend')].some((l) => /Torque:?\s*0\.0/.test(l.textContent))`)
	s.do(chromedp.Click(chromedp.CSS(`input[name=winding_temp_c]`)))
	s.see("a signal less", `document.querySelectorAll('andon-history .charts canvas').length === 3`)
	address, err := chromedp.Run(s.tab, chromedp.Location())
	if err != nil || !strings.Contains(address, "signals=") || strings.Contains(address, "winding") {
		t.Errorf("the address is %s (%v): it must say what is shown", address, err)
	}
	s.do(chromedp.Click(chromedp.CSS(`andon-history .tools button`)))
	s.see("the table", `document.querySelectorAll('andon-history table.series tbody tr').length > 100`)
	s.quiet()
}

// TestBrowserCutsNothingOff looks at both pages through windows of a phone, a tablet and a
// desk: nothing may stand out of the window, or over its neighbour in a row.
func TestBrowserCutsNothingOff(t *testing.T) {
	s := openSite(t)
	now := time.Now()
	for i := range 30 {
		s.read("dyno-03-0001", now.Add(time.Duration(i-29)*time.Second), telemetry.QualitySimulated, values(118.4, 545, true))
	}
	s.read("dyno-04-0001", now, telemetry.QualitySimulated, values(61.2, 412, true))
	s.raise("x1", "dyno-03-0001", sentinel.Critical, now)
	s.p.Heartbeat(now, cell, heartbeat(18234, 27*time.Minute))
	s.p.NodeDied(now, cell)
	const sticksOut = `[...document.querySelectorAll('body *:not(.scroll *):not(.hidden-text):not(.skip):not(.sprite *)')]
		.filter((e) => e.getBoundingClientRect().right > innerWidth + 0.5)
		.concat([...document.querySelectorAll('tr.unit')].flatMap((r) => [...r.querySelectorAll('.num')]
			.filter((n) => n.getBoundingClientRect().right > n.parentElement.getBoundingClientRect().right + 0.5)))
		.map((e) => e.outerHTML.slice(0, 80))`
	for _, width := range []int64{360, 390, 800, 1200, 1440} {
		for path, ready := range map[string]string{
			"/":                               `document.querySelector('andon-fleet tr.unit')`,
			"/unit/austin-line1/dyno-03-0001": `document.querySelectorAll('andon-history .charts canvas').length === 4`,
		} {
			s.do(chromedp.EmulateViewport(width, 900), chromedp.Navigate(s.url+path))
			s.see("the page", `!!(`+ready+`)`)
			out, err := chromedp.Run(s.tab, chromedp.Evaluate[[]string](sticksOut))
			if err != nil {
				t.Fatal(err)
			}
			for _, element := range out {
				t.Errorf("%s at %d pixels: %s sticks out", path, width, element)
			}
		}
	}
	s.quiet()
}
