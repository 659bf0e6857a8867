// Package sparkplugpb is the wire of Sparkplug B, and of the bodies that Andon
// adds, as generated protobuf code. Only the tests of package sparkplug use it: it
// is the second opinion that the hand-written codec is checked against, and the
// yardstick of its benchmarks. It is made by protoc 3.21 and protoc-gen-go 1.36.12.
package sparkplugpb

//go:generate protoc -I ../../.. --go_out=../../.. --go_opt=paths=source_relative sparkplug/internal/sparkplugpb/sparkplug_b.proto sparkplug/internal/sparkplugpb/body.proto
