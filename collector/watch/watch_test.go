package watch_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"andon.internal/collector/internal/edgetest"
	"andon.internal/collector/watch"
	"andon.internal/shared/ranges"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestFilters(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		{"", []string{"spBv1.0/#"}},
		{"line1", []string{"spBv1.0/line1/#"}},
		{"line1/cell", []string{"spBv1.0/line1/+/cell/#"}},
		{"+/cell", []string{"spBv1.0/+/+/cell/#"}},
		{"line1/cell/unit", []string{"spBv1.0/line1/NBIRTH/cell", "spBv1.0/line1/+/cell/unit"}},
		{"spBv1.0/STATE/#", []string{"spBv1.0/STATE/#"}},
		{"a/b/c/d", nil},
		{"a//c", nil},
		{"a#", nil},
		{"#", nil},
		{"/", nil},
	}
	for _, tt := range tests {
		got, err := watch.Filters(tt.text)
		if !slices.Equal(got, tt.want) || (err == nil) != (tt.want != nil) {
			t.Errorf("%q: %v, %v, want %v", tt.text, got, err, tt.want)
		}
	}
}

// messages is a session as it may be seen, from the middle on.
func messages() []edgetest.Message {
	n := edgetest.NewNode("line1", "cell")
	n.Epoch, n.Session, n.BdSeq = telemetry.Epoch{1}, 7, 3
	n.Held = ranges.Of(ranges.Range{From: 2, To: 5})
	n.Next = 5
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano()
	n.UnitBirth("unit-1", at, false) // takes aliases; not shown
	early := n.Data(n.Reading("unit-1", at, at, 0, 2))
	incomplete := n.Reading("unit-1", at, at, 0, 1)
	incomplete.Values[1] = telemetry.Value{}
	incomplete.Qualities[0] = telemetry.QualityMissing
	early2 := n.Data(incomplete)
	long := n.Reading("unit-1", at, at, 2, 6)
	long.Values[0] = telemetry.DoubleValue(math.NaN())
	long.End = &telemetry.End{Time: at, Reason: "finished"}
	unknown := edgetest.Dyno()
	unknown.Name = "other"
	strange := n.Reading("unit-1", at, at, 0, 1)
	strange.Profile = unknown
	foreign := sparkplug.Payload{HasTimestamp: true, Metrics: []sparkplug.Metric{
		{Name: "Pump/Speed", DataType: sparkplug.Double, Value: sparkplug.DoubleValue(1.5)},
		{Alias: 9, HasAlias: true, DataType: sparkplug.Int32, Value: sparkplug.IntValue(-4)},
		{Name: "Name", DataType: sparkplug.String, Value: sparkplug.StringValue("a\x1b[2Jb")},
		{Name: "None", Null: true},
	}}
	ack := sparkplug.Ack{
		Epochs: []sparkplug.EpochRanges{{Epoch: n.Epoch, Committed: ranges.Of(ranges.Range{From: 0, To: 140})}},
		Credit: sparkplug.Credit{Records: 64, Bytes: 8 << 20}, Sync: &sparkplug.SyncPart{Session: 7, Part: 1, Of: 1},
	}
	return []edgetest.Message{
		early, early2, n.DataAt(9, strange, true),
		{Topic: "spBv1.0/STATE/andon", Payload: sparkplug.State{Online: true, Timestamp: 5}.Append(nil)},
		n.Birth(), n.UnitBirth("unit-1", at, false), n.UnitBirth("unit-2", at, true),
		early2, n.DataAt(10, long, true),
		n.Loss(telemetry.Loss{Epoch: n.Epoch, From: 1, To: 4, Reason: telemetry.LossOverflow, Units: []string{"unit-1"}, Readings: 7}),
		n.Heartbeat(sparkplug.Heartbeat{Rows: 12, Records: 3, Bytes: 4096, OldestMS: 2500}),
		{Topic: "spBv1.0/line1/NCMD/cell", Payload: sparkplug.AppendAck(nil, 1, ack)},
		{Topic: "spBv1.0/line1/NCMD/cell", Payload: sparkplug.AppendRebirth(nil, 1)},
		n.UnitDeath("unit-1"), n.Death(),
		{Topic: "spBv1.0/plant/NBIRTH/pump 7", Payload: foreign.Append(nil)},
		{Topic: "spBv1.0/plant/DDATA/pump 7/motor", Payload: foreign.Append(nil)},
		{Topic: "spBv1.0/line1/DDATA/cell/unit-1", Payload: early.Payload[:40]},
		{Topic: "spBv1.0/line1/NBIRTH/cell", Payload: []byte{0xff}},
		{Topic: "not/\x1b[2Jsparkplug", Payload: []byte("x")},
		{Topic: "spBv1.0/STATE/andon", Payload: []byte(`{"online":false,"timestamp":6}`)},
	}
}

func TestGolden(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)
	for _, form := range []string{"text", "json"} {
		var out bytes.Buffer
		d := watch.NewDecoder([]*telemetry.Profile{edgetest.Dyno()})
		for _, m := range messages() {
			e := d.Decode(m.Topic, m.Payload, false, at)
			write := e.WriteText
			if form == "json" {
				e.Time = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
				write = e.WriteJSON
			}
			if err := write(&out); err != nil {
				t.Fatal(err)
			}
		}
		if form == "json" {
			for i, line := range bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n")) {
				if !json.Valid(line) {
					t.Errorf("line %d is not JSON: %s", i+1, line)
				}
			}
		}
		golden := filepath.Join("testdata", "session."+form)
		if *update {
			if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		// A birth's boot id and the sizes of messages that carry a time vary; neither is shown as text.
		if form == "text" && !bytes.Equal(out.Bytes(), want) {
			t.Errorf("text differs from %s; -update writes it anew:\n%s", golden, out.Bytes())
		}
		if form == "json" && !bytes.Equal(withoutSizes(out.Bytes()), withoutSizes(want)) {
			t.Errorf("JSON differs from %s; -update writes it anew:\n%s", golden, out.Bytes())
		}
	}
}

// withoutSizes removes the sizes of messages, which vary with the time in them.
func withoutSizes(b []byte) []byte {
	var out [][]byte
	for line := range bytes.SplitSeq(b, []byte("\n")) {
		before, after, found := bytes.Cut(line, []byte(`"bytes":`))
		if found {
			line = append(append([]byte(nil), before...), bytes.TrimLeft(after, "0123456789")...)
		}
		out = append(out, line)
	}
	return bytes.Join(out, []byte("\n"))
}

// Whoever makes up profiles without end takes no memory without end: what was learnt is
// forgotten, and a record is still shown, by its aliases, until its unit is born again.
func TestProfilesWithoutEnd(t *testing.T) {
	n := edgetest.NewNode("line1", "cell")
	d := watch.NewDecoder(nil)
	decode := func(m edgetest.Message) watch.Event {
		e := d.Decode(m.Topic, m.Payload, false, time.Unix(0, 0))
		if e.Error != "" {
			t.Fatal(e.Error)
		}
		return e
	}
	birth := n.UnitBirth("unit-1", 1, false)
	data := n.Data(n.Reading("unit-1", 1, 1, 0, 1))
	decode(birth)
	if decode(data).Record.Rows == nil {
		t.Fatal("the layout was not learnt")
	}
	p := &telemetry.Profile{Name: "wide", Version: 1}
	for i := range telemetry.MaxSignals {
		p.Signals = append(p.Signals, telemetry.Signal{Name: fmt.Sprint("s", i), Type: telemetry.Double})
	}
	other := edgetest.NewNode("line1", "other")
	other.Profile = p
	const bound = 1 << 20 / telemetry.MaxSignals
	for i := range bound + 1 {
		p.Version = i + 1
		decode(other.UnitBirth("unit", 1, false))
	}
	if decode(data).Record.Rows == nil {
		t.Error("a profile that came in the place of the one before was counted as one more")
	}
	for i := range bound + 1 {
		p.Version = i + 1
		decode(other.UnitBirth(fmt.Sprint("unit-", i), 1, false))
	}
	if e := decode(data); e.Record.Rows != nil || len(e.Metrics) == 0 {
		t.Errorf("a record behind the bound is %+v", e)
	}
	decode(birth)
	if decode(data).Record.Rows == nil {
		t.Error("the layout was not learnt again")
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range messages() {
		f.Add(m.Topic, m.Payload)
	}
	births := messages()[4:7]
	f.Fuzz(func(t *testing.T, topic string, payload []byte) {
		d := watch.NewDecoder([]*telemetry.Profile{edgetest.Dyno()})
		for _, m := range births {
			d.Decode(m.Topic, m.Payload, false, time.Unix(0, 0))
		}
		e := d.Decode(topic, payload, true, time.Unix(0, 0))
		var out bytes.Buffer
		if err := e.WriteText(&out); err != nil {
			t.Fatal(err)
		}
		for _, r := range out.String() {
			if r != '\n' && r < ' ' || r == 0x7f {
				t.Fatalf("control character %q reaches the terminal: %q", r, out.String())
			}
		}
		out.Reset()
		if err := e.WriteJSON(&out); err != nil {
			t.Fatal(err)
		}
		if !json.Valid(out.Bytes()) {
			t.Fatalf("not JSON: %s", out.Bytes())
		}
	})
}
