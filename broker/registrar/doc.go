// Package registrar is the service beside the authority: a cell gets its first certificate
// from it with a one-time token, and renews it while it is good; brokers and cells get the
// list of what was revoked.
//
// It runs in a process of its own, so that the broker's machine need not hold the
// authority's key. It promises TLS 1.3 with a certificate that it renews by itself; that
// the body of a request, its time, the number of connections and the failed tokens of one
// address are bounded; and that neither a token nor a key is ever in its log. Who gets
// what is decided by package ca.
package registrar
