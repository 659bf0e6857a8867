package web_test

import (
	"testing"

	"github.com/chromedp/chromedp"

	"andon.internal/collector/web"
)

// TestBrowserLosses: the page says what was lost, of which cell, and why.
func TestBrowserLosses(t *testing.T) {
	s := openSite(t)
	s.history.losses = []web.Loss{{Group: "austin-line1", Node: "cell-07", Reason: "overflow", Count: 41}}
	s.do(chromedp.Navigate(s.url))
	s.see("the cell", says("andon-losses table", "cell-07"))
	s.see("the reason", says("andon-losses table", "overflow"))
	s.see("what it means", says("andon-losses table", "the buffer was full"))
	s.see("how many", says("andon-losses table", "41"))
}
