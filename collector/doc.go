// Package collector is the plant side of Andon: it takes what cells send over MQTT
// and brings it into PostgreSQL, exactly once in effect.
//
// It wires the packages of this module, which know nothing of each other: the
// connection to the broker (host), the roles that run on it (intake, sentry, web), the
// database (store), and beside the flow the HTTP server for health and metrics. A
// role is a function of one process or several: roles meet only through MQTT and
// PostgreSQL.
//
// It promises that nothing ends it but its context: a broker or a database that is
// away is waited for, and told of in /readyz.
package collector
