package oidc_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"andon.internal/collector/internal/providertest"
	"andon.internal/collector/oidc"
)

// object is one in JSON.
type object = map[string]any

// change is a man in the middle who changes the provider's answers at a path.
func change(path string, edit func(object)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path != path {
				next.ServeHTTP(rw, r)
				return
			}
			answer := httptest.NewRecorder()
			next.ServeHTTP(answer, r)
			var o object
			if err := json.Unmarshal(answer.Body.Bytes(), &o); err != nil {
				http.Error(rw, err.Error(), http.StatusTeapot)
				return
			}
			edit(o)
			b, err := json.Marshal(o)
			if err != nil {
				http.Error(rw, err.Error(), http.StatusTeapot)
				return
			}
			rw.Header().Set("Content-Type", "application/json")
			rw.Header().Set("Content-Length", strconv.Itoa(len(b)))
			rw.WriteHeader(answer.Code)
			_, _ = io.Copy(rw, bytes.NewReader(b))
		})
	}
}

// claims reads a token's without looking at its signature.
func claims(t *testing.T, token string) object {
	t.Helper()
	var o object
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func encode(t *testing.T, o object) string {
	t.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// sign returns a token of a key.
func sign(t *testing.T, key jose.SigningKey, id string, o object) string {
	t.Helper()
	s, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithHeader("kid", id).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(b)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func newKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestTamperedTokensAreRefused(t *testing.T) {
	s := newSite(t, nil)
	mans := newKey(t)
	raised := func(o object) object { o["groups"] = []string{"andon-admins"}; return o }
	for name, c := range map[string]struct {
		edit func(token string) string
		want string
	}{
		"raised": {func(token string) string {
			parts := strings.Split(token, ".")
			return parts[0] + "." + encode(t, raised(claims(t, token))) + "." + parts[2]
		}, "signature"},
		"signed by another's key": {func(token string) string {
			return sign(t, jose.SigningKey{Algorithm: jose.RS256, Key: mans}, "key-1", raised(claims(t, token)))
		}, "signature"},
		"of an unknown key": {func(token string) string {
			return sign(t, jose.SigningKey{Algorithm: jose.RS256, Key: mans}, "key-9", raised(claims(t, token)))
		}, "signature"},
		"unsigned": {func(token string) string {
			return encode(t, object{"alg": "none", "typ": "JWT"}) + "." + encode(t, raised(claims(t, token))) + "."
		}, "malformed jwt"},
		"signed with the client's secret": {func(token string) string {
			key := []byte(clientSecret + strings.Repeat("\x00", 32))
			return sign(t, jose.SigningKey{Algorithm: jose.HS256, Key: key}, "key-1", raised(claims(t, token)))
		}, "unexpected signature algorithm"},
		"none":    {func(string) string { return "" }, "no ID token"},
		"garbage": {func(string) string { return "a.b" }, "malformed jwt"},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			s.provider.Alter(change("/oauth2/token", func(o object) { o["id_token"] = c.edit(o["id_token"].(string)) }))
			a, _ := s.enter(s.provider.Browser(), "vera")
			if cause := s.refused(a, oidc.BadToken, http.StatusBadGateway); !strings.Contains(cause, c.want) {
				t.Errorf("%q does not say %q", cause, c.want)
			}
		})
	}
	s.provider.Alter(nil)
	if a, got := s.enter(s.provider.Browser(), "vera"); got.Identity.Role != oidc.Viewer {
		t.Errorf("the true token then: %d %+v", a.Status, got)
	}
}

func TestTokensOfElsewhereAreRefused(t *testing.T) {
	s := newSite(t, nil)
	var kept string
	keep := change("/oauth2/token", func(o object) { kept = o["id_token"].(string) })
	give := change("/oauth2/token", func(o object) { o["id_token"] = kept })

	own := s.config
	other := own
	other.ClientID = "other"
	s.use(other)
	s.provider.Alter(keep)
	s.enter(s.provider.Browser(), "adam")
	s.use(own)
	s.provider.Alter(give)
	a, _ := s.enter(s.provider.Browser(), "vera")
	if cause := s.refused(a, oidc.BadToken, http.StatusBadGateway); !strings.Contains(cause, `expected audience "andon"`) {
		t.Errorf("of another client: %s", cause)
	}

	s.provider.Alter(keep)
	s.enter(s.provider.Browser(), "adam")
	s.provider.Alter(give)
	a, _ = s.enter(s.provider.Browser(), "vera")
	if cause := s.refused(a, oidc.BadToken, http.StatusBadGateway); !strings.Contains(cause, "nonce") {
		t.Errorf("of another login: %s", cause)
	}

	s.provider.Alter(change("/oauth2/token", func(o object) { o["access_token"] = "another" }))
	a, _ = s.enter(s.provider.Browser(), "vera")
	if cause := s.refused(a, oidc.BadToken, http.StatusBadGateway); !strings.Contains(cause, "access token is not") {
		t.Errorf("with another access token: %s", cause)
	}
}

func TestExpiredTokensAreRefused(t *testing.T) {
	s := newSite(t, func(client *providertest.Client, _ *oidc.Config) { client.TokenLife = time.Minute })
	browser := s.provider.Browser()
	back := s.untilCallback(browser, "adam")
	s.forward(90 * time.Second) // the token is made now, and expired by half the leeway
	if a := s.provider.Get(browser, back); s.read(a).Identity.Role != oidc.Admin {
		t.Errorf("within the leeway: %d %s", a.Status, a.Body)
	}
	browser = s.provider.Browser()
	back = s.untilCallback(browser, "adam")
	s.forward(time.Minute)
	a := s.provider.Get(browser, back)
	if cause := s.refused(a, oidc.BadToken, http.StatusBadGateway); !strings.Contains(cause, "expired") {
		t.Error(cause)
	}
}

// TestEachClaimIsChecked has a man in the middle with keys that we take for the
// provider's, so that the signature stops nothing.
func TestEachClaimIsChecked(t *testing.T) {
	s := newSite(t, nil)
	mans := newKey(t)
	key := jose.SigningKey{Algorithm: jose.RS256, Key: mans}
	public := jose.JSONWebKey{Key: &mans.PublicKey, KeyID: "man", Algorithm: "RS256", Use: "sig"}
	for name, c := range map[string]struct {
		edit func(object)
		want string // of the cause; "" where it is let in
	}{
		"as it was":              {func(object) {}, ""},
		"another issuer":         {func(o object) { o["iss"] = "https://elsewhere.example.com" }, "issued by a different provider"},
		"nearly the issuer":      {func(o object) { o["iss"] = strings.TrimSuffix(o["iss"].(string), "/") }, "issued by a different provider"},
		"no audience":            {func(o object) { delete(o, "aud") }, "expected audience"},
		"two audiences":          {func(o object) { o["aud"] = []string{"andon", "other"}; delete(o, "azp") }, "for client"},
		"two, and we are meant":  {func(o object) { o["aud"] = []string{"andon", "other"}; o["azp"] = "andon" }, ""},
		"authorized for another": {func(o object) { o["azp"] = "other" }, "for client"},
		"no nonce":               {func(o object) { delete(o, "nonce") }, "nonce"},
		"no expiry":              {func(o object) { delete(o, "exp") }, "expired"},
		"issued tomorrow":        {func(o object) { o["iat"] = time.Now().Add(24 * time.Hour).Unix() }, "in the future"},
		"no subject":             {func(o object) { delete(o, "sub") }, "no subject"},
		"a long subject":         {func(o object) { o["sub"] = strings.Repeat("s", 256) }, "no subject"},
		"one role as a text":     {func(o object) { o["groups"] = "andon-engineers" }, ""},
		"roles that are none":    {func(o object) { o["groups"] = []any{1, nil, object{"a": "andon-admins"}, []any{"andon-admins"}} }, "none of the configured roles"},
		"too many groups": {func(o object) {
			delete(o, "groups")
			o["_claim_names"] = object{"groups": "src1"}
			o["_claim_sources"] = object{"src1": object{"endpoint": "https://elsewhere.example.com"}}
		}, ""}, // then userinfo has them
		"an unverified address": {func(o object) { o["email"], o["email_verified"] = "boss@example.com", false }, ""},
		"a strange name":        {func(o object) { o["name"] = "A\x00d\u202eam\n" + strings.Repeat("m", 200) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			forge := change("/oauth2/token", func(o object) {
				token := claims(t, o["id_token"].(string))
				c.edit(token)
				o["id_token"] = sign(t, key, "man", token)
			})
			keys := change("/oauth2/jwks", func(o object) { o["keys"] = []any{public} })
			info := change("/oauth2/userinfo", func(o object) { o["name"] = "Mallory" })
			s.provider.Alter(func(next http.Handler) http.Handler { return forge(keys(info(next))) })
			a, got := s.enter(s.provider.Browser(), "vera")
			if c.want != "" {
				want, status := oidc.BadToken, http.StatusBadGateway
				if strings.HasPrefix(c.want, "none of the") {
					want, status = oidc.NoRole, http.StatusForbidden
				}
				if cause := s.refused(a, want, status); !strings.Contains(cause, c.want) {
					t.Errorf("%q does not say %q", cause, c.want)
				}
				return
			}
			if a.Status != http.StatusOK || got.Identity.Subject != "vera" || got.Identity.Name == "Mallory" || got.Identity.Email == "boss@example.com" || len(got.Identity.Name) > 128 || strings.ContainsAny(got.Identity.Name, "\x00\n\u202e") {
				t.Errorf("%d %+v", a.Status, got)
			}
		})
	}
}
