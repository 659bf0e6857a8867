// Package identity is how a cell gets its certificate and keeps it good: it makes the key
// on the box, which never leaves it, has it signed for a one-time token, and renews it at
// two thirds of its life.
//
// It stands beside the flow, which goes on over the connection that there is. It promises
// that key and certificate lie in one file that is replaced as a whole, so that they match
// also after a crash; that every certificate has a key of its own; and that a certificate
// which cannot be renewed is told, with the cure.
package identity
