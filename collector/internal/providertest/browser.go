package providertest

import (
	"crypto/tls"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// Browser returns a client with cookies that trusts the provider and follows redirects.
func (p *Provider) Browser() *http.Client {
	p.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.Pool(), MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
	return &http.Client{Jar: jar, Transport: transport}
}

// Answer is what a browser shows at last.
type Answer struct {
	Status   int
	URL      *url.URL
	Location string // where it leads, for a browser that does not follow
	Body     string
}

// Login opens a page that leads to the provider's login form, fills the form in, and
// returns where that led to.
func (p *Provider) Login(browser *http.Client, page, user, password string) Answer {
	p.t.Helper()
	return p.Submit(browser, p.Get(browser, page), map[string]string{"user": user, "password": password})
}

// Submit fills in the form that has the fields, and sends it.
func (p *Provider) Submit(browser *http.Client, at Answer, fields map[string]string) Answer {
	p.t.Helper()
	action, values, ok := readForm(at.Body, fields)
	if !ok {
		p.t.Fatalf("%s has no form with %v: %d %s", at.URL, slices.Sorted(maps.Keys(fields)), at.Status, at.Body)
	}
	to, err := at.URL.Parse(action)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := browser.PostForm(to.String(), values)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.answer(resp)
}

// Get opens a page.
func (p *Provider) Get(browser *http.Client, page string) Answer {
	p.t.Helper()
	resp, err := browser.Get(page)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.answer(resp)
}

func (p *Provider) answer(resp *http.Response) Answer {
	p.t.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		p.t.Fatal(err)
	}
	return Answer{resp.StatusCode, resp.Request.URL, resp.Header.Get("Location"), string(b)}
}

// readForm finds the form with the fields, and what it sends with them.
func readForm(page string, fields map[string]string) (action string, values url.Values, ok bool) {
	missing := len(fields)
	for z := html.NewTokenizer(strings.NewReader(page)); ; {
		kind := z.Next()
		if kind == html.ErrorToken {
			return "", nil, false
		}
		t := z.Token()
		a := map[string]string{}
		for _, attribute := range t.Attr {
			a[attribute.Key] = attribute.Val
		}
		value, ours := fields[a["name"]]
		switch {
		case t.Data == "form" && kind == html.EndTagToken && missing == 0:
			return action, values, true
		case t.Data == "form" && kind == html.StartTagToken:
			action, values, missing = a["action"], url.Values{}, len(fields)
		case values == nil || a["name"] == "":
		case ours && !values.Has(a["name"]):
			values.Set(a["name"], value)
			missing--
		case t.Data == "input" && a["type"] == "hidden":
			values.Set(a["name"], a["value"])
		}
	}
}
