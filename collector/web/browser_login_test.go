package web_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"andon.internal/collector/account"
	"andon.internal/collector/login"
	"andon.internal/collector/login/logintest"
	"andon.internal/collector/web"
	"andon.internal/shared/sentinel"
)

// openDoor is openSite with a login, and the users ann, who acknowledges, and bob.
func openDoor(t *testing.T) (*site, *logintest.Table) {
	t.Helper()
	tab := &logintest.Table{}
	tab.Set("ann", account.Operator, false)
	tab.Set("bob", account.Viewer, false)
	desk, err := login.New(login.Config{Accounts: tab})
	if err != nil {
		t.Fatal(err)
	}
	return openSiteWith(t, desk, func(c *web.Config) { c.Login = web.LoginRequired }), tab
}

// logIn fills in the form.
func (s *site) logIn(name, password string) {
	s.tb.Helper()
	s.see("the form", `!!document.querySelector('.login input[name=password]')`)
	if _, err := chromedp.Run(s.tab, chromedp.Evaluate[int](`document.querySelector('.login input[name=name]').value = '', 0`)); err != nil {
		s.tb.Fatal(err)
	}
	s.do(
		chromedp.SendKeys(chromedp.CSS(`.login input[name=name]`), name),
		chromedp.SendKeys(chromedp.CSS(`.login input[name=password]`), password),
		chromedp.Click(chromedp.CSS(`.login form button`)),
	)
}

// acknowledge fills in the form of the first alarm. The list may be drawn anew meanwhile, by
// the first that the stream says, and the click may meet what was there before: then it begins
// again.
func (s *site) acknowledge(note string) {
	s.tb.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err = chromedp.Run(s.tab, chromedp.Evaluate[int](`document.querySelector('andon-alarms li.alarm details').open = true, 0`)); err != nil {
			s.tb.Fatal(err)
		}
		err = chromedp.Do(s.tab,
			chromedp.SendKeys(chromedp.CSS(`andon-alarms li.alarm input[name=note]`), note),
			chromedp.Click(chromedp.CSS(`andon-alarms li.alarm form button`)),
		)
		if err == nil && s.sent() {
			return
		}
		if err != nil && !strings.Contains(err.Error(), "(-32000)") {
			break
		}
	}
	s.tb.Fatalf("the form of an alarm could not be sent: %v", err)
}

// sent is true when the page says within a few seconds that the acknowledgement is under way
// or there.
func (s *site) sent() bool {
	ctx, cancel := context.WithTimeout(s.tab, 3*time.Second)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Poll[bool](`!!document.querySelector('andon-alarms li.alarm :is(.said, .acked)')`))
	return err == nil
}

// TestBrowserLogin logs in, acknowledges, logs out, and is sent to the login when the
// session ends under the page.
func TestBrowserLogin(t *testing.T) {
	s, tab := openDoor(t)
	s.read("dyno-0001", time.Now(), 0, values(61.2, 412, true))
	s.raise("x1", "dyno-0001", sentinel.Critical, time.Now())
	s.do(chromedp.EmulateViewport(1440, 900), chromedp.Navigate(s.url+"/unit/austin-line1/dyno-0001"))
	s.logIn("ann", "wrong password")
	s.see("that it is wrong", says(".login .fault", "The name or the password is wrong."))
	s.logIn("ann", logintest.Password)
	s.see("the page that was wanted", `location.pathname === '/unit/austin-line1/dyno-0001'`)
	s.see("who is logged in", says(".who", "ann"))
	s.see("the stream", says("andon-values", "61.2"))
	s.acknowledge("on my way")
	s.see("the acknowledgement, by name", says("li.a-acknowledged .acked", "ann"))
	s.do(chromedp.Click(chromedp.CSS(`.who button`)))
	s.see("the login page again", says(".login .said", "You are logged out."))

	// Behind a link of another site the browser leaves the cookie out at first.
	foreign := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(rw, `<a href="%s/?view=tiles">to the plant</a>`, strings.Replace(s.url, "127.0.0.1", "localhost", 1))
	}))
	defer foreign.Close()
	s.do(chromedp.Navigate(strings.Replace(s.url, "127.0.0.1", "localhost", 1)))
	s.logIn("ann", logintest.Password)
	s.see("the fleet", says(".who", "ann"))
	s.do(chromedp.Navigate(foreign.URL), chromedp.Click(chromedp.CSS(`a`)))
	s.see("the page behind the link", `location.search === '?view=tiles' && `+says(".who", "ann"))

	s.do(chromedp.Navigate(s.url))
	s.logIn("bob", logintest.Password)
	s.raise("x2", "dyno-0001", sentinel.High, time.Now())
	s.see("the alarm", says("andon-alarms", "unacknowledged")+` || !!document.querySelector('andon-alarms li.a-unacknowledged')`)
	s.see("nothing for a viewer to acknowledge with", `!document.querySelector('details.ack')`)
	tab.Set("bob", account.Viewer, true)
	s.see("that the session has ended", says(".login .said", "Your session has ended."))
	s.see("the way back", `document.querySelector('.login input[name=back]').value === '/'`)
}

// TestBrowserLoginFits looks at the login page, and who is logged in on the fleet page,
// through narrow windows.
func TestBrowserLoginFits(t *testing.T) {
	s, _ := openDoor(t)
	const sticksOut = `[...document.querySelectorAll('body *:not(.scroll *):not(.hidden-text):not(.skip):not(.sprite *)')]
		.filter((e) => e.getBoundingClientRect().right > innerWidth + 0.5).map((e) => e.outerHTML.slice(0, 80))`
	fits := func(width int64) {
		t.Helper()
		s.do(chromedp.EmulateViewport(width, 800))
		out, err := chromedp.Run(s.tab, chromedp.Evaluate[[]string](sticksOut))
		if err != nil {
			t.Fatal(err)
		}
		for _, element := range out {
			t.Errorf("at %d pixels: %s sticks out", width, element)
		}
	}
	s.do(chromedp.Navigate(s.url + "/"))
	s.see("the form", `!!document.querySelector('.login form')`)
	for _, width := range []int64{320, 390, 1440} {
		fits(width)
	}
	s.logIn("ann", logintest.Password)
	s.see("who is logged in", says(".who", "ann"))
	for _, width := range []int64{360, 390, 800, 1440} {
		fits(width)
	}
	s.quiet()
}
