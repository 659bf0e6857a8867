package sentinel

import "time"

// MaxSamples bounds a window. Beyond it the oldest samples go early, as if the window
// were shorter: 15 s at 1 kHz still fit.
const MaxSamples = 16384

// sample is a value at a time in seconds.
type sample struct{ t, v float64 }

// window holds the samples of the last `span` seconds, in a ring that grows as needed
// and at most to MaxSamples. A sample that is exactly span old is still in it.
type window struct {
	span  float64
	ring  []sample // len is a power of two
	first int      // of the oldest
	n     int
}

func newWindow(span time.Duration) window { return window{span: span.Seconds()} }

func (w *window) len() int { return w.n }

// at returns the i-th oldest sample.
func (w *window) at(i int) sample { return w.ring[(w.first+i)&(len(w.ring)-1)] }

// push adds a sample and calls gone for each that falls out.
func (w *window) push(t, v float64, gone func(sample)) {
	for w.n > 0 && (w.at(0).t < t-w.span || w.n == MaxSamples) {
		gone(w.at(0))
		w.first = (w.first + 1) & (len(w.ring) - 1)
		w.n--
	}
	if w.n == len(w.ring) {
		bigger := make([]sample, max(8, 2*len(w.ring)))
		for i := range w.n {
			bigger[i] = w.at(i)
		}
		w.ring, w.first = bigger, 0
	}
	w.ring[(w.first+w.n)&(len(w.ring)-1)] = sample{t, v}
	w.n++
}
