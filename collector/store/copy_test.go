package store_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/jackc/pgx/v5/pgconn"

	"andon.internal/collector/store"
	"andon.internal/shared/telemetry"
)

// hardValues are what an encoder gets wrong first.
var hardValues = map[telemetry.Type][]uint64{
	telemetry.Double: {
		0, 1 << 63, math.Float64bits(math.NaN()), 0x7ff0000000000001, 0xfff8dead00000000, math.Float64bits(math.Inf(1)),
		math.Float64bits(math.Inf(-1)), 1, math.Float64bits(math.MaxFloat64), math.Float64bits(0.1),
	},
	telemetry.Real:    {0, 1 << 31, 0x7fc00000, 0x7f800001, 0xff800000, 1, 0x7f7fffff},
	telemetry.Integer: {0, 1, math.MaxUint64, 1 << 63, 1<<63 - 1, 1 << 31, 1 << 32},
	telemetry.Boolean: {0, 1},
}

func randomValue(r *rand.Rand, t telemetry.Type) telemetry.Value {
	switch r.IntN(4) {
	case 0:
		return telemetry.Value{}
	case 1:
		return telemetry.FromBits(t, hardValues[t][r.IntN(len(hardValues[t]))])
	}
	return telemetry.FromBits(t, r.Uint64())
}

func randomRecord(r *rand.Rand, p *telemetry.Profile, rows int) *telemetry.Record {
	rec := &telemetry.Record{Unit: "press-1", Profile: p, Born: now.UnixNano()}
	for i := range rows {
		values := make([]telemetry.Value, len(p.Signals))
		for j := range values {
			values[j] = randomValue(r, p.Signals[j].Type)
		}
		ns := now.UnixNano() + int64(i)*1e6 + r.Int64N(1e6)
		rec.Append(ns, telemetry.Quality(r.Uint32())&telemetry.QualityMask, values)
	}
	return rec
}

// TestEveryBitComesBack stores random records and compares what PostgreSQL returns.
func TestEveryBitComesBack(t *testing.T) {
	f := setUp(t)
	r := rand.New(rand.NewPCG(1, 2))
	var entries []store.Entry
	for p := range uint64(20) {
		entries = append(entries, store.Entry{
			Node: node, Epoch: epoch(1), Position: p, ReceivedAt: now, Record: randomRecord(r, mixed(), 1+r.IntN(60)),
		})
	}
	f.commit(entries...)
	pg, err := pgconn.Connect(t.Context(), f.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Close(t.Context())
	res := pg.ExecParams(t.Context(), `SELECT position, row_no, ts, quality, a, "order", n, on_off FROM reading_mixed
 ORDER BY position, row_no`, nil, nil, nil, []int16{1}).Read()
	if res.Err != nil {
		t.Fatal(res.Err)
	}
	at := 0
	for _, e := range entries {
		for row := range e.Record.Len() {
			v := res.Rows[at]
			at++
			be := binary.BigEndian
			if be.Uint64(v[0]) != e.Position || int(be.Uint16(v[1])) != row {
				t.Fatalf("row %d is %d/%d, want %d/%d", at, be.Uint64(v[0]), be.Uint16(v[1]), e.Position, row)
			}
			if us := int64(be.Uint64(v[2])) + 946_684_800_000_000; us != e.Record.Times[row]/1000 {
				t.Errorf("time %d µs, want %d ns", us, e.Record.Times[row])
			}
			if q := telemetry.Quality(be.Uint16(v[3])); q != e.Record.Qualities[row] {
				t.Errorf("quality %v, want %v", q, e.Record.Qualities[row])
			}
			for j, want := range e.Record.Row(row) {
				if got := fromBinary(e.Record.Profile.Signals[j].Type, v[4+j]); got != want {
					t.Errorf("%d/%d signal %d: %v (%x), want %v (%x)", e.Position, row, j, got, got.Bits(), want, want.Bits())
				}
			}
		}
	}
	if at != len(res.Rows) {
		t.Errorf("%d rows, want %d", len(res.Rows), at)
	}
}

func fromBinary(t telemetry.Type, b []byte) telemetry.Value {
	switch len(b) {
	case 0:
		return telemetry.Value{}
	case 1:
		return telemetry.FromBits(t, uint64(b[0]))
	case 4:
		return telemetry.FromBits(t, uint64(binary.BigEndian.Uint32(b)))
	}
	return telemetry.FromBits(t, binary.BigEndian.Uint64(b))
}

// FuzzCopyReader compares the stream with one that is written plainly, whatever
// the size of the buffers that it is read into.
func FuzzCopyReader(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint16(1))
	f.Add(uint64(2), uint8(0), uint16(100))
	f.Add(uint64(3), uint8(40), uint16(65531))
	f.Fuzz(func(t *testing.T, seed uint64, records uint8, size uint16) {
		r := rand.New(rand.NewPCG(seed, 0))
		var items []store.CopyItem
		for range records % 32 {
			rec := randomRecord(r, mixed(), r.IntN(20))
			it := store.CopyItem{
				Record: rec, Unit: int32(r.Uint32()), Epoch: int32(r.Uint32()),
				Position: r.Uint64() >> 1, Received: r.Int64N(1 << 52),
			}
			if r.IntN(2) == 0 {
				it.Skip = make([]bool, rec.Len())
				for i := range it.Skip {
					it.Skip[i] = r.IntN(3) == 0
				}
			}
			items = append(items, it)
		}
		want := plainCopy(items)
		var got bytes.Buffer
		buf := make([]byte, max(int(size), 1))
		if _, err := io.CopyBuffer(struct{ io.Writer }{&got}, struct{ io.Reader }{store.NewCopyReader(mixed(), items)}, buf); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("stream of %d bytes differs from the plain one of %d", got.Len(), len(want))
		}
		if err := iotest.TestReader(store.NewCopyReader(mixed(), items), want); err != nil {
			t.Fatal(err)
		}
	})
}

// plainCopy writes PostgreSQL's binary COPY format as its manual describes it.
func plainCopy(items []store.CopyItem) []byte {
	var b bytes.Buffer
	put := func(v any) { _ = binary.Write(&b, binary.BigEndian, v) }
	field := func(v any) { put(int32(binary.Size(v))); put(v) }
	b.WriteString("PGCOPY\n\377\r\n\000")
	put(int32(0))
	put(int32(0))
	for _, it := range items {
		for row, ns := range it.Record.Times {
			if it.Skip != nil && it.Skip[row] {
				continue
			}
			put(int16(11))
			field(ns/1000 - 946_684_800_000_000)
			field(int16(row))
			field(int16(it.Record.Qualities[row]))
			field(it.Unit)
			field(it.Epoch)
			field(it.Position)
			field(it.Received - 946_684_800_000_000)
			for _, v := range it.Record.Row(row) {
				switch v.Type() {
				case telemetry.Double, telemetry.Integer:
					field(v.Bits())
				case telemetry.Real:
					field(uint32(v.Bits()))
				case telemetry.Boolean:
					field(uint8(v.Bits()))
				default:
					put(int32(-1))
				}
			}
		}
	}
	put(int16(-1))
	return b.Bytes()
}

// TestColumnsByName stores records of older, reordered and foreign profiles.
func TestColumnsByName(t *testing.T) {
	f := setUp(t)
	record := func(p uint64, signals ...telemetry.Signal) store.Entry {
		rec := &telemetry.Record{
			Unit: "press-1", Born: now.UnixNano(),
			Profile: &telemetry.Profile{Name: "mixed", Version: 1, Signals: signals},
		}
		values := make([]telemetry.Value, len(signals))
		for i, s := range signals {
			values[i] = telemetry.FromBits(s.Type, uint64(i+1))
			if s.Type == telemetry.Double {
				values[i] = telemetry.DoubleValue(float64(i + 1))
			}
		}
		rec.Append(now.UnixNano()+int64(p)*1e9, 0, values)
		return store.Entry{Node: node, Epoch: epoch(1), Position: p, ReceivedAt: now, Record: rec}
	}
	a := telemetry.Signal{Name: "a", Type: telemetry.Double}
	n := telemetry.Signal{Name: "n", Type: telemetry.Integer}
	on := telemetry.Signal{Name: "on_off", Type: telemetry.Boolean}
	foreign := record(6, a)
	foreign.Record.Profile = &telemetry.Profile{Name: "unheard", Version: 1, Signals: []telemetry.Signal{a}}
	broken := record(7, a)
	broken.Record.Values[0] = telemetry.IntegerValue(1)
	r, err := f.s.Commit(t.Context(), f.lease, []store.Entry{
		record(0, a, n), record(1, on, n, a), record(2, n),
		record(3, a, telemetry.Signal{Name: "more", Type: telemetry.Double}),
		record(4, telemetry.Signal{Name: "a", Type: telemetry.Real}),
		record(5, a, a), foreign, broken,
	})
	if err != nil {
		t.Fatal(err)
	}
	got := lines(t, f.dsn, `SELECT position, a, n, on_off, "order" FROM reading_mixed ORDER BY 1`)
	if want := "[0|1|2|null|null 1|3|2|t|null 2|null|1|null|null]"; fmt.Sprint(got) != want {
		t.Errorf("stored %v, want %v", got, want)
	}
	want := []string{
		"profile mixed as installed has no signal more; install the profile's newer version",
		"signal a of profile mixed is double as installed, and came as real",
		"signal a of profile mixed came twice",
		"profile unheard is not installed",
		"row 0: signal a is double, the value is integer",
	}
	if len(r.Rejects) != len(want) {
		t.Fatalf("rejects %+v", r.Rejects)
	}
	for i, rej := range r.Rejects {
		if rej.Reason != want[i] || rej.Entry != i+3 || rej.Rows != 1 {
			t.Errorf("reject %+v, want %q", rej, want[i])
		}
	}
}
