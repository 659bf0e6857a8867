package screenshots

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"andon.internal/lab/browser"
	"andon.internal/lab/cable"
	"andon.internal/lab/factory"
)

// patience is how long the pages may take for what they are to show.
const patience = 2 * time.Minute

// session is one round of taking pictures.
type session struct {
	options Options
	factory *factory.Factory
	chrome  *browser.Browser
	address string       // of the pages
	fleet   *browser.Tab // through which the session sees what goes on
}

// run is the story that the pictures tell.
func (s *session) run(ctx context.Context) (err error) {
	if s.fleet, err = s.open("/", desk); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{
		s.warmUp, s.overpressure, s.databaseDown, s.cellLost, s.runaway, s.stopped,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	for _, text := range s.fleet.Complaints() {
		s.options.Logger.Warn("page complains", "text", text)
	}
	return nil
}

func (s *session) see(what, expression string) error { return s.fleet.See(patience, what, expression) }

// pause lets the machines go on for a while.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// warmUp waits until there are trends. One machine has been stopped by then.
func (s *session) warmUp(ctx context.Context) error {
	if err := s.see("all units", `document.querySelectorAll("tr.unit.st-running").length === 12`); err != nil {
		return err
	}
	s.options.Logger.Info("machines run until there are trends", "for", s.options.WarmUp)
	if err := pause(ctx, s.options.WarmUp*9/10); err != nil {
		return err
	}
	if err := s.factory.Drive(ctx, idle, false); err != nil {
		return err
	}
	return pause(ctx, s.options.WarmUp/10)
}

// alarm is an expression: a station's alarm in the list, in a state.
func alarm(station, state string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("andon-alarms li.a-%s")].find((a) => a.textContent.includes(%q))`, state, station)
}

// overpressure is an alarm that somebody has acknowledged.
func (s *session) overpressure(ctx context.Context) error {
	if err := s.tidy(ctx); err != nil {
		return err
	}
	if err := s.factory.Inject(ctx, pressed, factory.Fault{Kind: "overpressure"}); err != nil {
		return err
	}
	if err := s.see("the alarm of "+pressed, alarm(pressed, "unacknowledged")); err != nil {
		return err
	}
	id, err := browser.Evaluate[string](s.fleet, alarm(pressed, "unacknowledged")+".dataset.id")
	if err != nil {
		return err
	}
	if err := s.acknowledge(ctx, id, "relief valve ordered, load halved"); err != nil {
		return err
	}
	return s.see("the acknowledgement", alarm(pressed, "acknowledged"))
}

// tidy acknowledges what is over: on a busy machine a cell may have been late to say that
// it is there, which is no part of the story.
func (s *session) tidy(ctx context.Context) error {
	const over = "andon-alarms li.a-returned-unacknowledged"
	ids, err := browser.Evaluate[[]string](s.fleet, `[...document.querySelectorAll("`+over+`")].map((a) => a.dataset.id)`)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := s.acknowledge(ctx, id, ""); err != nil {
			return err
		}
	}
	return s.see("that nothing old is open", `!document.querySelector("`+over+`")`)
}

func (s *session) acknowledge(ctx context.Context, id, note string) error {
	body, err := json.Marshal(map[string]string{"by": "Kim", "note": note})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.address+"/api/v1/alarms/"+id+"/ack", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		why, _ := io.ReadAll(io.LimitReader(res.Body, 1000)) // the status says enough
		return fmt.Errorf("acknowledge: status %d: %s", res.StatusCode, why)
	}
	return nil
}

// databaseDown kills PostgreSQL for long enough that the cells have something to hold.
func (s *session) databaseDown(ctx context.Context) error {
	if err := s.factory.Kill(factory.Postgres); err != nil {
		return err
	}
	if err := s.see("the notice", browser.Says("andon-lost", "DATABASE DOWN")); err != nil {
		return err
	}
	if err := pause(ctx, s.options.WarmUp/20); err != nil {
		return err
	}
	return s.picture("database-down.png", "/")
}

// cellLost cuts a cell off while it still holds what the database could not take, and
// starts the database again: the other cells hand over theirs.
func (s *session) cellLost(ctx context.Context) error {
	if err := s.factory.Cut(lostOne, cable.Cut); err != nil {
		return err
	}
	if err := s.see("the cell offline", browser.Says("andon-cells tr.link-offline", lostOne)); err != nil {
		return err
	}
	if err := s.factory.Restart(ctx, factory.Postgres); err != nil {
		return err
	}
	return s.see("the others with nothing to hand over", `!document.querySelector("andon-lost p") &&
		document.querySelectorAll("andon-cells tr.link-online").length === 2 && !document.querySelector("andon-cells tr.link-online.behind")`)
}

// runaway is the alarm that nobody has acknowledged. Its pictures are taken at once, by
// tabs that were open before, because the winding gains 5 degrees a second.
func (s *session) runaway(ctx context.Context) error {
	if err := s.tidy(ctx); err != nil {
		return err
	}
	pictures := []*picture{
		{name: "fleet.png", path: "/", window: desk},
		{name: "fleet-dark.png", path: "/", window: night},
		{name: "wall.png", path: "/?wall=1", window: wall},
		{name: "fleet-narrow.png", path: "/", window: phone},
	}
	for _, p := range pictures {
		if err := s.pose(p); err != nil {
			return err
		}
		defer p.tab.Close()
	}
	if err := s.factory.Inject(ctx, hot, factory.Fault{Kind: "thermal-runaway"}); err != nil {
		return err
	}
	for _, p := range pictures {
		if err := p.tab.See(patience, "the alarm of "+hot, alarm(hot, "unacknowledged")); err != nil {
			return err
		}
		if err := p.take(); err != nil {
			return err
		}
	}
	for _, p := range pictures {
		if err := s.write(p); err != nil {
			return err
		}
	}
	return nil
}

// stopped shows the unit after somebody has stopped it: the rise, the alarm, the cooling.
func (s *session) stopped(ctx context.Context) error {
	if err := s.factory.Drive(ctx, hot, false); err != nil {
		return err
	}
	if err := pause(ctx, s.options.WarmUp/16); err != nil {
		return err
	}
	path, err := browser.Evaluate[string](s.fleet, fmt.Sprintf(`[...document.querySelectorAll("tr.unit a")].find((a) => a.textContent.includes(%q)).pathname`, hot))
	if err != nil {
		return err
	}
	return s.picture("unit.png", path)
}

// picture is one of them, and the tab that takes it.
type picture struct {
	name, path string
	window     window
	tab        *browser.Tab
	png        []byte // as it was taken
}

// picture takes one of the pages as they are on a desk.
func (s *session) picture(name, path string) error {
	p := &picture{name: name, path: path, window: desk}
	if err := s.pose(p); err != nil {
		return err
	}
	defer p.tab.Close()
	if err := p.take(); err != nil {
		return err
	}
	return s.write(p)
}

// pose opens a page and waits until it stands.
func (s *session) pose(p *picture) (err error) {
	if p.tab, err = s.open(p.path, p.window); err != nil {
		return err
	}
	return p.tab.See(patience, "the page "+p.path, standing)
}

// take notes what the page shows.
func (p *picture) take() (err error) {
	p.png, err = p.tab.Picture(p.window.whole)
	return err
}

// write packs a picture that was taken, which takes longer than taking it.
func (s *session) write(p *picture) error {
	b, err := pack(p.png)
	if err != nil {
		return err
	}
	file := filepath.Join(s.options.Dir, p.name)
	if err := os.WriteFile(file, b, 0o644); err != nil {
		return fmt.Errorf("write picture: %w", err)
	}
	for _, text := range p.tab.Complaints() {
		s.options.Logger.Warn("page complains", "page", p.path, "text", text)
	}
	s.options.Logger.Info("picture taken", "file", file, "bytes", len(b))
	return nil
}

// standing is an expression: the page shows what it has of live data, charts included.
const standing = `(document.querySelector("andon-fleet tr.unit, andon-fleet .tile") || document.querySelector("andon-history canvas")) &&
	document.querySelector("andon-source .badge") && document.querySelector("andon-alarms h2")`

func (s *session) open(path string, w window) (*browser.Tab, error) {
	return s.chrome.Open(s.address+path, w.Window)
}
