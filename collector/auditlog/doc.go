// Package auditlog is the record of who did what: its entries, how they are chained, how
// the chain is verified, and the [Writer] that notes entries without ever making their
// subject wait.
//
// It stands beside the flow. The entries, the chain and the verifier are pure; the store
// keeps them in PostgreSQL, and the root package gives the Writer to whoever has
// something to note. It promises that an entry cannot be changed, left out, added between
// or moved without [Verifier] naming the place, and that entries which could not be
// written are counted by an entry that is. It does not promise that whoever owns the
// database cannot write the whole chain anew, or cut off its end together with what is
// noted of it there: for that a [Head] must be kept elsewhere, and compared.
package auditlog
