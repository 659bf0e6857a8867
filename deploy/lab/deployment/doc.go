// Package deployment holds the tests of what is delivered beside the programs: example
// configurations, images, compose files, the systemd unit, the workflows and their
// script. They are parsed, checked against each other, and run with the real binaries,
// so that what a user copies works.
package deployment
