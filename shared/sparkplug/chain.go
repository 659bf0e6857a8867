package sparkplug

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

// MaxChain is the most epochs that a birth may list.
const MaxChain = 1024

// Bounds of the held ranges in a birth: of one epoch, and of all together.
const (
	maxHeldRanges  = 64
	maxChainRanges = 2048
)

// EndKind says how an epoch ended.
type EndKind uint8

// How an epoch ends.
const (
	EndOpen    EndKind = iota // not yet: the current epoch
	EndClosed                 // cleanly, at Next
	EndUnclean                // by a crash; the highest position known is Next-1
)

func (k EndKind) String() string {
	switch k {
	case EndOpen:
		return "open"
	case EndClosed:
		return "closed"
	}
	return "unclean"
}

// ChainEpoch is one epoch of a node as its birth lists it.
type ChainEpoch struct {
	Epoch telemetry.Epoch
	Prev  telemetry.Epoch // zero for a node's first
	End   EndKind
	Next  uint64     // the position after the highest one known
	Held  ranges.Set // holds every position that the node still has, and perhaps more
}

// formatChain returns the text of a chain: "EPOCH PREV END NEXT RANGES" for each
// epoch, joined by ";". PREV is "-" for none. Ranges are joined to fewer where
// there are many, so that a birth stays small.
func formatChain(chain []ChainEpoch) string {
	limit := min(maxHeldRanges, max(1, maxChainRanges/max(1, len(chain))))
	var b []byte
	for i := range chain {
		c := &chain[i]
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, c.Epoch.String()...)
		b = append(b, ' ')
		if c.Prev.IsZero() {
			b = append(b, '-')
		} else {
			b = append(b, c.Prev.String()...)
		}
		b = append(b, ' ')
		b = append(b, c.End.String()...)
		b = append(b, ' ')
		b = strconv.AppendUint(b, c.Next, 10)
		b = append(b, ' ')
		b = append(b, coalesce(c.Held, limit).String()...)
	}
	return string(b)
}

// coalesce returns a superset of s in at most limit ranges. It fills the holes
// from the low end: a backlog drains from there, so its holes close first.
func coalesce(s ranges.Set, limit int) ranges.Set {
	list := s.Ranges()
	if len(list) <= limit {
		return s
	}
	out := ranges.Of(ranges.Range{From: list[0].From, To: list[len(list)-limit].To})
	for _, r := range list[len(list)-limit+1:] {
		out.Add(r.From, r.To)
	}
	return out
}

func parseChain(text string) ([]ChainEpoch, error) {
	if text == "" {
		return nil, errors.New("chain of epochs is empty")
	}
	var chain []ChainEpoch
	seen := make(map[telemetry.Epoch]bool)
	for rest, more := text, true; more; {
		var part string
		part, rest, more = strings.Cut(rest, ";")
		if len(chain) == MaxChain {
			return nil, over(MaxChain+1, MaxChain, "epochs")
		}
		c, err := parseChainEpoch(part)
		if err != nil {
			return nil, err
		}
		if seen[c.Epoch] {
			return nil, fmt.Errorf("epoch %s comes twice", c.Epoch)
		}
		seen[c.Epoch] = true
		chain = append(chain, c)
	}
	for i := range chain {
		if (chain[i].End == EndOpen) != (i == len(chain)-1) {
			return nil, errors.New("chain of epochs does not end with the one open epoch")
		}
	}
	return chain, nil
}

func parseChainEpoch(text string) (c ChainEpoch, err error) {
	fields := strings.SplitN(text, " ", 5)
	if len(fields) != 5 {
		return c, fmt.Errorf("%q is not EPOCH PREV END NEXT RANGES", clip(text))
	}
	if c.Epoch, err = telemetry.ParseEpoch(fields[0]); err != nil {
		return c, err
	}
	if fields[1] != "-" {
		if c.Prev, err = telemetry.ParseEpoch(fields[1]); err != nil {
			return c, err
		}
	}
	for c.End = EndOpen; c.End.String() != fields[2]; c.End++ {
		if c.End == EndUnclean {
			return c, fmt.Errorf("%q is none of open, closed, unclean", clip(fields[2]))
		}
	}
	if c.Next, err = strconv.ParseUint(fields[3], 10, 64); err != nil || c.Next > ranges.MaxPosition+1 {
		return c, fmt.Errorf("%q is not a position", clip(fields[3]))
	}
	if c.Held, err = ranges.Parse(fields[4], maxHeldRanges); err != nil {
		return c, err
	}
	if c.Held.End() > c.Next {
		return c, fmt.Errorf("epoch %s holds positions up to %d but ends at %d", c.Epoch, c.Held.End(), c.Next)
	}
	return c, nil
}
