package sparkplug

import (
	"fmt"
	"runtime"
	"strings"
)

// guard, when deferred, turns a panic of the decoder called what into an error that wraps
// [ErrFault], with the place of the fault. Messages come from the network, and one of them must
// not end the process that reads those of all nodes.
func guard(what string, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("decode %s: %w: %v at %s", what, ErrFault, r, faultPlace())
	}
}

// faultPlace returns file and line of what called the runtime's panic.
func faultPlace() string {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])]) // 3: behind Callers, this, and guard
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "runtime.") || !more {
			return fmt.Sprintf("%s:%d", f.File[strings.LastIndexByte(f.File, '/')+1:], f.Line)
		}
	}
}
