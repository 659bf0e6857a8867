// Package ca is a small certificate authority for plants that have none: it makes the
// certificates by which cells, collectors and viewers show who they are, and the broker
// too, and lists those that are no longer good.
//
// It stands beside the broker and is used by its commands only; a plant with an authority
// of its own needs nothing of it. Everything lies in one folder: the authority's
// certificate and key, the list of what was issued, and the list of what was revoked,
// which the broker reads. It promises that a file is whole or not there, that nothing is
// issued that is not in the list, and that the authority's key is readable by its owner
// alone.
//
// A [CA] is for one process at a time.
package ca
