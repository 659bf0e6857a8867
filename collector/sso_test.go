package collector_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"andon.internal/collector"
	"andon.internal/collector/internal/edgetest"
	"andon.internal/collector/internal/providertest"
	"andon.internal/collector/oidc"
	"andon.internal/collector/web"
	"andon.internal/shared/config"
	"andon.internal/shared/freeport"
)

// TestLogInThroughTheProvider has a person log in at a real identity provider and look at
// the pages, and another, who has no role, be turned away.
func TestLogInThroughTheProvider(t *testing.T) {
	port, err := freeport.Take()
	if err != nil {
		t.Fatal(err)
	}
	home := fmt.Sprintf("http://127.0.0.1:%d", port)
	const secret = "a client's secret"
	provider := providertest.Start(t, providertest.Client{
		ID: "andon", Secret: secret, RedirectURL: home + web.CallbackPath, LogoutURL: home + "/login?said=out",
	})
	file := filepath.Join(t.TempDir(), "oidc_secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pg := ownDatabase(t)
	r := start(t, edgetest.StartBroker(t), pg.DSN(), withLogin, func(c *collector.Config) {
		c.Web.Listen = fmt.Sprintf("127.0.0.1:%d", port)
		o := &c.Web.OIDC
		o.Issuer, o.ClientID, o.CA, o.RedirectURL = provider.Issuer(), "andon", config.Path(provider.CA()), home+web.CallbackPath
		o.ClientSecret = config.SecretFile(file)
		o.Scopes = append(o.Scopes, "groups")
		o.Roles = map[string]oidc.Role{"andon-operators": oidc.Operator}
	})
	r.waitReady()

	browser := provider.Browser()
	if at := provider.Login(browser, home+"/login/sso?back=%2F", "otto", "otto"); at.Status != http.StatusOK {
		t.Fatalf("%s: %d %s", at.URL, at.Status, at.Body)
	}
	if at := provider.Get(browser, home+"/"); at.Status != http.StatusOK || !strings.Contains(at.Body, "operator") || !strings.Contains(at.Body, "Log out") {
		t.Errorf("the page: %d %s", at.Status, at.Body)
	}
	eventually(t, "the login in the audit log", func() bool {
		noted := query(t, pg.DSN(), `SELECT role || ' ' || (detail->>'issuer') FROM audit_log WHERE action = 'log in'`)
		return len(noted) == 1 && noted[0] == "operator "+provider.Issuer()
	})
	if at := provider.Login(provider.Browser(), home+"/login/sso", "nora", "nora"); at.Status != http.StatusForbidden {
		t.Errorf("without a role: %d %s", at.Status, at.Body)
	}
	at := provider.Get(browser, home+"/login/sso/out")
	if !strings.HasPrefix(at.URL.String(), provider.Issuer()+"oauth2/logout?") || at.Status != http.StatusOK {
		t.Errorf("the logout leads to %s: %d %s", at.URL, at.Status, at.Body)
	}
}
