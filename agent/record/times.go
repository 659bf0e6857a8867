package record

import (
	"encoding/binary"

	"andon.internal/shared/telemetry"
)

// scales are the units that times are written in, by their number: the largest that
// divides all of a record's times.
var scales = [...]int64{1, 1e3, 1e6}

// appendTimes writes at least one time. A steady period costs one byte a row.
func appendTimes(dst []byte, times []int64) []byte {
	at := len(scales) - 1
	for _, t := range times {
		for t%scales[at] != 0 {
			at--
		}
	}
	dst = append(dst, byte(at))
	scale, last, step := scales[at], int64(0), int64(0)
	for i, t := range times {
		t /= scale
		diff := t - last // two's complement: comes back right even where it wraps
		dst = binary.AppendVarint(dst, diff-step)
		if i > 0 {
			step = diff
		}
		last = t
	}
	return dst
}

func (d *decoder) times(times []int64) {
	at := d.byte()
	if int(at) >= len(scales) {
		d.fail(errInvalid)
		return
	}
	scale, last, step := scales[at], int64(0), int64(0)
	for i := range times {
		diff := d.varint() + step
		if i > 0 {
			step = diff
		}
		last += diff
		times[i] = last * scale
	}
}

func appendQualities(dst []byte, q []telemetry.Quality) []byte {
	for i := 0; i < len(q); {
		j := i + 1
		for j < len(q) && q[j] == q[i] {
			j++
		}
		dst = binary.AppendUvarint(dst, uint64(j-i))
		dst = binary.AppendUvarint(dst, uint64(q[i]))
		i = j
	}
	return dst
}

func (d *decoder) qualities(q []telemetry.Quality) {
	for i := 0; i < len(q) && d.err == nil; {
		n, v := d.uvarint(), d.uvarint()
		if n == 0 || n > uint64(len(q)-i) || v > 1<<16-1 {
			d.fail(errInvalid)
			return
		}
		for end := i + int(n); i < end; i++ {
			q[i] = telemetry.Quality(v)
		}
	}
}
