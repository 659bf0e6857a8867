// Package oidc lets people log in at the plant's own identity provider, by OpenID
// Connect: Keycloak, Entra ID, LemonLDAP::NG and others. It is the relying party of the
// authorization code flow with PKCE, and stands beside the command center, which keeps
// the sessions and knows nothing of tokens.
//
//	browser -> Start -> provider's login page -> Callback -> Identity
//
// What it promises:
//   - A login counts only in the browser that began it, once, within five minutes.
//   - An ID token counts only when a key of the issuer signed it, for this client, for
//     this login, and it has not expired. Keys may be replaced at any time.
//   - Who has none of the configured roles is not let in.
//   - The provider may be away, also at the start: everything else goes on, and the next
//     login asks for it again.
//   - No secret, code or token is logged, put into an error, or kept after the login.
package oidc
