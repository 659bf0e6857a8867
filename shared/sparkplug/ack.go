package sparkplug

import (
	"fmt"
	"strconv"
	"strings"

	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

// Bounds of an acknowledgement.
const (
	MaxAckText   = 256 << 10 // bytes of the text
	MaxAckEpochs = MaxChain
	MaxAckRanges = 16384 // of one epoch
	MaxAckParts  = 4096  // of one sync
)

// Ack is what the database says to one node, through the collector. It is the
// value of the node command Andon/Ack.
type Ack struct {
	Epochs []EpochRanges
	Credit Credit
	DB     DBState
	Sync   *SyncPart // set on the answer to a birth
}

// EpochRanges are positions of one epoch that the agent may delete: PostgreSQL has
// committed or quarantined them.
type EpochRanges struct {
	Epoch     telemetry.Epoch
	Committed ranges.Set
}

// Credit is how much a node may have in flight. Both are 1 or more.
type Credit struct {
	Records int
	Bytes   int64
}

// DBState says whether the collector reaches the database.
type DBState uint8

// The states of the database. With DBDown, records are received and not
// committed: the agent deletes nothing for lack of news.
const (
	DBOK DBState = iota
	DBDown
)

func (s DBState) String() string {
	if s == DBOK {
		return "ok"
	}
	return "down"
}

// SyncPart names one part of the answer to the birth of a session. The sync is
// complete when parts 1 to Of have come.
type SyncPart struct {
	Session  uint64
	Part, Of int
}

// String returns the text form, such as
// "e=01J...:[0,140)[150,160);w=64,8388608;db=ok;sync=7/1/1".
func (a Ack) String() string {
	var b []byte
	for _, e := range a.Epochs {
		b = append(b, "e="...)
		b = append(b, e.Epoch.String()...)
		b = append(b, ':')
		b = append(b, e.Committed.String()...)
		b = append(b, ';')
	}
	return string(a.appendTail(b))
}

// appendTail appends what every part of a split acknowledgement repeats.
func (a Ack) appendTail(b []byte) []byte {
	b = append(b, "w="...)
	b = strconv.AppendInt(b, int64(a.Credit.Records), 10)
	b = append(b, ',')
	b = strconv.AppendInt(b, a.Credit.Bytes, 10)
	b = append(b, ";db="...)
	b = append(b, a.DB.String()...)
	if a.Sync != nil {
		b = append(b, ";sync="...)
		b = strconv.AppendUint(b, a.Sync.Session, 10)
		b = append(b, '/')
		b = strconv.AppendInt(b, int64(a.Sync.Part), 10)
		b = append(b, '/')
		b = strconv.AppendInt(b, int64(a.Sync.Of), 10)
	}
	return b
}

// ParseAck is the inverse of [Ack.String]. It refuses what it does not know, keys
// that come twice, and a credit below 1: an acknowledgement deletes data.
func ParseAck(s string) (Ack, error) {
	var a Ack
	if len(s) > MaxAckText {
		return a, fmt.Errorf("parse acknowledgement: %w", over(len(s), MaxAckText, "bytes"))
	}
	p := ackParser{}
	for rest, more := s, true; more; {
		var part string
		part, rest, more = strings.Cut(rest, ";")
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return Ack{}, fmt.Errorf("parse acknowledgement: %q is not key=value", clip(part))
		}
		if err := p.field(key, value); err != nil {
			return Ack{}, fmt.Errorf("parse acknowledgement: %w", err)
		}
	}
	if !p.credit || !p.db {
		return Ack{}, fmt.Errorf("parse acknowledgement: %q lacks w= or db=", clip(s))
	}
	return p.ack, nil
}

type ackParser struct {
	ack        Ack
	credit, db bool
	epochs     map[telemetry.Epoch]bool
}

func (p *ackParser) field(key, value string) error {
	switch {
	case key == "e":
		return p.epoch(value)
	case key == "w" && !p.credit:
		p.credit = true
		records, size, _ := strings.Cut(value, ",")
		var err1, err2 error
		p.ack.Credit.Records, err1 = strconv.Atoi(records)
		p.ack.Credit.Bytes, err2 = strconv.ParseInt(size, 10, 64)
		if err1 != nil || err2 != nil || p.ack.Credit.Records < 1 || p.ack.Credit.Bytes < 1 {
			return fmt.Errorf("credit %q is not RECORDS,BYTES of 1 or more", clip(value))
		}
	case key == "db" && !p.db:
		p.db = true
		switch value {
		case "ok":
			p.ack.DB = DBOK
		case "down":
			p.ack.DB = DBDown
		default:
			return fmt.Errorf("database state %q is neither ok nor down", clip(value))
		}
	case key == "sync" && p.ack.Sync == nil:
		sync, err := parseSync(value)
		if err != nil {
			return err
		}
		p.ack.Sync = &sync
	default:
		return fmt.Errorf("key %q is unknown or comes twice", clip(key))
	}
	return nil
}

func (p *ackParser) epoch(value string) error {
	name, text, ok := strings.Cut(value, ":")
	if !ok {
		return fmt.Errorf("%q is not EPOCH:RANGES", clip(value))
	}
	epoch, err := telemetry.ParseEpoch(name)
	if err != nil {
		return err
	}
	if p.epochs[epoch] {
		return fmt.Errorf("epoch %s comes twice", epoch)
	}
	if len(p.ack.Epochs) == MaxAckEpochs {
		return over(MaxAckEpochs+1, MaxAckEpochs, "epochs")
	}
	set, err := ranges.Parse(text, MaxAckRanges)
	if err != nil {
		return err
	}
	if p.epochs == nil {
		p.epochs = make(map[telemetry.Epoch]bool)
	}
	p.epochs[epoch] = true
	p.ack.Epochs = append(p.ack.Epochs, EpochRanges{epoch, set})
	return nil
}

func parseSync(value string) (SyncPart, error) {
	session, rest, _ := strings.Cut(value, "/")
	part, of, _ := strings.Cut(rest, "/")
	var s SyncPart
	var err1, err2, err3 error
	s.Session, err1 = strconv.ParseUint(session, 10, 64)
	s.Part, err2 = strconv.Atoi(part)
	s.Of, err3 = strconv.Atoi(of)
	if err1 != nil || err2 != nil || err3 != nil || s.Part < 1 || s.Part > s.Of || s.Of > MaxAckParts {
		return SyncPart{}, fmt.Errorf("sync %q is not SESSION/PART/OF with part 1 to at most %d", clip(value), MaxAckParts)
	}
	return s, nil
}

// SplitAck cuts a long acknowledgement into parts whose texts have at most
// maxBytes each, or one range where even that is longer. Every part carries the
// credit and the database state; the parts of a sync are numbered anew. There is
// always at least one part. With maxBytes of some KiB there are never more than
// [MaxAckParts].
func SplitAck(a Ack, maxBytes int) []Ack {
	tail := a
	if a.Sync != nil { // room for the longest numbers
		tail.Sync = &SyncPart{a.Sync.Session, MaxAckParts, MaxAckParts}
	}
	room := maxBytes - len(tail.appendTail(nil))
	part := func() Ack { return Ack{Credit: a.Credit, DB: a.DB} }
	parts, used := []Ack{part()}, 0
	for _, e := range a.Epochs {
		head := len("e=:;") + len(e.Epoch.String())
		list := e.Committed.Ranges()
		for first := true; first || len(list) > 0; first = false {
			n, size := fitRanges(list, room-used-head)
			last := &parts[len(parts)-1]
			if size > room-used-head && len(last.Epochs) > 0 {
				parts, used = append(parts, part()), 0
				last = &parts[len(parts)-1]
				n, size = fitRanges(list, room-head)
			}
			last.Epochs = append(last.Epochs, EpochRanges{e.Epoch, ranges.Of(list[:n]...)})
			used += head + size
			list = list[n:]
		}
	}
	if a.Sync != nil {
		for i := range parts {
			parts[i].Sync = &SyncPart{a.Sync.Session, i + 1, len(parts)}
		}
	}
	return parts
}

// fitRanges returns how many of the ranges fit into room bytes, and the size of
// their text; it is at least one where there is one.
func fitRanges(list []ranges.Range, room int) (n, size int) {
	var text [64]byte
	for ; n < len(list) && n < MaxAckRanges; n++ {
		b := strconv.AppendUint(text[:0], list[n].From, 10)
		b = strconv.AppendUint(b, list[n].To, 10)
		if n > 0 && size+len(b)+len("[,)") > room {
			break
		}
		size += len(b) + len("[,)")
	}
	return n, size
}
