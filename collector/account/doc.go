// Package account is the vocabulary of who may do what at the command center: users,
// roles, permissions, sessions and API tokens. It is pure but for randomness and the
// cost of hashing a password.
//
// It stands between store, which keeps them, and web, which asks who somebody is. It
// promises that no secret is kept: of a password there is an argon2id hash, of sessions
// and tokens a SHA-256 (they are 256 random bits, which need no slow hash); that two
// secrets are compared in constant time; and that the memory for hashing is bounded,
// however many people log in at once.
package account
