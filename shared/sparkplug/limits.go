package sparkplug

import "fmt"

// Limits bounds what a decoder takes. The zero value of each field means its
// default. A message beyond a bound is refused with an error wrapping [ErrLimit].
type Limits struct {
	Message    int // bytes of one message; default 1 MiB
	Metrics    int // metrics of one payload, for [Decode]; default 16,384
	Properties int // properties of all metrics of one payload, for [Decode]; default 65,536
	Text       int // bytes of one name, text or bytes value; default 256 KiB
	Values     int // rows times signals of one record; default 1,048,576 (16 MiB of memory)
}

// withDefaults returns lim with its zero fields filled.
func (lim Limits) withDefaults() Limits {
	fill := func(field *int, value int) {
		if *field <= 0 {
			*field = value
		}
	}
	fill(&lim.Message, 1<<20)
	fill(&lim.Metrics, 1<<14)
	fill(&lim.Properties, 1<<16)
	fill(&lim.Text, 1<<18)
	fill(&lim.Values, 1<<20)
	return lim
}

// over returns the error for n things where only limit are taken.
func over(n, limit int, what string) error {
	return fmt.Errorf("%d %s, at most %d: %w", n, what, limit, ErrLimit)
}
