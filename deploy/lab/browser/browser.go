// Package browser opens the pages of a lab in a headless Chromium, as a person would.
//
// It stands beside the factory, behind its pages: the tests of the lab look through it,
// and the pictures of the documentation are taken with it. It promises that whatever a
// page complains of in its console is kept, that a wait which ends in vain says what the
// page shows instead, and that Close leaves no process behind.
package browser

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/chromedp/chromedp"

	"andon.internal/shared/ops"
)

// names under which Chromium is installed.
var names = []string{"chromium", "chromium-browser", "google-chrome"}

// Find returns where Chromium is, or an error that says how to install it.
func Find() (string, error) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ops.Hint(errors.New("find Chromium: there is none in PATH"),
		"install it: apt-get install chromium (a Debian package), or make prerequisites")
}

// Browser is a running Chromium. Its methods are safe for concurrent use.
type Browser struct {
	ctx context.Context // of chromedp, with the browser
	end []context.CancelFunc
}

// Start starts a Chromium, which also ends with ctx.
func Start(ctx context.Context) (*Browser, error) {
	path, err := Find()
	if err != nil {
		return nil, err
	}
	// The pages are our own, and a container rarely lets Chromium make its sandbox.
	ctx, endAllocator := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("hide-scrollbars", true))...)
	ctx, endBrowser := chromedp.NewContext(ctx)
	b := &Browser{ctx: ctx, end: []context.CancelFunc{endBrowser, endAllocator}}
	if err := chromedp.Do(ctx); err != nil {
		b.Close()
		return nil, fmt.Errorf("start Chromium: %w", err)
	}
	return b, nil
}

// closeWithin is how long Chromium has to end by itself.
const closeWithin = 5 * time.Second

// Close ends the browser with all of its tabs.
func (b *Browser) Close() {
	ctx, cancel := context.WithTimeout(b.ctx, closeWithin)
	defer cancel()
	_ = chromedp.Cancel(ctx) // it is killed below at the latest
	for _, end := range b.end {
		end()
	}
}
