package auditlog

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Hash is an entry's link: SHA-256 over the hash of the entry before it and its own
// canonical encoding. Before the first entry it is zero.
type Hash [sha256.Size]byte

// String is 64 hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Next returns the hash of the entry that comes after the one with hash h.
func (h Hash) Next(e Entry) Hash {
	return sha256.Sum256(e.Append(append(make([]byte, 0, 512), h[:]...)))
}

// Link is an entry in the chain.
type Link struct {
	Entry
	Hash Hash
}

// Head is the last link of a chain, as it was at some time: all that has to be kept to
// tell later whether anything up to it was changed.
type Head struct {
	Seq  int64
	Hash Hash
}

// Start is the head of a chain without entries.
func Start() Head { return Head{Seq: -1} }

// String is SEQ:HASH, which [ParseHead] reads.
func (h Head) String() string { return strconv.FormatInt(h.Seq, 10) + ":" + h.Hash.String() }

// Add returns the link of an entry that follows the head, with its number.
func (h Head) Add(e Entry) Link {
	e.Seq = h.Seq + 1
	return Link{e, h.Hash.Next(e)}
}

// Head is the head of the chain that ends with the link.
func (l Link) Head() Head { return Head{l.Seq, l.Hash} }

var headForm = regexp.MustCompile(`\b([0-9]{1,19}):([0-9a-f]{64})\b`)

// ParseHead reads SEQ:HASH.
func ParseHead(s string) (Head, error) {
	if heads := FindHeads(s); len(heads) == 1 && heads[0].String() == s {
		return heads[0], nil
	}
	return Head{}, fmt.Errorf("%.120q is not a head of the audit log, such as 17:%s", s, Hash{0xab})
}

// FindHeads returns the heads that stand in a text: anywhere in a line of somebody's notes,
// and in those lines of a process log with which a [Writer] publishes them. Other lines of
// a log may quote strangers, who must not be able to make the chain look broken.
func FindHeads(text string) (heads []Head) {
	for line := range strings.Lines(text) {
		if logged.MatchString(line) && !published.MatchString(line) {
			continue
		}
		for _, m := range headForm.FindAllStringSubmatch(line, -1) {
			seq, err := strconv.ParseInt(m[1], 10, 64)
			if err != nil {
				continue // beyond any number that was given
			}
			h := Head{Seq: seq}
			_, _ = hex.Decode(h.Hash[:], []byte(m[2])) // the expression admits nothing else
			heads = append(heads, h)
		}
	}
	return heads
}

// Lines of a process log, as text or JSON, and those of them that publish a head. What a
// line quotes has its own quotation marks behind a backslash.
var (
	logged    = regexp.MustCompile(`msg=|"msg":`)
	published = regexp.MustCompile(`msg="` + messageHead + `"|"msg":"` + messageHead + `"`)
)

// messageHead is the message with which heads are published.
const messageHead = "audit log head"

// ActionGenesis is the action of the first entry.
const ActionGenesis = "begin audit log"

// Genesis is the first entry of a chain. It names the database, so that the log of one
// does not pass for that of another.
func Genesis(database string, at time.Time) Entry {
	return Entry{
		At: at, Who: "andon-collector", Role: "system", Action: ActionGenesis, Object: database, Result: OK,
	}.Clean()
}

// Whole stands in a [Broken] for an entry's number.
const Whole = math.MinInt64

// Broken says where a chain breaks, and how.
type Broken struct {
	Seq int64 // of the first entry that is not as it was; Whole: the chain as a whole
	Why string
}

func (b *Broken) Error() string {
	if b.Seq == Whole {
		return "the audit log is broken: " + b.Why
	}
	return fmt.Sprintf("the audit log breaks at entry %d: %s", b.Seq, b.Why)
}

// Verifier goes along a chain from its first link, in constant memory but for the heads
// to compare. It keeps state; make one for each look at a chain.
type Verifier struct {
	database string
	head     Head
	stored   *Head
	noted    map[int64][]Hash
	failed   error
	sum      Summary
}

// Summary is what a verified chain holds.
type Summary struct {
	Entries     int64
	First, Last time.Time
	Head        Head
	Noted       int // heads that were compared
}

// NewVerifier returns a Verifier of the log of a database, which must hold the given
// heads. database may be empty: then any will do.
func NewVerifier(database string, noted ...Head) *Verifier {
	v := &Verifier{database: database, head: Start(), noted: map[int64][]Hash{}}
	for _, h := range noted {
		v.noted[h.Seq] = append(v.noted[h.Seq], h.Hash)
	}
	v.sum.Noted = len(noted)
	return v
}

// Stored says which head the database itself keeps: the chain must end there.
func (v *Verifier) Stored(h Head) { v.stored = &h }

// Take takes the next link. After an error, a [*Broken], it returns the same again.
func (v *Verifier) Take(l Link) error {
	if v.failed == nil {
		v.failed = v.take(l)
	}
	return v.failed
}

func (v *Verifier) take(l Link) error {
	want := v.head.Seq + 1
	broken := func(seq int64, format string, args ...any) error {
		return &Broken{seq, fmt.Sprintf(format, args...)}
	}
	switch {
	case l.Seq > want:
		return broken(want, "it is missing; the next is %d", l.Seq)
	case l.Seq < want:
		return broken(l.Seq, "it stands where %d must", want)
	case l.Seq == 0 && l.Action != ActionGenesis:
		return broken(0, "the first entry is not the one that begins the log")
	case l.Seq == 0 && v.database != "" && l.Object != v.database:
		return broken(0, "it is the log of database %s, and this is %s", l.Object, v.database)
	case v.head.Hash.Next(l.Entry) != l.Hash:
		return broken(l.Seq, "its hash does not follow from the entry and the one before it: one of them was changed")
	}
	for _, h := range v.noted[l.Seq] {
		if h != l.Hash {
			return broken(l.Seq, "a head was noted here as %s, and it is %s: this entry or one before it was changed", h, l.Hash)
		}
	}
	delete(v.noted, l.Seq)
	v.head = l.Head()
	if v.sum.Entries == 0 {
		v.sum.First = l.At
	}
	v.sum.Entries++
	v.sum.Last, v.sum.Head = l.At, v.head
	return nil
}

// End says that no link comes after those that were taken.
func (v *Verifier) End() (Summary, error) {
	switch {
	case v.failed != nil:
	case v.stored == nil:
		v.failed = &Broken{Whole, "the row that keeps its head is gone"}
	case v.stored.Seq > v.head.Seq:
		v.failed = &Broken{v.head.Seq + 1, fmt.Sprintf("it is missing, as is all that came after it up to %d", v.stored.Seq)}
	case v.stored.Seq < v.head.Seq:
		v.failed = &Broken{v.stored.Seq + 1, "it was added beside the collector: the kept head is before it"}
	case v.stored.Hash != v.head.Hash:
		v.failed = &Broken{v.head.Seq, "it is not the head that was kept"}
	default:
		v.failed = v.missingHeads()
	}
	return v.sum, v.failed
}

// missingHeads reports noted heads beyond the end of the chain.
func (v *Verifier) missingHeads() error {
	if len(v.noted) == 0 {
		return nil
	}
	beyond := v.head.Seq // those up to here were compared on the way
	for seq := range v.noted {
		beyond = max(beyond, seq)
	}
	return &Broken{v.head.Seq + 1, fmt.Sprintf("it is missing: a head was noted at %d, and the log ends at %d", beyond, v.head.Seq)}
}
