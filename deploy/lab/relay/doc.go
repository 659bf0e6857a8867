// Package relay carries the frames of a cable between two TAP devices, and harms them on
// the way: it loses, repeats, reorders and delays them, as a bad radio link does. It does
// in a process what netem does in a kernel, for kernels that have none.
//
// It stands beside the flow: the chaos rig puts it between a cell and the bridge. It
// promises that a seed harms the nth frame of a direction in the same way again, that no
// more than a bounded number of frames wait in it, and that the devices are gone with
// Close, or with the process. It needs Linux and root.
package relay
