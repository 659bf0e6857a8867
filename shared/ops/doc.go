// Package ops is what the daemons share toward the people who run them: exit codes
// and signals, the logger, the build's version, and the small HTTP server with
// /healthz, /readyz and /metrics.
//
// It stands beside the flow: no reading passes through it, and nothing in it can
// hold one up. It promises that a daemon started with [Main] stops cleanly at the
// first signal and at once at the second, that its errors are one line with a cure,
// and that the HTTP server listens on loopback unless told otherwise.
package ops
