// Package access says who may do what at the broker: connect under which client id and
// with which will, publish to which topic, read which filter and at which QoS.
//
// It stands beside the broker's sessions, which ask it. It is pure: an identity comes in,
// and a decision goes out; where the identity is from (a certificate, or loopback) is not
// its matter. It promises that a cell can only speak for itself and only hear what is
// meant for it, that nobody but a collector can command a cell (an acknowledgement
// deletes data there), that whoever only looks changes nothing, and that a filter is
// granted only when every topic that it can match is.
//
// [WriteMosquitto] writes the same policy as an ACL file of Mosquitto; tests hold the two
// to each other.
package access
