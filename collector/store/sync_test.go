package store_test

import (
	"fmt"
	"slices"
	"testing"

	"andon.internal/collector/store"
	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

func TestSync(t *testing.T) {
	e1, e2, e3, e4 := epoch(1), epoch(2), epoch(3), epoch(4)
	open := func(e, prev telemetry.Epoch) store.ChainEpoch { return store.ChainEpoch{Epoch: e, Prev: prev} }
	tests := []struct {
		name    string
		before  func(f *fixture)
		birth   store.Birth
		stored  map[telemetry.Epoch]string
		lost    uint64
		doubted []telemetry.Epoch
		ledgers map[telemetry.Epoch]string
		closed  string
	}{
		{
			name:   "a new node",
			birth:  store.Birth{Chain: []store.ChainEpoch{open(e1, telemetry.Epoch{})}},
			stored: map[telemetry.Epoch]string{e1: ""}, ledgers: map[telemetry.Epoch]string{e1: "{}|{}|{}|0"},
		},
		{
			name:   "what is committed or quarantined is told, nothing of the current epoch is closed",
			before: func(f *fixture) { f.commit(entry(e1, 0, 1), poison(e1, 1), entry(e1, 4, 1), loss(e1, 6, e1, 2, 3)) },
			birth:  store.Birth{Chain: []store.ChainEpoch{open(e1, telemetry.Epoch{})}, Seen: map[telemetry.Epoch]uint64{e1: 9}},
			stored: map[telemetry.Epoch]string{e1: "[0,2)[4,5)[6,7)"},
			ledgers: map[telemetry.Epoch]string{
				e1: "{[0,1),[4,5),[6,7)}|{[2,3)}|{[1,2)}|0",
			},
		},
		{
			name:   "an epoch ended in order: what is not held is lost",
			before: func(f *fixture) { f.commit(entry(e1, 1, 1)) },
			birth: store.Birth{Chain: []store.ChainEpoch{
				{Epoch: e1, End: store.EndClosed, Next: 8, Held: ranges.Of(ranges.Range{From: 1, To: 3}, ranges.Range{From: 6, To: 7})},
				open(e2, e1),
			}},
			stored: map[telemetry.Epoch]string{e1: "[1,2)", e2: ""},
			lost:   5,
			ledgers: map[telemetry.Epoch]string{
				e1: "{[1,2)}|{[0,1),[3,6),[7,8)}|{}|0",
			},
		},
		{
			name:   "a crash: also below the highest that was stored or seen",
			before: func(f *fixture) { f.commit(entry(e1, 5, 1)) },
			birth: store.Birth{
				Chain: []store.ChainEpoch{{Epoch: e1, End: store.EndUnclean, Next: 3, Held: set(0, 3)}, open(e2, e1)},
				Seen:  map[telemetry.Epoch]uint64{e1: 7},
			},
			stored:  map[telemetry.Epoch]string{e1: "[5,6)", e2: ""},
			lost:    4,
			ledgers: map[telemetry.Epoch]string{e1: "{[5,6)}|{[3,5),[6,8)}|{}|0"},
		},
		{
			name:   "epochs no longer listed are closed, through those between",
			before: func(f *fixture) { f.commit(entry(e1, 2, 1), entry(e2, 1, 1)); f.sync(open(e1, epoch(0)), open(e2, e1)) },
			birth: store.Birth{
				Chain: []store.ChainEpoch{open(e3, e2)},
				Seen:  map[telemetry.Epoch]uint64{e1: 4},
			},
			stored: map[telemetry.Epoch]string{e3: ""},
			lost:   5,
			ledgers: map[telemetry.Epoch]string{
				e1: "{[2,3)}|{[0,2),[3,5)}|{}|0", e2: "{[1,2)}|{[0,1)}|{}|0",
			},
			closed: "12",
		},
		{
			name:   "another box of that name, or a gap in what is known: nothing is closed",
			before: func(f *fixture) { f.sync(open(e1, epoch(0))); f.sync(open(e2, e1)); f.commit(entry(e2, 1, 1)) },
			birth:  store.Birth{Chain: []store.ChainEpoch{open(e3, e1)}},
			stored: map[telemetry.Epoch]string{e3: ""}, doubted: []telemetry.Epoch{e2},
			ledgers: map[telemetry.Epoch]string{e2: "{[1,2)}|{}|{}|0"},
			closed:  "1",
		},
		{
			name: "a closed epoch that is listed again is open again",
			before: func(f *fixture) {
				f.sync(open(e1, epoch(0)))
				f.commit(entry(e1, 1, 1))
				f.sync(open(e2, e1))
			},
			birth: store.Birth{Chain: []store.ChainEpoch{
				{Epoch: e1, End: store.EndClosed, Next: 4, Held: set(2, 4)}, open(e2, e1),
			}},
			stored:  map[telemetry.Epoch]string{e1: "[1,2)", e2: ""},
			ledgers: map[telemetry.Epoch]string{e1: "{[1,2)}|{[0,1)}|{}|0"},
		},
		{
			name: "another node's epochs are not touched",
			before: func(f *fixture) {
				f.commit(with(entry(e4, 3, 1), func(e *store.Entry, _ *telemetry.Record) { e.Node = other }))
			},
			birth:  store.Birth{Chain: []store.ChainEpoch{open(e1, e4)}},
			stored: map[telemetry.Epoch]string{e1: ""}, ledgers: map[telemetry.Epoch]string{e4: "{[3,4)}|{}|{}|0"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := setUp(t)
			if tt.before != nil {
				tt.before(f)
			}
			tt.birth.Node, tt.birth.Boot = node, [16]byte{7}
			lossesBefore := one(t, f.dsn, `SELECT count(*) FROM loss WHERE reason = 'crash'`)
			for round := range 2 { // the second changes nothing
				got, err := f.s.Sync(t.Context(), f.lease, tt.birth)
				if err != nil {
					t.Fatal(err)
				}
				if want := tt.lost * uint64(1-round); got.Lost != want {
					t.Errorf("round %d: lost %d, want %d", round, got.Lost, want)
				}
				if !slices.Equal(got.Doubted, tt.doubted) {
					t.Errorf("doubted %v, want %v", got.Doubted, tt.doubted)
				}
				if len(got.Stored) != len(tt.stored) {
					t.Errorf("told of %d epochs, want %d", len(got.Stored), len(tt.stored))
				}
				for e, want := range tt.stored {
					if s := got.Stored[e]; s.String() != want {
						t.Errorf("stored of %s: %s, want %s", e.Short(), s, want)
					}
				}
				for e, want := range tt.ledgers {
					if l := f.ledger(e); l != want {
						t.Errorf("ledger of %s: %s, want %s", e.Short(), l, want)
					}
				}
				if closed := one(t, f.dsn, `SELECT coalesce(string_agg(right(epoch_id, 1), '' ORDER BY 1), '') FROM epoch
 WHERE closed_at IS NOT NULL`); closed != tt.closed {
					t.Errorf("closed %q, want %q", closed, tt.closed)
				}
			}
			told := one(t, f.dsn, `SELECT coalesce(sum(upper(r) - lower(r)), 0) FROM (SELECT unnest(positions) r, loss_key FROM loss
 WHERE reason = 'crash' ORDER BY loss_key OFFSET 0) x WHERE loss_key > `+lossesBefore)
			if tt.lost > 0 && told != fmt.Sprint(tt.lost) {
				t.Errorf("loss rows name %s positions, want %d", told, tt.lost)
			}
			if got := one(t, f.dsn, `SELECT left(boot::text, 2), doubted_at IS NOT NULL FROM node WHERE node_id = 'cell-07'`); got != fmt.Sprintf("07|%.1s", fmt.Sprint(len(tt.doubted) > 0)) {
				t.Errorf("node %s", got)
			}
			// What comes after all is stored.
			f.commit(entry(e1, 0, 1))
		})
	}
}

// sync is a birth with the given chain.
func (f *fixture) sync(chain ...store.ChainEpoch) {
	f.tb.Helper()
	if _, err := f.s.Sync(f.tb.Context(), f.lease, store.Birth{Node: node, Chain: chain}); err != nil {
		f.tb.Fatal(err)
	}
}

func TestMalformedBirths(t *testing.T) {
	f := setUp(t)
	for name, chain := range map[string][]store.ChainEpoch{
		"no epoch":         nil,
		"an epoch of zero": {{}},
		"an epoch twice":   {{Epoch: epoch(1)}, {Epoch: epoch(1)}},
		"next too high":    {{Epoch: epoch(1), End: store.EndClosed, Next: 1 << 63}},
		"an unknown end":   {{Epoch: epoch(1), End: 7}},
	} {
		if _, err := f.s.Sync(t.Context(), f.lease, store.Birth{Node: node, Chain: chain}); err == nil || store.IsRetry(err) {
			t.Errorf("%s: error %v, want one for good", name, err)
		}
	}
}
