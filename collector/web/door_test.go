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
	for limit := time.Now().Add(10 * time.Second); !desk.Known(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the accounts are not read")
		}
	}
	return f, tab
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
	}
	time.Sleep(1500 * time.Millisecond) // the desk has read the tokens
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
	// By and by it gets slower.
	for range 10 {
		code, known = wrong("operator")
	}
	if code != http.StatusTooManyRequests || !strings.Contains(known, "Too many attempts. Try again in ") {
		t.Errorf("after ten: %d %s", code, text(known))
	}
	if rec := f.do(http.MethodPost, "/login", "name=operator", "Content-Type", formKind); rec.Header().Get("Retry-After") == "" {
		t.Error("it is not said when to try again")
	}
	if rec := f.do(http.MethodPost, "/login", "name=viewer&password="+url.QueryEscape(logintest.Password), "Content-Type", formKind, "Origin", "http://evil.example"); rec.Code != http.StatusForbidden {
		t.Errorf("a login from another site: %d", rec.Code)
	}
	if got := f.audit.said(); !strings.HasPrefix(got, "operator log in refused; nobody log in refused; operator log in refused") || !strings.Contains(got, "operator log in failed") {
		t.Errorf("noted: %s", got)
	}
}

func TestCookies(t *testing.T) {
	f, _ := setUpDoor(t, func(c *web.Config) { c.Hosts = []string{"andon.plant.example"} })
	for _, tt := range []struct {
		name, host string
		header     []string
		cookie     string // its name; empty: refused
	}{
		{"on this machine", "127.0.0.1:8080", nil, "andon"},
		{"on this machine, by name", "localhost:8080", nil, "andon"},
		{"through the proxy in TLS", "andon.plant.example", []string{"X-Forwarded-Proto", "https"}, "__Host-andon"},
		{"through the proxy in the clear", "andon.plant.example", []string{"X-Forwarded-Proto", "http"}, ""},
		{"in the clear", "andon.plant.example", nil, ""},
		{"in the clear, by address", "10.1.2.3", nil, ""},
		{"what a client said before the proxy", "andon.plant.example", []string{"X-Forwarded-Proto", "https", "X-Forwarded-Proto", "http"}, ""},
	} {
		r := newRequest(http.MethodPost, "/login", tt.host)
		r.Header.Set("Content-Type", formKind)
		for i := 0; i < len(tt.header); i += 2 {
			r.Header.Add(tt.header[i], tt.header[i+1])
		}
		r.Body = body("name=viewer&password=" + url.QueryEscape(logintest.Password))
		rec := f.serve(r)
		cookies := rec.Result().Cookies()
		if tt.cookie == "" {
			if rec.Code != http.StatusForbidden || len(cookies) > 0 {
				t.Errorf("%s: %d, cookies %v", tt.name, rec.Code, cookies)
			}
			continue
		}
		if len(cookies) != 1 {
			t.Fatalf("%s: %d, cookies %v", tt.name, rec.Code, cookies)
		}
		c, tls := cookies[0], tt.cookie == "__Host-andon"
		if c.Name != tt.cookie || c.Secure != tls || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || len(c.Value) != 43 {
			t.Errorf("%s: cookie %+v", tt.name, c)
		}
		if got := rec.Header().Get("Strict-Transport-Security"); (got == "max-age=31536000") != tls {
			t.Errorf("%s: Strict-Transport-Security %q", tt.name, got)
		}
	}
	// Who is no proxy of ours is not believed.
	r := newRequest(http.MethodGet, "/", "andon.plant.example")
	r.RemoteAddr = "198.51.100.9:5"
	r.Header.Set("X-Forwarded-Proto", "https")
	if code := f.serve(r).Code; code != http.StatusForbidden {
		t.Errorf("a stranger who says https: %d", code)
	}
}

func TestSessions(t *testing.T) {
	f, tab := setUpDoor(t)
	fixed := "andon=" + account.NewSecret()
	cookie, key := f.enter("operator", "Cookie", fixed)
	if cookie == fixed {
		t.Fatal("the session is one that somebody else chose")
	}
	if code := f.do(http.MethodGet, "/", "", "Cookie", fixed).Code; code != http.StatusSeeOther {
		t.Errorf("a chosen session: %d", code)
	}
	again, againKey := f.enter("operator", "Cookie", cookie)
	if code := f.do(http.MethodGet, "/", "", "Cookie", cookie).Code; again == cookie || code != http.StatusSeeOther {
		t.Errorf("the session of before a login goes on: %d", code)
	}
	page := text(f.do(http.MethodGet, "/", "", "Cookie", again).Body.String())
	if !strings.Contains(page, "operator operator Log out") {
		t.Errorf("the page does not say who is logged in: %s", page)
	}
	if code := f.do(http.MethodGet, "/login?back=%2Funit%2Fa", "", "Cookie", again).Code; code != http.StatusSeeOther {
		t.Errorf("the login page for who is logged in: %d", code)
	}
	post := func(path, body, cookie string) int {
		return f.do(http.MethodPost, path, body, "Cookie", cookie, "Content-Type", formKind).Code
	}
	for _, bad := range []string{"", "key=", "key=" + key, "key=nonsense"} {
		if code := post("/logout", bad, again); code != http.StatusForbidden {
			t.Errorf("a logout with %q: %d", bad, code)
		}
	}
	if code := f.do(http.MethodPost, "/logout?key="+againKey, "", "Cookie", again, "Content-Type", "text/plain").Code; code != http.StatusUnsupportedMediaType {
		t.Errorf("a logout as text: %d", code)
	}
	if code := post("/logout", "key="+againKey, again); code != http.StatusSeeOther {
		t.Errorf("a logout: %d", code)
	}
	if code := f.do(http.MethodGet, "/api/v1/fleet", "", "Cookie", again).Code; code != http.StatusUnauthorized {
		t.Errorf("after the logout: %d", code)
	}
	cookie, _ = f.enter("operator")
	tab.Set("operator", account.Viewer, false)
	for limit := time.Now().Add(2 * time.Second); f.do(http.MethodGet, "/api/v1/fleet", "", "Cookie", cookie).Code != http.StatusUnauthorized; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("two seconds after a change of the role the session goes on")
		}
	}
	want := "operator operator log in ok; operator operator log in ok; operator operator log out ok; operator operator log in ok"
	if got := f.audit.said(); got != want {
		t.Errorf("noted: %s", got)
	}
}

// TestWhoIsLoggedInSaysWhoAcknowledges whatever the form says.
func TestWhoIsLoggedInSaysWhoAcknowledges(t *testing.T) {
	f, tab := setUpDoor(t)
	tok, text := account.NewToken("scada", []account.Scope{account.ScopeAcknowledge}, time.Now(), time.Now().Add(time.Hour))
	tab.AddToken(tok)
	time.Sleep(1500 * time.Millisecond)
	cookie, key := f.enter("operator")
	viewer, viewerKey := f.enter("viewer")
	for _, tt := range []struct {
		name, body string
		header     []string
		code       int
		by         string
	}{
		{"json", `{"note":"x"}`, []string{"Cookie", cookie, "Content-Type", "application/json"}, 202, "operator"},
		{"json with the own name", `{"by":"operator"}`, []string{"Cookie", cookie, "Content-Type", "application/json"}, 202, "operator"},
		{"json with another name", `{"by":"Ann"}`, []string{"Cookie", cookie, "Content-Type", "application/json"}, 400, ""},
		{"form", "note=x&key=" + key, []string{"Cookie", cookie, "Content-Type", formKind}, 303, "operator"},
		{"form without its key", "note=x", []string{"Cookie", cookie, "Content-Type", formKind}, 403, ""},
		{"form with another's key", "note=x&key=" + viewerKey, []string{"Cookie", cookie, "Content-Type", formKind}, 403, ""},
		{"who may not", "note=x&key=" + viewerKey, []string{"Cookie", viewer, "Content-Type", formKind}, 403, ""},
		{"from another site", `{}`, []string{"Cookie", cookie, "Content-Type", "application/json", "Origin", "http://evil.example"}, 403, ""},
		{"token", `{"note":"x"}`, []string{"Authorization", "Bearer " + text, "Content-Type", "application/json"}, 202, "token:scada"},
		{"token as a form", `note=x`, []string{"Authorization", "bearer " + text, "Content-Type", formKind}, 303, "token:scada"},
	} {
		f.acks.got = nil
		f.raise(slug(tt.name), "dyno-0001", sentinel.Critical, time.Now())
		rec := f.do(http.MethodPost, "/api/v1/alarms/"+slug(tt.name)+"/ack", tt.body, tt.header...)
		by := ""
		if len(f.acks.got) > 0 {
			by = f.acks.got[0].By
		}
		if rec.Code != tt.code || by != tt.by {
			t.Errorf("%s: %d by %q, want %d by %q: %s", tt.name, rec.Code, by, tt.code, tt.by, rec.Body)
		}
	}
	if body := f.do(http.MethodGet, "/", "", "Cookie", viewer).Body.String(); strings.Contains(body, "/ack") {
		t.Error("the page offers a viewer to acknowledge")
	}
	body := f.do(http.MethodGet, "/", "", "Cookie", cookie).Body.String()
	if !strings.Contains(body, "/ack") || !strings.Contains(body, `name="key" value="`+key+`"`) || strings.Contains(body, `name="by"`) {
		t.Error("the page does not offer the operator to acknowledge by their name")
	}
}

// TestTheStreamEndsWithTheSession within two seconds, and says so.
func TestTheStreamEndsWithTheSession(t *testing.T) {
	f, tab := setUpDoor(t)
	server := httptest.NewServer(f.web.Handler())
	defer server.Close()
	cookie, _ := f.enter("viewer")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", cookie)
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	ended := make(chan string, 1)
	go func() {
		all := new(strings.Builder)
		buf := make([]byte, 4096)
		for {
			n, err := response.Body.Read(buf)
			all.Write(buf[:n])
			if err != nil {
				ended <- all.String()
				return
			}
		}
	}()
	tab.Set("viewer", account.Viewer, true)
	began := time.Now()
	select {
	case all := <-ended:
		if took := time.Since(began); took > 3*time.Second || !strings.Contains(all, "event: snapshot") || !strings.HasSuffix(all, "event: ended\ndata: {}\n\n") {
			t.Errorf("after %v the stream ended with %.60q", took, all[max(len(all)-60, 0):])
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the stream goes on")
	}
}

func TestRequestsAreLimited(t *testing.T) {
	f, _ := setUpDoor(t)
	count := func(n int, header ...string) (served int) {
		for range n {
			rec := f.do(http.MethodGet, "/api/v1/cells", "", header...)
			switch rec.Code {
			case http.StatusTooManyRequests:
				if rec.Header().Get("Retry-After") == "" {
					t.Fatal("it is not said when to try again")
				}
			default:
				served++
			}
		}
		return served
	}
	viewer, _ := f.enter("viewer")
	operator, _ := f.enter("operator")
	if n := count(200); n > 150 {
		t.Errorf("%d of 200 requests of nobody are answered", n)
	}
	if n := count(600, "Cookie", viewer); n < 300 || n > 450 {
		t.Errorf("%d of 600 requests of one session are answered", n)
	}
	if n := count(50, "Cookie", operator); n != 50 {
		t.Errorf("%d of 50 requests of another session are answered", n)
	}
	if code := f.do(http.MethodGet, "/api/v1/cells", "", "X-Forwarded-For", "198.51.100.1").Code; code != http.StatusUnauthorized {
		t.Errorf("another address behind the proxy: %d", code)
	}
	count(200)
	if code := f.do(http.MethodGet, "/api/v1/cells", "", "X-Forwarded-For", "198.51.100.1, 192.0.2.1, nonsense").Code; code != http.StatusTooManyRequests {
		t.Errorf("what is no address is taken for one: %d", code)
	}
}

// TestStrangersAreNotBelieved: who is no proxy of ours is limited by their own address,
// whatever they say it is.
func TestStrangersAreNotBelieved(t *testing.T) {
	f, _ := setUpDoor(t)
	answered := 0
	for i := range 200 {
		r := newRequest(http.MethodGet, "/api/v1/cells", "127.0.0.1")
		r.RemoteAddr = "198.51.100.9:5"
		r.Header.Set("X-Forwarded-For", fmt.Sprint("10.0.0.", i))
		if f.serve(r).Code != http.StatusTooManyRequests {
			answered++
		}
	}
	if answered > 150 {
		t.Errorf("%d of 200 requests of one address are answered", answered)
	}
}

func TestAccountsAreToldToAdmins(t *testing.T) {
	f, _ := setUpDoor(t)
	cookie, _ := f.enter("admin")
	body := f.do(http.MethodGet, "/api/v1/accounts", "", "Cookie", cookie).Body.String()
	for _, want := range []string{`"name":"viewer"`, `"from":"192.0.2.1"`, `"role":"admin"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the answer lacks %s: %s", want, body)
		}
	}
	if strings.Contains(body, "argon2") || strings.Contains(body, strings.TrimPrefix(cookie, "andon=")) {
		t.Errorf("the answer tells secrets: %s", body)
	}
}

func TestSecureHeaders(t *testing.T) {
	f, _ := setUpDoor(t)
	for _, path := range []string{"/", "/login", "/api/v1/fleet", "/assets/app.css", "/readyz"} {
		h := f.do(http.MethodGet, path, "").Header()
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Permissions-Policy": "camera=()",
		} {
			if !strings.HasPrefix(h.Get(name), want) {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
	}
}

// provider is an identity provider that vouches for whom it is told to.
type provider struct {
	who web.Identity
	err error
}

func (p *provider) LogoutURL(context.Context) string { return "https://id.example/logout" }

func (p *provider) Start(rw http.ResponseWriter, r *http.Request, back string) error {
	http.Redirect(rw, r, "https://id.example/?back="+url.QueryEscape(back), http.StatusFound)
	return nil
}

func (p *provider) Callback(http.ResponseWriter, *http.Request) (web.Identity, string, error) {
	return p.who, "//evil.example", p.err
}

func TestSingleSignOn(t *testing.T) {
	f, _ := setUpDoor(t)
	p := &provider{who: web.Identity{Subject: "17", Email: "ann@plant.example", Role: account.Operator}}
	f.signOn = p
	var err error
	if f.web, err = web.New(web.Config{Exposure: web.Exposure{Login: web.LoginRequired}}, f.sources()); err != nil {
		t.Fatal(err)
	}
	if page := f.do(http.MethodGet, "/login?back=%2Funit%2Fa", "").Body.String(); !strings.Contains(page, `href="/login/sso?back=%2funit%2fa"`) {
		t.Errorf("the page does not lead to the provider: %s", page)
	}
	if rec := f.do(http.MethodGet, "/login/sso?back=%2Funit%2Fa", ""); rec.Header().Get("Location") != "https://id.example/?back=%2Funit%2Fa" {
		t.Errorf("it leads to %q", rec.Header().Get("Location"))
	}
	rec := f.do(http.MethodGet, "/login/sso/callback", "")
	if rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), `content="0; url=/"`) || len(rec.Result().Cookies()) != 1 {
		t.Fatalf("signed on: %d %s", rec.Code, rec.Body)
	}
	c := rec.Result().Cookies()[0]
	if page := text(f.do(http.MethodGet, "/", "", "Cookie", c.Name+"="+c.Value).Body.String()); !strings.Contains(page, "ann@plant.example operator Log out") {
		t.Errorf("the page: %s", page)
	}
	for name, bad := range map[string]provider{
		"refused": {err: errAway}, "no role": {who: web.Identity{Name: "x"}}, "no name": {who: web.Identity{Role: account.Admin}},
		"another role": {who: web.Identity{Name: "x", Role: "root"}},
	} {
		*p = bad
		rec := f.do(http.MethodGet, "/login/sso/callback", "")
		if rec.Code != http.StatusForbidden || len(rec.Result().Cookies()) > 0 || strings.Contains(rec.Body.String(), errAway.Error()) {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	}
	if got := f.audit.said(); !strings.HasPrefix(got, "ann@plant.example operator log in ok") || strings.Count(got, "log in failed") != 4 {
		t.Errorf("noted: %s", got)
	}
}

func slug(s string) string { return strings.ReplaceAll(s, " ", "-") }
