package providertest

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"
)

// object is one in JSON.
type object = map[string]any

// writeConfig writes the product's configuration: the bootstrap file, and the settings
// by the names that its manual gives them.
func (p *Provider) writeConfig(keyID string, private, public []byte) {
	p.t.Helper()
	folder := func(name string) string { return filepath.Join(p.dir, name) }
	store := func(name string) object {
		return object{
			"Directory": folder(name), "LockDirectory": folder("lock"),
			"generateModule": "Lemonldap::NG::Common::Apache::Session::Generate::SHA256",
		}
	}
	options, claims, scopes := object{}, object{}, object{}
	for _, c := range p.clients {
		options[c.ID] = c.options()
		claims[c.ID] = object{"name": "cn", "email": "mail", "groups": "groups;string;always"}
		scopes[c.ID] = object{"groups": "groups"}
	}
	settings, err := json.Marshal(object{
		"cfgNum": 1, "cfgDate": "1700000000", "cfgVersion": "2.16.1", // a date, or it counts as none
		"portal": p.Issuer(), "domain": "127.0.0.1", "securedCookie": 1,
		"authentication": "Demo", "userDB": "Same", "requireToken": 1,
		"exportedVars": object{}, "locationRules": object{},
		"globalStorage": "Apache::Session::File", "globalStorageOptions": store("sessions"),
		"persistentStorage": "Apache::Session::File", "persistentStorageOptions": store("persistent"),
		"localSessionStorage": "Cache::NullCache", "localSessionStorageOptions": object{}, "tokenUseGlobalStorage": 1,
		// Nobody sees a captcha; its module wants a library for pictures.
		"captcha": "::Lib::OneTimeToken", "portalDisplayResetPassword": 0, "portalDisplayRegister": 0,
		"issuerDBOpenIDConnectActivation": 1, "oidcServiceAllowAuthorizationCodeFlow": 1,
		"oidcServiceKeyIdSig": keyID, "oidcServicePrivateKeySig": string(private), "oidcServicePublicKeySig": string(public),
		"oidcRPMetaDataOptions": options, "oidcRPMetaDataExportedVars": claims, "oidcRPMetaDataOptionsExtraClaims": scopes,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.write("conf/lmConf-1.json", settings)
	p.write("llng.ini", fmt.Appendf(nil, `[all]
logLevel = notice
[configuration]
type = File
dirName = %s
localStorage = Cache::FileCache
localStorageOptions = { 'namespace' => 'conf', 'cache_root' => '%s' }
[portal]
templateDir = /usr/share/lemonldap-ng/portal/templates
staticPrefix = /static
languages = en
`, folder("conf"), folder("cache")))
}

// options are the provider's of a client. It refuses a login without PKCE.
func (c Client) options() object {
	life, algorithm, inToken := c.TokenLife, c.Algorithm, 1
	if life == 0 {
		life = time.Hour
	}
	if algorithm == "" {
		algorithm = "RS256"
	}
	if c.Sparse {
		inToken = 0
	}
	public := 0
	if c.Secret == "" {
		public = 1
	}
	return object{
		"oidcRPMetaDataOptionsClientID":               c.ID,
		"oidcRPMetaDataOptionsClientSecret":           c.Secret,
		"oidcRPMetaDataOptionsPublic":                 public,
		"oidcRPMetaDataOptionsRedirectUris":           c.RedirectURL,
		"oidcRPMetaDataOptionsPostLogoutRedirectUris": c.LogoutURL,
		"oidcRPMetaDataOptionsRequirePKCE":            1,
		"oidcRPMetaDataOptionsBypassConsent":          1,
		"oidcRPMetaDataOptionsIDTokenForceClaims":     inToken,
		"oidcRPMetaDataOptionsIDTokenExpiration":      int(life.Seconds()),
		"oidcRPMetaDataOptionsIDTokenSignAlg":         algorithm,
		"oidcRPMetaDataOptionsAccessTokenExpiration":  3600,
	}
}
