package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"andon.internal/collector/account"
	"andon.internal/collector/login/logintest"
	"andon.internal/collector/web"
	"andon.internal/shared/sentinel"
)

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
	for limit := time.Now().Add(patience); f.do(http.MethodGet, "/api/v1/fleet", "", "Cookie", cookie).Code != http.StatusUnauthorized; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("after a change of the role the session goes on")
		}
	}
	want := "operator operator log in ok; operator operator log in ok; " +
		strings.Repeat("operator operator request page POST /logout refused; ", 4) +
		"operator operator log out ok; operator operator log in ok"
	if got := f.audit.said(); got != want {
		t.Errorf("noted: %s", got)
	}
}

// TestWhoIsLoggedInSaysWhoAcknowledges whatever the form says.
func TestWhoIsLoggedInSaysWhoAcknowledges(t *testing.T) {
	f, tab := setUpDoor(t)
	tok, text := account.NewToken("scada", []account.Scope{account.ScopeAcknowledge}, time.Now(), time.Now().Add(time.Hour))
	tab.AddToken(tok)
	f.known(text)
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
	if got := f.audit.said(); !strings.Contains(got, "viewer viewer request page POST /api/v1/alarms/"+slug("who may not")+"/ack refused") {
		t.Errorf("that somebody tried what they may not is not noted: %s", got)
	}
	if body := f.do(http.MethodGet, "/", "", "Cookie", viewer).Body.String(); strings.Contains(body, "/ack") {
		t.Error("the page offers a viewer to acknowledge")
	}
	body := f.do(http.MethodGet, "/", "", "Cookie", cookie).Body.String()
	if !strings.Contains(body, "/ack") || !strings.Contains(body, `name="key" value="`+key+`"`) || strings.Contains(body, `name="by"`) {
		t.Error("the page does not offer the operator to acknowledge by their name")
	}
}

// TestTheStreamEndsWithTheSession and says so.
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
	select {
	case all := <-ended:
		if !strings.Contains(all, "event: snapshot") || !strings.HasSuffix(all, "event: ended\ndata: {}\n\n") {
			t.Errorf("the stream ended with %.60q", all[max(len(all)-60, 0):])
		}
	case <-time.After(patience):
		t.Fatal("the stream goes on")
	}
}

func slug(s string) string { return strings.ReplaceAll(s, " ", "-") }
