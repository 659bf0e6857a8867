package inspect_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/agent/inspect"
	"andon.internal/shared/ranges"
)

// TestTheTextSaysWhatIsWrong: each trouble is in it.
func TestTheTextSaysWhatIsWrong(t *testing.T) {
	now := begin.Add(time.Hour)
	s := inspect.Status{
		Group: "line1", Node: "cell-07", Link: inspect.Link{
			Broker: "mqtts://b:8883", Connected: true, Since: begin, Hold: true, HoldSince: begin, HoldWhy: "the database is away",
			Parked: []inspect.Parked{{Unit: "press-1", Position: 7, Reason: "too large", Times: 3}},
		},
		Sources:     []inspect.Source{{Name: "a", Driver: "replay", State: "opening", Error: "no such file", Refused: 2}},
		Certificate: &inspect.Certificate{Expires: now.Add(30 * 24 * time.Hour)},
		Card:        inspect.Card{RunningSeconds: 1e6, ReadingBytes: 1e6, StoredBytes: 5e5, DeviceBytes: 1e6, Endurance: 8 << 40, LifeSeconds: 5e8},
		Troubles:    []string{"database: the database is away"},
	}
	var out strings.Builder
	if err := s.Text(&out, now); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"connected for 1h0m0s to mqtts://b:8883; HOLD for 1h0m0s: the database is away", "position 7 of", "3 times: too large",
		"opening, 0 readings, 2 events refused: no such file", ", in 30 days", "1.00 bytes per byte of readings, 2.00 per byte stored",
		"a card of 8 TiB lasts 16 years more", "LOOK AT",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

func TestHoldings(t *testing.T) {
	var many ranges.Set
	for p := range uint64(20) {
		many.Add(2*p, 2*p+1)
	}
	inv := buffer.Inventory{
		Epochs: []buffer.EpochInfo{{EpochState: buffer.EpochState{Epoch: buffer.Epoch{1}, Ended: buffer.EndUnclean, Next: 40, Held: many}}},
		Files: []buffer.FileInfo{
			{Name: "a.db", Size: 4096, Active: true, Records: 40, Live: 20},
			{Name: "b.sealed.db", Sealed: true, Err: errors.New("no valid meta page")},
			{Name: "d.db", Size: 8192, Records: 3, Live: 3, Err: fmt.Errorf("%w: permission denied", buffer.ErrUnreadable)},
		},
		SetAside: []buffer.FileInfo{{Name: "c.db.damaged-1", Size: 1 << 20}},
		Cursors:  []buffer.CursorInfo{{Name: "source/b", Bytes: 1}, {Name: "source/a", Bytes: 2, Lost: "c"}},
		Faults:   []string{"chain.db: is not there"},
	}
	h := inspect.HoldingsOf("data", false, inv)
	h.Losses = append(h.Losses, inspect.Loss{Epoch: "E", From: 3, To: 5, Reason: "overflow", Units: []string{"press-1", "press-2"}, Readings: 9})
	var out strings.Builder
	if err := h.Text(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"unclean", "[0,1)[2,3)", ")...", "active", "50%", "sealed", "DAMAGED: no valid meta page", "unreadable", "NOT READ: it is held, and cannot be read now: permission denied", "set aside as damaged", "[3,5)", "press-1,press-2",
		"LOST WITH c", "FAULT: chain.db: is not there",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if h.Cursors[0].Name != "source/a" || h.Epochs[0].Held != 20 {
		t.Errorf("%+v", h)
	}
}
