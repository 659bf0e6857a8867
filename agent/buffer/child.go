package buffer

import (
	"io"

	"andon.internal/agent/buffer/internal/salvage"
)

// Child is what the process does that Options.Child starts: it checks or salvages the
// record file that it is told on in, and answers on out. What that file makes of it ends
// this process alone. It changes no file, and makes none but the one that it is told to.
func Child(in io.Reader, out io.Writer) error { return salvage.Child(in, out) }
