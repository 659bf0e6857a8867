// Package providertest runs a real identity provider for tests: LemonLDAP::NG, behind a
// front that speaks TLS, as in a plant. Its accounts are the product's demonstration
// accounts, replaced by ours: the password is the name. The front can be closed, and can
// be told to change what passes.
package providertest
