package sparkplug

import (
	"errors"
	"strings"
	"testing"
)

// TestGuard: a decoder that panics answers with an error that names the place.
func TestGuard(t *testing.T) {
	decode := func(b []byte) (n byte, err error) {
		defer guard("test", &err)
		return b[3], nil
	}
	if n, err := decode([]byte{0, 1, 2, 3}); n != 3 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	n, err := decode([]byte{0})
	if n != 0 || !errors.Is(err, ErrFault) || !strings.Contains(err.Error(), "decode test: ") || !strings.Contains(err.Error(), "guard_test.go:") {
		t.Fatalf("%d, %v", n, err)
	}
}
