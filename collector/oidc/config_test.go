package oidc_test

import (
	"strings"
	"testing"

	"andon.internal/collector/oidc"
	"andon.internal/shared/config"
)

const whole = `issuer: https://id.example.com/realms/plant
client_id: andon
redirect_url: https://andon.example.com/login/callback
role_claim: realm_access.roles
roles: {andon-operators: operator, /plant/admins: admin}
`

func TestConfigIsRead(t *testing.T) {
	c := oidc.DefaultConfig()
	if err := config.Decode("f", []byte(whole), &c); err != nil {
		t.Fatal(err)
	}
	if !c.On() || c.Roles["/plant/admins"] != oidc.Admin || c.NameClaim != "email" || len(c.Scopes) != 2 {
		t.Errorf("%+v", c)
	}
	none := oidc.DefaultConfig()
	if err := config.Decode("f", nil, &none); err != nil || none.On() {
		t.Errorf("no provider: %v", err)
	}
	if _, err := oidc.New(none, oidc.Options{}); err == nil {
		t.Error("a provider without an issuer")
	}
}

func TestConfigFaultsNameKeyAndCure(t *testing.T) {
	for name, c := range map[string]struct{ old, now, key, want string }{
		"no issuer":             {"issuer: https://id.example.com/realms/plant\n", "", "issuer", "is required"},
		"http":                  {"https://id.", "http://id.", "issuer", "https://"},
		"no URL":                {"https://id.example.com/realms/plant", "id.example.com", "issuer", "https://"},
		"issuer and query":      {"realms/plant", "realms/plant?a=b", "issuer", "without user"},
		"no client":             {"client_id: andon\n", "", "client_id", "is required"},
		"no redirect":           {"redirect_url: https://andon.example.com/login/callback\n", "", "redirect_url", "is required"},
		"redirect in clear":     {"https://andon", "http://andon", "redirect_url", "https://"},
		"redirect to the start": {"/login/callback", "", "redirect_url", "path of the callback"},
		"no roles":              {"roles: {andon-operators: operator, /plant/admins: admin}", "", "roles", "nobody can log in"},
		"unknown role":          {"operator,", "operater,", "roles", "must be one of [viewer operator engineer admin]"},
		"no claim":              {"role_claim: realm_access.roles", `role_claim: ""`, "role_claim", "is required"},
		"no name claim":         {"client_id", "name_claim: \"\"\nclient_id", "name_claim", "is required"},
		"two scopes in one":     {"client_id", "scopes: [profile email]\nclient_id", "scopes", "one word"},
		"an empty acr":          {"client_id", "acr: [\"\"]\nclient_id", "acr", "one word"},
		"two amr in one":        {"client_id", "amr: [\"mfa otp\"]\nclient_id", "amr", "one word"},
	} {
		t.Run(name, func(t *testing.T) {
			got := oidc.DefaultConfig()
			err := config.Decode("f", []byte(strings.Replace(whole, c.old, c.now, 1)), &got)
			if err == nil || !strings.Contains(err.Error(), c.key) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v does not say %s and %q", err, c.key, c.want)
			}
		})
	}
	local := oidc.DefaultConfig()
	text := strings.NewReplacer("https://id.example.com", "http://127.0.0.1:8080", "https://andon.example.com", "http://localhost:8080").Replace(whole)
	if err := config.Decode("f", []byte(text), &local); err != nil {
		t.Errorf("on loopback: %v", err)
	}
}
