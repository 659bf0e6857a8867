package lab_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"andon.internal/lab/browser"
	"andon.internal/lab/factory"
)

// TestPagesInABrowser looks at the pages of real processes through a real browser while
// machines and processes break. It is not parallel: it measures how soon an alarm shows.
func TestPagesInABrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a factory and a browser")
	}
	l := openLook(t)
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"a value changes", l.valueChanges},
		{"an alarm appears", l.alarmAppears},
		{"it is acknowledged with the mouse", l.acknowledgedWithMouse},
		{"another is with the keyboard", l.acknowledgedWithKeyboard},
		{"the database dies and comes back", l.databaseDies},
		{"the collector dies and comes back", l.collectorDies},
		{"a unit has a live chart and its history", l.unitPage},
	} {
		if !t.Run(step.name, func(t *testing.T) { l.t = t; step.run(t) }) {
			break // each stands on the one before
		}
	}
	for _, text := range l.tab.Complaints() {
		t.Errorf("the page complains: %s", text)
	}
}

func (l *look) valueChanges(*testing.T) {
	l.see("all units", `document.querySelectorAll("tr.unit.st-running").length === 6`)
	l.seeChange("dyno-01-")
	l.seeChange("dyno-06-")
	l.see("that they are simulated", browser.Says("andon-source", "simulated"))
	l.seeOnce()
}

// alarmOf is an expression: a station's alarm in the list of alarms.
func alarmOf(station string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("andon-alarms li.alarm")].find((a) => a.textContent.includes(%q))`, station)
}

// noteAppearance lets the page note when it first shows an alarm, in ms, by its id.
const noteAppearance = `
	window.appeared = {};
	new MutationObserver(() => {
		for (const a of document.querySelectorAll("andon-alarms li.alarm")) appeared[a.dataset.id] ??= Date.now();
	}).observe(document.querySelector("andon-alarms"), { subtree: true, childList: true, attributes: true });
	0`

func (l *look) alarmAppears(t *testing.T) {
	evaluate[int](l, noteAppearance)
	l.inject("dyno-02", "thermal-runaway")
	l.inject("dyno-05", "thermal-runaway")
	for _, station := range []string{"dyno-02-", "dyno-05-"} {
		l.see("the alarm of "+station, alarmOf(station)+`?.matches(".p-critical.a-unacknowledged")`)
		id := evaluate[string](l, alarmOf(station)+".dataset.id")
		shown := time.UnixMilli(int64(evaluate[float64](l, "appeared["+fmt.Sprintf("%q", id)+"]")))
		eventually(t, "the alarm is in the journal", func() bool {
			return query[int](l, `select count(*) from alarm where alarm_id = $1`, id) == 1
		}, func() any { return id })
		raised := query[time.Time](l, `select raised_at from alarm where alarm_id = $1`, id)
		// The page's clock counts whole milliseconds.
		if took := shown.Sub(raised); took < -time.Millisecond {
			t.Errorf("the alarm of %s was shown %v before it was raised", station, -took)
		}
		l.see("it at its unit", row(station)+`?.matches(".in-alarm.p-critical")`)
	}
	l.see("that it is spoken", browser.Says("andon-speak", "Critical alarm: thermal-runaway"))
	l.see("two to acknowledge", browser.Says("andon-tally", "2 unacknowledged"))
}

// mark gives an element a name by which chromedp finds it.
func (l *look) mark(element, name string) chromedp.CSS {
	l.t.Helper()
	evaluate[int](l, fmt.Sprintf("(%s).id = %q, 0", element, name))
	return chromedp.CSS("#" + name)
}

// acknowledged checks what page and journal say of an acknowledgement.
func (l *look) acknowledged(station, by, note string) {
	l.t.Helper()
	l.see("the acknowledgement by "+by, fmt.Sprintf(`%s?.matches(".a-acknowledged") && %s.textContent.includes(%q)`,
		alarmOf(station), alarmOf(station), by))
	id := evaluate[string](l, alarmOf(station)+".dataset.id")
	const event = `select count(*) from alarm_event where alarm_id = $1 and kind = 'acknowledged' and actor = $2 and note = $3`
	eventually(l.t, "the acknowledgement is in the journal", func() bool { return query[int](l, event, id, by, note) == 1 },
		func() any { return id })
}

func (l *look) acknowledgedWithMouse(*testing.T) {
	summary := l.mark(alarmOf("dyno-02-")+`.querySelector("summary")`, "open-it")
	l.do(chromedp.Click(summary))
	l.see("the form", alarmOf("dyno-02-")+`.querySelector("details").open`)
	form := l.mark(alarmOf("dyno-02-")+`.querySelector("form")`, "the-form")
	l.do(
		chromedp.SendKeys(form+` input[name=by]`, "Ann"),
		chromedp.SendKeys(form+` input[name=note]`, "on my way"),
		chromedp.Click(form+` button`),
	)
	l.acknowledged("dyno-02-", "Ann", "on my way")
	l.see("one left to acknowledge", browser.Says("andon-tally", "1 unacknowledged"))
}

// acknowledgedWithKeyboard goes on from the alarm's own link with Tab and Enter alone.
func (l *look) acknowledgedWithKeyboard(*testing.T) {
	evaluate[int](l, alarmOf("dyno-05-")+`.querySelector(".about a").focus(), 0`)
	l.do(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter))
	l.see("the form", alarmOf("dyno-05-")+`.querySelector("details").open`)
	l.do(chromedp.KeyEvent(kb.Tab))
	l.see("the name that was given before, chosen", `document.activeElement.name === "by" && document.activeElement.value === "Ann"`)
	l.do(chromedp.KeyEvent("Bo"), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent("stopped it"), chromedp.KeyEvent(kb.Enter))
	l.acknowledged("dyno-05-", "Bo", "stopped it")
	l.see("none left to acknowledge", browser.Says("andon-tally", "0 unacknowledged"))
}

func (l *look) databaseDies(*testing.T) {
	l.kill(factory.Postgres)
	l.see("the badge of the memory", browser.Says("andon-source .src-memory", "memory"))
	l.see("what is lost", browser.Says("andon-lost", "DATABASE DOWN since"))
	l.seeChange("dyno-01-")
	l.seeChange("dyno-06-")
	l.restart(factory.Postgres)
	l.see("the badge going back", browser.Says("andon-source .src-simulated", "simulated"))
	l.see("nothing lost", `document.querySelector("andon-lost").textContent.trim() === ""`)
	l.seeChange("dyno-01-")
	l.seeOnce()
}

func (l *look) collectorDies(t *testing.T) {
	l.kill(factory.Collector)
	l.see("the frozen badge", browser.Says("andon-source .src-frozen", "frozen"))
	l.see("the lost connection", browser.Says("andon-lost", "CONNECTION LOST since"))
	l.see("that what it shows is the last known", browser.Says("andon-lost", "frozen and may have changed"))
	was := evaluate[string](l, values("dyno-01-"))
	now := evaluate[float64](l, "Date.now()")
	l.see("three seconds passing", fmt.Sprintf("Date.now() > %f", now+3000))
	if is := evaluate[string](l, values("dyno-01-")); is != was || is == "" {
		t.Errorf("frozen values were %q and are %q", was, is)
	}
	l.restart(factory.Collector)
	l.see("the badge going back", browser.Says("andon-source .src-simulated", "simulated"))
	l.see("nothing lost", `document.querySelector("andon-lost").textContent.trim() === ""`)
	l.see("all units", `document.querySelectorAll("tr.unit.st-running").length === 6`)
	l.seeChange("dyno-01-")
	l.see("the alarms as they were", alarmOf("dyno-05-")+`?.matches(".a-acknowledged")`)
	l.seeOnce()
}

// unitPage opens a unit whose first readings came before the collector died: only
// PostgreSQL has them.
func (l *look) unitPage(t *testing.T) {
	fleet := l.tab
	defer func() { l.tab = fleet }()
	unit := strings.TrimSpace(evaluate[string](l, row("dyno-01-")+`.querySelector("a").textContent`))
	l.tab = l.open("/unit/" + factory.Group + "/" + unit)
	l.see("charts", `document.querySelectorAll("andon-history .charts canvas").length === 4`)
	const newest = `(document.querySelector("andon-history .u-legend .u-value")?.textContent ?? "")`
	for range 2 {
		was := evaluate[string](l, newest)
		l.see("a new point", fmt.Sprintf("/:/.test(%s) && %s !== %q", newest, newest, was))
	}
	l.do(chromedp.Click(chromedp.CSS(`andon-history .tools button`)))
	const oldest = `(document.querySelector("andon-history table.series tbody tr:last-child th")?.textContent ?? "")`
	first := query[time.Time](l, `select min(ts) from readings_dyno where unit_id = $1`, unit)
	want := first.In(time.Local).Format("2006-01-02 15:04:05")
	l.see("the first reading of "+want, fmt.Sprintf("%s === %q", oldest, want))
	for _, text := range l.tab.Complaints() {
		t.Errorf("the page complains: %s", text)
	}
}
