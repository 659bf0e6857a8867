package web_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"andon.internal/collector/account"
	"andon.internal/collector/login"
	"andon.internal/collector/login/logintest"
	"andon.internal/collector/plant"
	"andon.internal/collector/web"
	"andon.internal/shared/sentinel"
)

// notes is an Audit that remembers.
type notes struct {
	mu   sync.Mutex
	list []web.Entry
}

func (n *notes) Note(_ context.Context, e web.Entry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, e)
}

// said is the entries as text.
func (n *notes) said() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var lines []string
	for _, e := range n.list {
		lines = append(lines, strings.Join(strings.Fields(fmt.Sprint(e.Who, " ", e.Role, " ", e.Action, " ", e.Object, " ", e.Result)), " "))
	}
	return strings.Join(lines, "; ")
}

// proxy is the address of the proxy of the tests; the recorder's requests come from it.
var proxy = netip.MustParsePrefix("192.0.2.1/32")

// setUpDoor is setUp with a login, and a user of every role, named as it.
func setUpDoor(t *testing.T, change ...func(*web.Config)) (*fixture, *logintest.Table) {
	t.Helper()
	tab := &logintest.Table{}
	for _, role := range account.Roles() {
		tab.Set(string(role), role, false)
	}
	desk, err := login.New(login.Config{Accounts: tab})
	if err != nil {
		t.Fatal(err)
	}
	p := plant.New(plant.Config{})
	f := &fixture{
		tb: t, p: p, history: &fakeHistory{}, acks: &fakeAcks{p: p}, desk: desk, audit: &notes{},
		ready: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "ready") }),
	}
	c := web.Config{Site: "austin", Exposure: web.Exposure{Login: web.LoginRequired, BehindProxy: []netip.Prefix{proxy}}}
	for _, fn := range change {
		fn(&c)
	}
	if f.web, err = web.New(c, f.sources()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.watch())
	for limit := time.Now().Add(patience); !desk.Known(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the accounts are not read")
		}
	}
	return f, tab
}

// known waits until the desk has read a token.
func (f *fixture) known(token string) {
	f.tb.Helper()
	for limit := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if _, ok := f.desk.Token(token); ok {
			return
		}
		if time.Now().After(limit) {
			f.tb.Fatal("the token is not read")
		}
	}
}

const formKind = "application/x-www-form-urlencoded"

// enter logs a user in and returns the header Cookie, and the key of forms.
func (f *fixture) enter(name string, header ...string) (cookie, key string) {
	f.tb.Helper()
	rec := f.do(http.MethodPost, "/login", "name="+name+"&password="+url.QueryEscape(logintest.Password), append(header, "Content-Type", formKind)...)
	if rec.Code != http.StatusSeeOther || len(rec.Result().Cookies()) != 1 {
		f.tb.Fatalf("the login of %s: %d %s", name, rec.Code, rec.Body)
	}
	c := rec.Result().Cookies()[0]
	return c.Name + "=" + c.Value, account.FormKey(c.Value)
}

// TestEveryRoute asks for every address as nobody, as every role, and with a token of
// every scope: only who has the permission that the table names is served.
func TestEveryRoute(t *testing.T) {
	f, tab := setUpDoor(t)
	f.raise("x1", "dyno-0001", sentinel.Critical, time.Now())
	type who struct {
		name   string
		header []string
		may    func(account.Permission) bool
	}
	all := []who{
		{"nobody", nil, func(account.Permission) bool { return false }},
		{"nonsense", []string{"Authorization", "Bearer nonsense"}, func(account.Permission) bool { return false }},
		{"basic", []string{"Authorization", "Basic YTpi"}, func(account.Permission) bool { return false }},
		{"an old cookie", []string{"Cookie", "andon=" + account.NewSecret()}, func(account.Permission) bool { return false }},
	}
	var tokens []string
	for _, role := range account.Roles() {
		cookie, _ := f.enter(string(role))
		all = append(all, who{string(role), []string{"Cookie", cookie}, role.May})
	}
	for _, scope := range []account.Scope{account.ScopeRead, account.ScopeAcknowledge, account.ScopeHealth} {
		tok, text := account.NewToken(string(scope), []account.Scope{scope}, time.Now(), time.Now().Add(time.Hour))
		tab.AddToken(tok)
		all = append(
			all,
			who{"token " + string(scope), []string{"Authorization", "Bearer " + text}, tok.May},
			who{"token in a query", nil, func(account.Permission) bool { return false }},
			who{"token in a cookie", []string{"Cookie", "andon=" + text}, func(account.Permission) bool { return false }},
		)
		all[len(all)-2].name += "?access_token=" + text + "&token=" + text
		tokens = append(tokens, text)
	}
	for _, text := range tokens {
		f.known(text)
	}
	fill := strings.NewReplacer("{$}", "", "{group}", "austin-line1", "{unit}", "dyno-0001", "{id}", "x1")
	seen := 0
	routes := f.web.Routes()
	slices.SortStableFunc(routes, func(a, b web.Route) int { // the logout ends the sessions
		return strings.Index(a.Pattern, "/logout") - strings.Index(b.Pattern, "/logout")
	})
	for _, route := range routes {
		method, path, _ := strings.Cut(fill.Replace(route.Pattern), " ")
		for _, w := range all {
			name, query, _ := strings.Cut(w.name, "?")
			r := httptest.NewRequest(method, "http://127.0.0.1:8080"+path+"?"+query, strings.NewReader("{}"))
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // event streams end at once
			r = r.WithContext(ctx)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("X-Forwarded-For", fmt.Sprintf("10.0.%d.%d", seen/200, seen%200)) // none comes too often
			for i := 0; i < len(w.header); i += 2 {
				r.Header.Set(w.header[i], w.header[i+1])
			}
			code := f.serve(r).Code
			turnedAway := code == http.StatusUnauthorized && path != "/login" || code == http.StatusForbidden ||
				code == http.StatusSeeOther && path != "/login" && path != "/logout"
			if want := route.Needs == web.Public || w.may(route.Needs); turnedAway == want {
				t.Errorf("%s as %s: %d; it needs %s", route.Pattern, name, code, route.Needs)
			}
			seen++
		}
	}
	if seen < 200 {
		t.Errorf("only %d requests were made", seen)
	}
}

func TestNobodyIsLedToTheLogin(t *testing.T) {
	f, _ := setUpDoor(t)
	for _, tt := range []struct {
		method, path string
		header       []string
		code         int
		to           string
	}{
		{"GET", "/", nil, 303, "/login"},
		{"GET", "/unit/a/b?range=1h", nil, 303, "/login?back=%2Funit%2Fa%2Fb%3Frange%3D1h"},
		{"GET", "/nothing", nil, 303, "/login?back=%2Fnothing"},
		{"GET", "/", []string{"Cookie", "andon=" + account.NewSecret()}, 303, "/login?said=ended"},
		{"GET", "/unit/a/b", []string{"Sec-Fetch-Site", "cross-site"}, 200, ""},
		{"GET", "/unit/a/b", []string{"Sec-Fetch-Site", "cross-site", "Cookie", "andon=old"}, 303, "/login?back=%2Funit%2Fa%2Fb&said=ended"},
		{"GET", "/api/v1/fleet", nil, 401, ""},
		{"GET", "/api/v1/events", nil, 401, ""},
		{"GET", "/readyz", nil, 401, ""},
		{"POST", "/api/v1/alarms/x/ack", []string{"Content-Type", "application/json"}, 401, ""},
		{"POST", "/api/v1/alarms/x/ack", []string{"Content-Type", formKind}, 303, "/login"},
		{"GET", "/login", nil, 200, ""},
		{"GET", "/assets/app.css", nil, 200, ""},
	} {
		rec := f.do(tt.method, tt.path, "", tt.header...)
		if rec.Code != tt.code || rec.Header().Get("Location") != tt.to {
			t.Errorf("%s %s %v: %d to %q, want %d to %q", tt.method, tt.path, tt.header, rec.Code, rec.Header().Get("Location"), tt.code, tt.to)
		}
		if (tt.code == 401) != (rec.Header().Get("WWW-Authenticate") != "") {
			t.Errorf("%s %s: WWW-Authenticate %q", tt.method, tt.path, rec.Header().Get("WWW-Authenticate"))
		}
	}
	// The page that leads on leads back to itself, which browsers count as ours.
	if got := f.do("GET", "/unit/a/b?x=1", "", "Sec-Fetch-Site", "cross-site").Body.String(); !strings.Contains(got, `content="0; url=/unit/a/b?x=1"`) {
		t.Errorf("the page does not lead on: %s", got)
	}
}

func TestLoginPage(t *testing.T) {
	f, _ := setUpDoor(t)
	page := f.do(http.MethodGet, "/login?back=%2Funit%2Fa%2Fb", "").Body.String()
	for _, want := range []string{`name="back" value="/unit/a/b"`, `autocomplete="current-password"`, `autocomplete="username"`, "austin"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if m := regexp.MustCompile(`(?i)<script|<style|\sstyle=|\son[a-z]+=|https?://`).FindString(page); m != "" {
		t.Errorf("the page has %q", m)
	}
	if got := f.do(http.MethodGet, "/login?back=%2F%2Fevil.example", "").Body.String(); strings.Contains(got, "evil") {
		t.Error("the page leads to another site")
	}
	// The answer is the same for who is known and who is not.
	wrong := func(name string) (int, string) {
		rec := f.do(http.MethodPost, "/login", "name="+name+"&password=wrong+password&back=%2Funit%2Fa", "Content-Type", formKind)
		if len(rec.Result().Cookies()) != 0 {
			t.Errorf("%s gets a cookie", name)
		}
		return rec.Code, strings.ReplaceAll(rec.Body.String(), name, "NAME")
	}
	code, known := wrong("operator")
	if c, unknown := wrong("nobody"); c != code || unknown != known || code != http.StatusUnauthorized {
		t.Errorf("the answers differ: %d and %d\n%s\n%s", code, c, known, unknown)
	}
	if !strings.Contains(known, "The name or the password is wrong.") || !strings.Contains(known, `value="/unit/a"`) {
		t.Errorf("the page says %s", known)
	}
	// By and by it gets slower; where a machine takes long over each, later.
	var slower *httptest.ResponseRecorder
	for n := 0; n < 100 && code != http.StatusTooManyRequests; n++ {
		slower = f.do(http.MethodPost, "/login", "name=operator&password=wrong+password", "Content-Type", formKind)
		code = slower.Code
	}
	if code != http.StatusTooManyRequests || !strings.Contains(slower.Body.String(), "Too many attempts. Try again in ") {
		t.Errorf("after a hundred: %d %s", code, text(slower.Body.String()))
	}
	if slower.Header().Get("Retry-After") == "" {
		t.Error("it is not said when to try again")
	}
	if rec := f.do(http.MethodPost, "/login", "name=viewer&password="+url.QueryEscape(logintest.Password), "Content-Type", formKind, "Origin", "http://evil.example"); rec.Code != http.StatusForbidden {
		t.Errorf("a login from another site: %d", rec.Code)
	}
	if got := f.audit.said(); !strings.HasPrefix(got, "operator log in refused; nobody log in refused; operator log in refused") || !strings.Contains(got, "operator log in failed") {
		t.Errorf("noted: %s", got)
	}
}
