package browser

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Window is what a tab is looked at in.
type Window struct {
	Width, Height int64   // CSS pixels
	Scale         float64 // pixels of the screen for one of them; 1 when 0
	// Features of CSS media as they are to be, such as prefers-color-scheme: dark.
	Features map[string]string
}

// Tab is one page. Its methods may be called by one goroutine at a time.
type Tab struct {
	ctx    context.Context
	end    context.CancelFunc
	window Window

	mu         sync.Mutex
	complaints []string
}

// maxComplaints bounds what is kept of a page that complains on and on.
const maxComplaints = 100

// Open opens an address in a tab of its own, with its own cookies and connections.
func (b *Browser) Open(address string, w Window) (*Tab, error) {
	t := &Tab{}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(t.hear))
	t.ctx, t.end, t.window = ctx, cancel, w
	media := emulation.SetEmulatedMediaParams{}
	for name, value := range w.Features {
		media.Features = append(media.Features, &emulation.MediaFeature{Name: name, Value: value})
	}
	err := chromedp.Do(ctx,
		chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, log := chromedp.Call(ctx, log.Enable, cdp.Empty{})
			_, looks := chromedp.Call(ctx, emulation.SetEmulatedMedia, media)
			return errors.Join(log, looks)
		}),
		t.size(w.Height),
		chromedp.Navigate(address),
	)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open %s: %w", address, err)
	}
	return t, nil
}

// Close closes the tab. Those that are not closed go with their browser.
func (t *Tab) Close() { t.end() }

// size gives the window another height.
func (t *Tab) size(height int64) chromedp.Action[chromedp.Void] {
	return chromedp.EmulateViewport(t.window.Width, height, chromedp.EmulateScale(cmp.Or(t.window.Scale, 1)))
}

// hear keeps what a developer would see in red: exceptions, what the page's code logs as
// an error, and breaches of the content policy. That a server cannot be reached is not
// the page's fault, and left out.
func (t *Tab) hear(ev any) {
	text := ""
	switch e := ev.(type) {
	case *runtime.EventExceptionThrown:
		text = e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			text += " " + x.Description
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type != "error" {
			return
		}
		var words []string
		for _, a := range e.Args {
			words = append(words, wordOf(a))
		}
		text = strings.Join(words, " ")
	case *log.EventEntryAdded:
		if e.Entry.Level != "error" || e.Entry.Source == "network" {
			return
		}
		text = e.Entry.Text
	default:
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.complaints) < maxComplaints {
		t.complaints = append(t.complaints, text)
	}
}

// wordOf is what the console shows of an argument: a string as it is.
func wordOf(a *runtime.RemoteObject) string {
	word := a.Description
	if word == "" && json.Unmarshal(a.Value, &word) != nil {
		word = string(a.Value)
	}
	return word
}

// Complaints returns what the page has complained of so far.
func (t *Tab) Complaints() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.complaints...)
}

// Do takes steps of chromedp's in the tab, within a time limit.
func (t *Tab) Do(limit time.Duration, steps ...chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(t.ctx, limit)
	defer cancel()
	return chromedp.Do(ctx, steps...)
}

// See waits until a JavaScript expression is true. The error has what the page shows
// instead.
func (t *Tab) See(limit time.Duration, what, expression string) error {
	ctx, cancel := context.WithTimeout(t.ctx, limit)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool]("!!("+expression+")", chromedp.WithPollingTimeout(0))); err != nil {
		body, _ := Evaluate[string](t, `document.body.innerText`) // the error above is what counts
		return fmt.Errorf("wait for %s: %w; the page says:\n%s", what, err, body)
	}
	return nil
}

// pictureWithin bounds what taking a picture needs.
const pictureWithin = 30 * time.Second

// Picture returns what the window shows, as a PNG. With whole it is first made as high
// as what the page has to show, but not lower than its own height, and stays so.
func (t *Tab) Picture(whole bool) ([]byte, error) {
	ctx, cancel := context.WithTimeout(t.ctx, pictureWithin)
	defer cancel()
	if whole {
		height, err := Evaluate[float64](t, `document.documentElement.scrollHeight`)
		if err == nil {
			err = chromedp.Do(ctx, t.size(max(t.window.Height, int64(height))))
		}
		if err != nil {
			return nil, fmt.Errorf("take a picture: %w", err)
		}
	}
	// Two frames, so that what the new size changes has been drawn.
	const drawn = `document.fonts.ready.then(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true)))))`
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](drawn, chromedp.EvalAwaitPromise)); err != nil {
		return nil, fmt.Errorf("take a picture: %w", err)
	}
	b, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return nil, fmt.Errorf("take a picture: %w", err)
	}
	return b, nil
}

// evaluateWithin bounds what a page needs for an expression.
const evaluateWithin = 10 * time.Second

// Evaluate returns what a JavaScript expression is in the tab.
func Evaluate[T any](t *Tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(t.ctx, evaluateWithin)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression))
}

// Says is an expression: the text of what a CSS selector finds first contains a text.
func Says(selector, text string) string {
	return fmt.Sprintf(`(document.querySelector(%s)?.textContent ?? "").includes(%s)`, quote(selector), quote(text))
}

// quote makes a JavaScript string.
func quote(s string) string {
	b, _ := json.Marshal(s) // a string always has its JSON
	return string(b)
}
