// Package chaos breaks a factory in every way of its table, many at a time, and checks
// after every round that what was declared safe is stored exactly once.
//
// It stands on package factory. Every process lives in a network namespace of its own,
// joined by veth pairs and a bridge in another one; every cell and PostgreSQL have a file
// system of their own on a loop device, whose power can be cut. There are two cells: one
// replays a file, so that every reading is known beforehand and must be stored whatever
// happens; the other has simulated dynos, and what it says is safe is asked of it, by
// andon-agent buffer export, while things break.
//
// It promises that a seed gives the same faults again, and that nothing is left: neither by
// an end, nor by an interrupt, nor for long by a crash, because the next run sweeps first.
// It needs root, ip, tc, losetup, mkfs, mount, /dev/net/tun and /dev/fuse; for a slow disk cgroup
// v1, and for a clock that is off an agent that deploy/scripts/clocked has built.
package chaos
