package telemetry

import "unsafe"

// Size is the memory that the record takes, in bytes: that of its rows and texts as
// the allocator gives it, its profile not counted, which records share. It is not the
// size on the wire, where a value that is missing takes nothing.
func (r *Record) Size() int64 {
	n := int(unsafe.Sizeof(*r)) + len(r.Unit) +
		allocated(cap(r.Times)*int(unsafe.Sizeof(int64(0)))) +
		allocated(cap(r.Qualities)*int(unsafe.Sizeof(Quality(0)))) +
		allocated(cap(r.Values)*int(unsafe.Sizeof(Value{})))
	if r.End != nil {
		n += int(unsafe.Sizeof(*r.End)) + len(r.End.Reason)
	}
	return int64(n)
}

// Size is the memory that the loss takes, in bytes, as [Record.Size] is.
func (l *Loss) Size() int64 {
	n := int(unsafe.Sizeof(*l)) + len(l.Reason) + allocated(cap(l.Units)*int(unsafe.Sizeof("")))
	for _, u := range l.Units {
		n += max(allocated(len(u)), leastAllocated)
	}
	return int64(n)
}

// leastAllocated is the allocator's smallest block.
const leastAllocated = 16

// allocated is what the allocator takes for n bytes, or a little more: small sizes
// come in classes an eighth apart, large ones in pages.
func allocated(n int) int {
	const large, page = 32 << 10, 8 << 10
	if n > large {
		return (n + page - 1) / page * page
	}
	return n + n/8
}
