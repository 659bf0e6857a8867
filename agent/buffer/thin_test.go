package buffer_test

import (
	"testing"

	"andon.internal/agent/buffer"
)

// TestThinLeavesFewPieces: however long it goes on, what policy Thin keeps lies in about as
// many pieces as it says, and reaches from the first record to the last.
func TestThinLeavesFewPieces(t *testing.T) {
	for _, keep := range []int{2, 10} {
		o := policyOptions(t, buffer.Thin)
		o.ThinKeep = keep
		b := open(t, o)
		const batch = 250
		last, most, held := 0, 0, uint64(0)
		for shed := uint64(0); shed < 5*held || held == 0; {
			list := make([]buffer.Item, batch)
			for i := range list {
				last++
				list[i] = buffer.Item{Data: payload(last, 200), Label: "u", Rows: 2, First: int64(last), Last: int64(last) + 1}
			}
			if _, err := b.Append(list, nil); err != nil {
				t.Fatal(err)
			}
			written(t, b)
			most = max(most, len(b.Chain()[0].Held.Ranges()))
			if shed = b.Stats().LostRecords; shed > 0 {
				held = b.Stats().Records
			}
		}
		t.Logf("one of %d is kept: %d records held, %d pieces at most, %d now, %d went through",
			keep, held, most, len(b.Chain()[0].Held.Ranges()), last)
		if most > buffer.MaxIslands*8/5 || most < buffer.MaxIslands/4 {
			t.Errorf("one of %d is kept: %d pieces, want about %d", keep, most, buffer.MaxIslands)
		}
		x := taleOf(t, b)
		x.accounted(t, b.Chain()[0].Next, b.Stats().LostRows)
		if x.ids[0] > batch || x.ids[len(x.ids)-1] != last {
			t.Errorf("one of %d is kept: held from %d to %d of %d", keep, x.ids[0], x.ids[len(x.ids)-1], last)
		}
	}
}
