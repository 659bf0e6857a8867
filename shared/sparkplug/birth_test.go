package sparkplug_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"andon.internal/shared/ranges"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

func TestNodeBirthRoundTrip(t *testing.T) {
	minimal := &sparkplug.NodeBirth{Time: 1, Chain: []sparkplug.ChainEpoch{{Epoch: epochA}}}
	for name, want := range map[string]*sparkplug.NodeBirth{"full": sampleNodeBirth(), "minimal": minimal} {
		t.Run(name, func(t *testing.T) {
			got, err := sparkplug.ParseNodeBirth(decode(t, want.Append(nil)))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("read\n%+v\nwant\n%+v", got, want)
			}
		})
	}
}

// set replaces the value of a metric.
func set(name string, v sparkplug.Value) func(*sparkplug.Payload) {
	return func(p *sparkplug.Payload) {
		m := p.Metric(name)
		m.Null, m.Value = false, v
	}
}

// without takes a metric away.
func without(name string) func(*sparkplug.Payload) {
	return func(p *sparkplug.Payload) { p.Metric(name).Name = "something else" }
}

// TestWhatANodeTellsIsCut: texts that are logged, kept and shown are read to 1,024 bytes, and
// stay UTF-8.
func TestWhatANodeTellsIsCut(t *testing.T) {
	long := "x" + strings.Repeat("ü", 100_000)
	want := "x" + strings.Repeat("ü", 511)
	b := sampleNodeBirth()
	b.Version, b.Heartbeat.DiskFault, b.Heartbeat.RulesHash = long, long, long
	got, err := sparkplug.ParseNodeBirth(decode(t, b.Append(nil)))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{got.Version, got.Heartbeat.DiskFault, got.Heartbeat.RulesHash} {
		if text != want {
			t.Errorf("%d bytes are read, want %d", len(text), len(want))
		}
	}
}

func TestParseNodeBirthRefuses(t *testing.T) {
	text, number := sparkplug.StringValue, sparkplug.LongValue
	a, b := epochA.String(), epochB.String()
	tests := []struct {
		name   string
		change func(*sparkplug.Payload)
		want   string
	}{
		{"no timestamp", func(p *sparkplug.Payload) { p.HasTimestamp = false }, "no timestamp"},
		{"no seq", func(p *sparkplug.Payload) { p.HasSeq = false }, "seq is not 0"},
		{"seq of 1", func(p *sparkplug.Payload) { p.Seq = 1 }, "seq is not 0"},
		{"no bdSeq", without("bdSeq"), "bdSeq is not there"},
		{"bdSeq of 256", set("bdSeq", number(256)), "0 to 255"},
		{"negative bdSeq", set("bdSeq", number(-1)), "0 to 255"},
		{"session of text", set("Andon/Session", text("7")), "not a number"},
		{"boot id of 35", set("Andon/Boot", text(strings.Repeat("0", 35))), "not a UUID"},
		{"boot id with dashes elsewhere", set("Andon/Boot", text("0a1b2c3d4-e5f-4071-8293-a4b5c6d7e8f9")), "not a UUID"},
		{"boot id in capitals", set("Andon/Boot", text("0A1B2C3D-4E5F-4071-8293-A4B5C6D7E8F9")), "not a UUID"},
		{"no chain", without("Andon/Chain"), "Andon/Chain is not there"},
		{"empty chain", set("Andon/Chain", text("")), "empty"},
		{"chain without an open end", set("Andon/Chain", text(a+" - closed 3 ")), "one open epoch"},
		{"chain with two open ends", set("Andon/Chain", text(a+" - open 3 ;"+b+" "+a+" open 0 ")), "one open epoch"},
		{"epoch twice", set("Andon/Chain", text(a+" - closed 3 ;"+a+" - open 3 ")), "comes twice"},
		{"chain of few fields", set("Andon/Chain", text(a+" - open")), "is not EPOCH PREV"},
		{"bad epoch", set("Andon/Chain", text("x - open 3 ")), "ULID"},
		{"bad predecessor", set("Andon/Chain", text(a+" x open 3 ")), "ULID"},
		{"unknown end", set("Andon/Chain", text(a+" - ended 3 ")), "none of open"},
		{"bad position", set("Andon/Chain", text(a+" - open -3 ")), "not a position"},
		{"position beyond the highest", set("Andon/Chain", text(a+" - open 9223372036854775808 ")), "not a position"},
		{"bad ranges", set("Andon/Chain", text(a+" - open 3 [1,")), "not a range"},
		{"held beyond the end", set("Andon/Chain", text(a+" - open 3 [1,4)")), "ends at 3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := decode(t, sampleNodeBirth().Append(nil))
			tt.change(p)
			got, err := sparkplug.ParseNodeBirth(p)
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, sparkplug.ErrForeign) {
				t.Errorf("ParseNodeBirth = %+v, %v; want an error with %q", got, err, tt.want)
			}
		})
	}
}

func TestForeignBirths(t *testing.T) {
	p := everything()
	if _, err := sparkplug.ParseNodeBirth(p); !errors.Is(err, sparkplug.ErrForeign) {
		t.Errorf("ParseNodeBirth: %v, want ErrForeign", err)
	}
	if _, err := sparkplug.ParseUnitBirth("u", p); !errors.Is(err, sparkplug.ErrForeign) {
		t.Errorf("ParseUnitBirth: %v, want ErrForeign", err)
	}
	if _, err := sparkplug.Peek(p.Append(nil)); !errors.Is(err, sparkplug.ErrForeign) {
		t.Errorf("Peek: %v, want ErrForeign", err)
	}
	if _, _, err := sparkplug.DecodeLoss(p.Append(nil), sparkplug.Limits{}); !errors.Is(err, sparkplug.ErrForeign) {
		t.Errorf("DecodeLoss: %v, want ErrForeign", err)
	}
	if _, ok := sparkplug.ParseHeartbeat(p); ok {
		t.Error("ParseHeartbeat found one")
	}
}

// TestChainIsBounded checks that a birth stays small however ragged the buffer is,
// and that what it says is held is never less than what is.
func TestChainIsBounded(t *testing.T) {
	var ragged ranges.Set
	for i := range uint64(5000) {
		ragged.Add(10*i, 10*i+1)
	}
	for _, epochs := range []int{1, 2, 40, sparkplug.MaxChain} {
		b := &sparkplug.NodeBirth{Time: now}
		for i := range epochs {
			c := sparkplug.ChainEpoch{
				Epoch: telemetry.Epoch{0: 1, 14: byte(i >> 8), 15: byte(i)}, End: sparkplug.EndClosed, Next: 1 << 40, Held: ragged,
			}
			if i == epochs-1 {
				c.End = sparkplug.EndOpen
			}
			b.Chain = append(b.Chain, c)
		}
		msg := b.Append(nil)
		if len(msg) > 200<<10 {
			t.Errorf("the birth of %d ragged epochs has %d bytes", epochs, len(msg))
		}
		got, err := sparkplug.ParseNodeBirth(decode(t, msg))
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range got.Chain {
			missing := ragged.Clone()
			missing.RemoveSet(c.Held)
			if !missing.Empty() || len(c.Held.Ranges()) > 64 || c.Held.End() != ragged.End() {
				t.Fatalf("epoch %d of %d: held %v lacks %v", i, epochs, c.Held, missing)
			}
		}
	}
}

func TestUnitBirthRoundTrip(t *testing.T) {
	noLast := sampleUnitBirth()
	noLast.Last, noLast.Backlog, noLast.FirstAlias, noLast.Born = nil, false, 0, -1
	for name, want := range map[string]*sparkplug.UnitBirth{"full": sampleUnitBirth(), "no values": noLast} {
		t.Run(name, func(t *testing.T) {
			p := decode(t, want.Append(nil, 9))
			if !p.HasSeq || p.Seq != 9 {
				t.Errorf("seq %d, %v", p.Seq, p.HasSeq)
			}
			got, err := sparkplug.ParseUnitBirth(want.Unit, p)
			if err != nil {
				t.Fatal(err)
			}
			if want.Last == nil {
				want.Last = make([]telemetry.Value, len(want.Profile.Signals))
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("read\n%+v\nwant\n%+v", got, want)
			}
			if l := got.Layout(); l.FirstAlias != want.FirstAlias || l.Profile.Fingerprint() != want.Profile.Fingerprint() {
				t.Errorf("layout %+v", l)
			}
		})
	}
}

func TestParseUnitBirthRefuses(t *testing.T) {
	text := sparkplug.StringValue
	tests := []struct {
		name   string
		unit   string
		change func(*sparkplug.Payload)
		want   string
	}{
		{"malformed unit", "a/b", func(*sparkplug.Payload) {}, "unit id"},
		{"no timestamp", "u", func(p *sparkplug.Payload) { p.HasTimestamp = false }, "timestamp or seq"},
		{"no seq", "u", func(p *sparkplug.Payload) { p.HasSeq = false }, "timestamp or seq"},
		{"seq of 256", "u", func(p *sparkplug.Payload) { p.Seq = 256 }, "seq is 256"},
		{"other fingerprint", "u", set("Andon/Fingerprint", text("0000000000000000")), "is stated"},
		{"no fingerprint", "u", without("Andon/Fingerprint"), "is stated"},
		{"other profile name", "u", set("Andon/Profile", text("other")), "is stated"},
		{"profile name that is none", "u", set("Andon/Profile", text("A B")), "profile name"},
		{"profile name of a number", "u", set("Andon/Profile", sparkplug.LongValue(1)), "wrong type"},
		{"version 0", "u", set("Andon/ProfileVersion", sparkplug.LongValue(0)), "version"},
		{"version beyond int32", "u", set("Andon/ProfileVersion", sparkplug.LongValue(1<<40)), "version"},
		{"born as text", "u", set("Andon/Born", text("1")), "wrong type"},
		{"backlog as text", "u", set("Andon/Backlog", text("1")), "wrong type"},
		{"session as text", "u", set("Andon/Session", text("1")), "wrong type"},
		{"gap in the aliases", "u", func(p *sparkplug.Payload) { p.Metric("cycles").Alias = 999 }, "does not follow"},
		{"alias twice", "u", func(p *sparkplug.Payload) { p.Metric("cycles").Alias = 301 }, "does not follow"},
		{"signal without an alias", "u", func(p *sparkplug.Payload) { p.Metric("cycles").HasAlias = false }, "does not follow"},
		{"signals swapped", "u", func(p *sparkplug.Payload) {
			p.Metric("cycles").Name, p.Metric("running").Name = "running", "cycles"
		}, "is stated"},
		{"signal of a string", "u", func(p *sparkplug.Payload) { p.Metric("cycles").DataType = sparkplug.String }, "which no signal has"},
		{"signal of another type", "u", func(p *sparkplug.Payload) {
			p.Metric("case_temp_c").DataType = sparkplug.Double
		}, "is stated"},
		{"value of another type", "u", set("torque_nm", sparkplug.FloatValue(1)), "last value"},
		{"name that is no column", "u", func(p *sparkplug.Payload) { p.Metric("cycles").Name = "A/B" }, "becomes a column"},
		{"no signals", "u", func(p *sparkplug.Payload) { p.Metrics = p.Metrics[:5] }, "has 0"},
		{"too many signals", "u", func(p *sparkplug.Payload) {
			for i := range uint64(telemetry.MaxSignals) {
				m := p.Metrics[len(p.Metrics)-1]
				m.Alias = 304 + i
				p.Metrics = append(p.Metrics, m)
			}
		}, "at most 512"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := decode(t, sampleUnitBirth().Append(nil, 1))
			tt.change(p)
			got, err := sparkplug.ParseUnitBirth(tt.unit, p)
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, sparkplug.ErrForeign) {
				t.Errorf("ParseUnitBirth = %+v, %v; want an error with %q", got, err, tt.want)
			}
		})
	}
}

// TestBirthsPassOverWhatIsNew checks that an older collector reads the births of a
// newer agent.
func TestBirthsPassOverWhatIsNew(t *testing.T) {
	add := func(p *sparkplug.Payload) {
		p.Metrics = append([]sparkplug.Metric{{Name: "Andon/Invented", DataType: sparkplug.String, Value: sparkplug.StringValue("x")}}, p.Metrics...)
	}
	node, unit := decode(t, sampleNodeBirth().Append(nil)), decode(t, sampleUnitBirth().Append(nil, 1))
	add(node)
	add(unit)
	if got, err := sparkplug.ParseNodeBirth(node); err != nil || !reflect.DeepEqual(got, sampleNodeBirth()) {
		t.Errorf("ParseNodeBirth = %+v, %v", got, err)
	}
	if got, err := sparkplug.ParseUnitBirth("engine-1", unit); err != nil || !reflect.DeepEqual(got, sampleUnitBirth()) {
		t.Errorf("ParseUnitBirth = %+v, %v", got, err)
	}
}

func TestDeaths(t *testing.T) {
	for _, want := range []uint8{0, 1, 255} {
		p := decode(t, sparkplug.AppendNodeDeath(nil, now, want))
		if got, err := sparkplug.ParseNodeDeath(p); err != nil || got != want || p.HasSeq || p.Timestamp != now {
			t.Errorf("NDEATH %d: %d, %v, payload %+v", want, got, err, p)
		}
		p = decode(t, sparkplug.AppendUnitDeath(nil, now, want))
		if p.Seq != uint64(want) || !p.HasSeq || p.Timestamp != now || len(p.Metrics) != 0 {
			t.Errorf("DDEATH %d: %+v", want, p)
		}
	}
	// Other implementations write bdSeq as a UInt64, in either field.
	for _, v := range []sparkplug.Value{sparkplug.UlongValue(3), sparkplug.IntValue(3)} {
		p := &sparkplug.Payload{Metrics: []sparkplug.Metric{{Name: "bdSeq", DataType: sparkplug.UInt64, Value: v}}}
		if got, err := sparkplug.ParseNodeDeath(p); err != nil || got != 3 {
			t.Errorf("bdSeq of another: %d, %v", got, err)
		}
	}
	if _, err := sparkplug.ParseNodeDeath(&sparkplug.Payload{}); err == nil {
		t.Error("an NDEATH without a bdSeq is taken")
	}
}

func TestHeartbeatRoundTrip(t *testing.T) {
	want := sampleHeartbeat()
	p := decode(t, want.Append(nil, now, 8))
	if got, ok := sparkplug.ParseHeartbeat(p); !ok || got != want {
		t.Errorf("read %+v, %v; want %+v", got, ok, want)
	}
	if p.Seq != 8 || !p.HasSeq || p.Timestamp != now {
		t.Errorf("payload %+v", p)
	}
	for q := telemetry.TimeOK; q <= telemetry.TimeSource; q++ {
		h := sparkplug.Heartbeat{Clock: q}
		if got, _ := sparkplug.ParseHeartbeat(decode(t, h.Append(nil, now, 8))); got.Clock != q {
			t.Errorf("clock %v reads as %v", q, got.Clock)
		}
	}
	set("Andon/Clock", sparkplug.StringValue("a newer agent's"))(p)
	set("Andon/Stops", sparkplug.UlongValue(1<<40))(p)
	if got, _ := sparkplug.ParseHeartbeat(p); got.Clock != telemetry.TimeUnsynced || got.Stops != 1<<32-1 {
		t.Errorf("read %+v", got)
	}
}
