package sparkplug

import "errors"

// Errors that callers branch on.
var (
	// ErrForeign marks a message that may be valid Sparkplug but is not Andon's.
	ErrForeign = errors.New("not a message of an Andon node")
	// ErrLimit marks a message that exceeds a bound of [Limits].
	ErrLimit = errors.New("limit exceeded")
	// ErrLayout marks a record whose fingerprint is not that of the layout it was
	// to be decoded with: the births are out of date.
	ErrLayout = errors.New("record does not match the birth's layout")
	// ErrFault marks a message that a decoder panicked on. The message is malformed, and
	// the decoder is to be mended.
	ErrFault = errors.New("fault of the decoder")
)
