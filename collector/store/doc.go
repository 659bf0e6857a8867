// Package store keeps readings in PostgreSQL, exactly once in effect.
//
// It is the last step of the flow: intake hands it batches of decoded records, and
// may acknowledge a position when [Store.Commit] has returned. One transaction
// holds the readings and the ledger's note of their positions, so that a repeat of
// anything, also after a COMMIT whose outcome nobody knows, is recognised. What
// cannot be stored is quarantined in the same transaction; what will not come is
// noted as lost. Committed beats quarantined beats lost, in whatever order they
// arrive.
//
// A call makes one attempt. Everything that lies with the database or the network
// comes back as a [RetryError], with nothing settled, and the caller repeats. The
// package works behind a pooler in transaction mode: it uses no session locks and
// no statements prepared across transactions.
package store
