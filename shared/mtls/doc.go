// Package mtls makes TLS configurations of certificates in files, for both ends of every
// connection that leaves a machine: each shows who it is, and trusts one authority.
//
// It stands beside the connections. It promises TLS 1.3 and nothing older; that a file
// that was replaced (a renewal, a new list of revoked certificates) counts for the next
// handshake, without a restart; that a file that cannot be read keeps what was there
// before and says so; and that a certificate that has expired, is revoked, or is from
// another authority is refused with that as the reason. A client's clock that is behind
// keeps nobody out, and one that is ahead is named as a possible cause. Keys never leave
// their file and are in no error. All methods are safe for concurrent use.
package mtls
