// Package enroll is what a cell and the authority's service say to each other when the
// cell gets its first certificate, or a new one: the one-time token, and the bodies of
// the requests.
//
// It stands beside the flow. A token carries the fingerprint of the authority's
// certificate, so that a cell that has nothing yet knows whom to believe; the rest of it
// is a secret, of which the authority keeps only the hash. It promises that a token shows
// no secret where it is printed by mistake.
package enroll
