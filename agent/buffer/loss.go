package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// LossInfo is the content of a record of class [Loss]: positions that will not come.
type LossInfo struct {
	Epoch       Epoch
	From, To    uint64   // positions [From, To)
	Reason      string   // one of the Reason constants
	Labels      []string // whose they were, where known; at most 64, sorted
	Rows        uint64   // readings in them, where known
	First, Last int64    // unix ns of the first and last reading; 0 where unknown
}

// The reasons in a [LossInfo].
const (
	ReasonOverflow = "overflow" // the buffer was full
	ReasonOversize = "oversize" // larger than Options.MaxRecord
	ReasonDamaged  = "damaged"  // it no longer reads back
	ReasonDatabase = "database" // it was acknowledged, and the database no longer has it
)

const (
	lossVersion  = 1
	maxLabels    = 64  // in a loss record
	maxLabelSize = 255 // bytes
)

var errLoss = errors.New("malformed loss record")

// appendLoss appends the stored form of l to dst. It keeps at most maxLabels labels.
func appendLoss(dst []byte, l *LossInfo) []byte {
	dst = append(dst, lossVersion)
	dst = append(dst, l.Epoch[:]...)
	dst = binary.AppendUvarint(dst, l.From)
	dst = binary.AppendUvarint(dst, l.To)
	dst = append(dst, byte(len(l.Reason)))
	dst = append(dst, l.Reason...)
	dst = binary.AppendUvarint(dst, l.Rows)
	dst = binary.AppendVarint(dst, l.First)
	dst = binary.AppendVarint(dst, l.Last)
	labels := l.Labels[:min(len(l.Labels), maxLabels)]
	dst = append(dst, byte(len(labels)))
	for _, label := range labels {
		dst = append(dst, byte(len(label)))
		dst = append(dst, label...)
	}
	return dst
}

// DecodeLoss reads the Data of a record of class [Loss]. It returns an error for
// anything that Append would not have written.
func DecodeLoss(data []byte) (LossInfo, error) {
	d := decoder{b: data}
	var l LossInfo
	if v := d.byte(); !d.bad && v != lossVersion {
		return LossInfo{}, fmt.Errorf("%w: version %d is not known", errLoss, v)
	}
	copy(l.Epoch[:], d.take(len(l.Epoch)))
	l.From, l.To = d.uvarint(), d.uvarint()
	l.Reason = string(d.take(int(d.byte())))
	l.Rows = d.uvarint()
	l.First, l.Last = d.varint(), d.varint()
	n := int(d.byte())
	if n > maxLabels {
		return LossInfo{}, fmt.Errorf("%w: %d labels", errLoss, n)
	}
	for range n {
		l.Labels = append(l.Labels, string(d.take(int(d.byte()))))
	}
	switch {
	case d.bad:
		return LossInfo{}, fmt.Errorf("%w: cut off", errLoss)
	case len(d.b) != 0:
		return LossInfo{}, fmt.Errorf("%w: %d bytes too many", errLoss, len(d.b))
	case l.From >= l.To || l.To > maxPosition+1:
		return LossInfo{}, fmt.Errorf("%w: positions [%d,%d)", errLoss, l.From, l.To)
	}
	return l, nil
}

// decoder reads fields one after the other; after the first that is cut off, bad is
// set and all others read as zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || n < 0 || n > len(d.b) {
		d.bad = true
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if d.take(n); n <= 0 {
		d.bad = true
		return 0
	}
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if d.take(n); n <= 0 {
		d.bad = true
		return 0
	}
	return v
}
