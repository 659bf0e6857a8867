// Package ca is a small certificate authority for plants that have none: it makes the
// certificates by which cells, collectors and viewers show who they are, and the broker
// too, and lists those that are no longer good.
//
// It stands beside the broker and is used by its commands, and by the service with which
// cells enrol and renew (broker/registrar); a plant with an authority of its own needs
// nothing of it. Everything lies in one folder: the authority's certificate and key, the
// list of what was issued, the hashes of the tokens, and the list of what was revoked,
// which the broker reads. It promises that a file is whole or not there, that nothing is
// issued that is not in the list, that a token is used up before there is a certificate,
// and that the authority's key is readable by its owner alone. Several processes may use
// one folder: whatever changes it holds a lock, and reads the lists again under it.
package ca
