package web_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/collector/web"
	"andon.internal/shared/alarm"
	"andon.internal/shared/sentinel"
)

// fakeJournal has alarms of before the start.
type fakeJournal struct {
	mu   sync.Mutex
	open []alarm.Alarm
	err  error
}

func (j *fakeJournal) OpenAlarms(context.Context) ([]alarm.Alarm, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.open, j.err
}

// has lets it answer.
func (j *fakeJournal) has(list ...alarm.Alarm) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.open, j.err = list, nil
}

func (*fakeJournal) Alarms(context.Context, string, string, time.Time, time.Time, int) ([]alarm.Alarm, error) {
	return nil, nil
}

// alarms says which alarms the pages show and which are open, and what is lost.
func (f *fixture) alarms() (open string, lost string) {
	f.tb.Helper()
	got := f.get("/api/v1/alarms", http.StatusOK)
	var names []string
	for _, a := range got["alarms"].([]any) {
		if a := a.(map[string]any); a["state"] != "closed" {
			names = append(names, a["id"].(string))
		}
	}
	list, _ := got["lost"].([]any)
	for _, line := range list {
		lost += line.(string)
	}
	return strings.Join(names, " "), lost
}

func (f *fixture) wantAlarms(when, open, lost string) {
	f.tb.Helper()
	if o, l := f.alarms(); o != open || (lost == "") != (l == "") || !strings.HasPrefix(l, lost) {
		f.tb.Errorf("%s: open are %q, lost is %q; want %q and %q", when, o, l, open, lost)
	}
}

const unknown = "ALARMS NOT KNOWN YET"

// TestAlarmsOfBeforeTheStart: a page gives no all-clear before it knows.
func TestAlarmsOfBeforeTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := alarm.Alarm{ID: "old", Rule: "hot", Priority: sentinel.High, Group: cell.Group, Node: cell.ID, Condition: alarm.Active, Sequence: 1}
		j := &fakeJournal{err: errAway}
		f := setUpWith(t, j)
		stop := f.watch()
		defer stop()
		time.Sleep(1500 * time.Millisecond)
		f.wantAlarms("without the journal", "", unknown)
		j.has(old)
		time.Sleep(time.Second)
		f.wantAlarms("with it", "old", "")
	})
	synctest.Test(t, func(t *testing.T) {
		f := setUpWith(t, &fakeJournal{err: errAway})
		f.setAbsent(web.Absence{Role: "sentinel", Since: time.Now()})
		stop := f.watch()
		defer stop()
		time.Sleep(time.Minute)
		f.wantAlarms("without journal and sentinel", "", unknown)
		f.setAbsent()
		time.Sleep(10 * time.Second)
		f.raise("x1", "dyno-0001", sentinel.High, time.Now())
		f.wantAlarms("before all are repeated", "x1", unknown)
		time.Sleep(4 * time.Second)
		f.wantAlarms("when they are", "x1", "")
	})
}

// TestSentinelWithoutItsJournal: one that began without it knows nothing of the alarms
// before, so that it is there and silent about them says nothing.
func TestSentinelWithoutItsJournal(t *testing.T) {
	const missing = "ALARMS MAY BE MISSING since "
	faulty := func() web.Absence {
		return web.Absence{Role: "sentinel", Since: time.Now(), Fault: "no database"}
	}
	down := func(f *fixture) {
		f.history.setDown(errAway)
		f.setAbsent(faulty())
	}
	up := func(f *fixture) {
		f.history.setDown(nil)
		f.setAbsent()
	}
	want := func(f *fixture, open string) {
		t.Helper()
		got := f.get("/api/v1/alarms", http.StatusOK)
		if o, lost := f.alarms(); o != open || !strings.Contains(lost, "DATABASE DOWN") || !strings.Contains(lost, missing) || got["alarms_as_of"] == nil {
			t.Errorf("open are %q as of %v, lost is %q", o, got["alarms_as_of"], lost)
		}
	}
	synctest.Test(t, func(t *testing.T) { // all of them begin anew
		old := alarm.Alarm{ID: "old", Rule: "hot", Priority: sentinel.High, Group: cell.Group, Node: cell.ID, Condition: alarm.Active, Sequence: 1}
		j := &fakeJournal{err: errAway}
		f := setUpWith(t, j)
		down(f)
		stop := f.watch()
		defer stop()
		time.Sleep(10 * time.Minute)
		want(f, "")
		if _, lost := f.alarms(); !strings.Contains(lost, unknown) {
			t.Errorf("nobody has told of alarms, lost is %q", lost)
		}
		if page := text(f.do(http.MethodGet, "/", "").Body.String()); strings.Contains(page, "No active alarm") {
			t.Error("the page gives the all-clear")
		}
		j.has(old)
		up(f)
		time.Sleep(2500 * time.Millisecond)
		f.wantAlarms("with the journal", "old", "")
	})
	synctest.Test(t, func(t *testing.T) { // the sentinel alone does
		f := setUp(t)
		stop := f.watch()
		defer stop()
		time.Sleep(time.Minute)
		f.raise("there", "dyno-0001", sentinel.High, time.Now())
		time.Sleep(time.Second)
		down(f)
		time.Sleep(10 * time.Minute)
		want(f, "there")
		up(f)
		time.Sleep(30 * time.Second)
		f.wantAlarms("30 s after the journal is read", "there", "")
		time.Sleep(10 * time.Second)
		f.wantAlarms("40 s after", "", "")
	})
}

// TestAlarmWhoseEndWasLost: what the sentinel no longer repeats is over, but only while
// it is heard.
func TestAlarmWhoseEndWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t)
		stop := f.watch()
		defer stop()
		began := time.Now()
		f.raise("over", "dyno-0001", sentinel.High, began)
		pass := func(repetitions int) {
			for range repetitions {
				f.raise("there", "dyno-0002", sentinel.High, time.Now())
				time.Sleep(10 * time.Second)
			}
		}
		pass(3)
		f.wantAlarms("after 30 s", "over there", "")
		pass(1)
		f.wantAlarms("after 40 s", "there", "")
		f.setAbsent(web.Absence{Role: "sentinel", Since: time.Now()})
		time.Sleep(time.Minute)
		f.wantAlarms("without the sentinel", "there", "SENTINEL AWAY")
		f.setAbsent()
		time.Sleep(20 * time.Second)
		f.wantAlarms("20 s after it is back", "there", "")
		time.Sleep(20 * time.Second)
		f.wantAlarms("40 s after it is back", "", "")
	})
}
