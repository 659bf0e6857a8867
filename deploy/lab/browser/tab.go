package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Window is the size of a tab in CSS pixels, and how many pixels of the screen one of
// them is; a Scale of 0 is 1.
type Window struct {
	Width, Height int64
	Scale         float64
}

// Tab is one page. Its methods may be called by one goroutine at a time.
type Tab struct {
	ctx context.Context

	mu         sync.Mutex
	complaints []string
}

// maxComplaints bounds what is kept of a page that complains on and on.
const maxComplaints = 100

// Open opens an address in a tab of its own, with its own cookies and connections.
func (b *Browser) Open(address string, w Window) (*Tab, error) {
	t := &Tab{}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(t.hear))
	t.ctx = ctx
	scale := w.Scale
	if scale == 0 {
		scale = 1
	}
	err := chromedp.Do(ctx,
		chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Call(ctx, log.Enable, cdp.Empty{})
			return err
		}),
		chromedp.EmulateViewport(w.Width, w.Height, chromedp.EmulateScale(scale)),
		chromedp.Navigate(address),
	)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open %s: %w", address, err)
	}
	return t, nil
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
