package sparkplug_test

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"andon.internal/shared/ranges"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

func TestAckText(t *testing.T) {
	e := epochA.String()
	tests := []struct {
		name string
		ack  sparkplug.Ack
		text string
	}{
		{"nothing yet", sparkplug.Ack{Credit: sparkplug.Credit{Records: 2, Bytes: 1 << 20}}, "w=2,1048576;db=ok"},
		{
			"one epoch, database away",
			sparkplug.Ack{
				Epochs: []sparkplug.EpochRanges{{Epoch: epochA, Committed: ranges.Of(ranges.Range{From: 0, To: 140}, ranges.Range{From: 150, To: 160})}},
				Credit: sparkplug.Credit{Records: 1, Bytes: 1}, DB: sparkplug.DBDown,
			},
			"e=" + e + ":[0,140)[150,160);w=1,1;db=down",
		},
		{
			"sync without a position",
			sparkplug.Ack{
				Epochs: []sparkplug.EpochRanges{{Epoch: epochA}}, Credit: sparkplug.Credit{Records: 64, Bytes: 8388608},
				Sync: &sparkplug.SyncPart{Session: math.MaxUint64, Part: 1, Of: 1},
			},
			"e=" + e + ":;w=64,8388608;db=ok;sync=18446744073709551615/1/1",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.ack.String(); got != tt.text {
				t.Errorf("String() = %q, want %q", got, tt.text)
			}
			if got, err := sparkplug.ParseAck(tt.text); err != nil || !reflect.DeepEqual(got, tt.ack) {
				t.Errorf("ParseAck = %+v, %v; want %+v", got, err, tt.ack)
			}
		})
	}
}

func TestParseAckRefuses(t *testing.T) {
	e := epochA.String()
	for name, text := range map[string]string{
		"nothing":                  "",
		"no credit":                "db=ok",
		"no database":              "w=1,1",
		"trailing separator":       "w=1,1;db=ok;",
		"no key":                   "w=1,1;db=ok;x",
		"unknown key":              "w=1,1;db=ok;x=1",
		"credit twice":             "w=1,1;w=2,2;db=ok",
		"database twice":           "w=1,1;db=ok;db=down",
		"sync twice":               "w=1,1;db=ok;sync=1/1/1;sync=1/1/1",
		"epoch twice":              "e=" + e + ":[0,1);e=" + e + ":[1,2);w=1,1;db=ok",
		"credit of no records":     "w=0,1;db=ok",
		"credit of no bytes":       "w=1,0;db=ok",
		"negative credit":          "w=-1,1;db=ok",
		"credit of one number":     "w=1;db=ok",
		"credit in MiB":            "w=64,8MiB;db=ok",
		"credit beyond int64":      "w=1,9223372036854775808;db=ok",
		"third database state":     "w=1,1;db=maybe",
		"epoch without ranges":     "e=" + e + ";w=1,1;db=ok",
		"bad epoch":                "e=x:[0,1);w=1,1;db=ok",
		"bad ranges":               "e=" + e + ":[0,1;w=1,1;db=ok",
		"sync part 0":              "w=1,1;db=ok;sync=1/0/1",
		"sync part beyond":         "w=1,1;db=ok;sync=1/2/1",
		"sync of too many":         "w=1,1;db=ok;sync=1/1/4097",
		"sync of two numbers":      "w=1,1;db=ok;sync=1/1",
		"sync of four numbers":     "w=1,1;db=ok;sync=1/1/1/1",
		"sync with a bad session":  "w=1,1;db=ok;sync=x/1/1",
		"too many ranges":          "e=" + e + ":" + strings.Repeat("[1,2)", sparkplug.MaxAckRanges+1) + ";w=1,1;db=ok",
		"longer than is ever sent": strings.Repeat("x", sparkplug.MaxAckText+1),
	} {
		t.Run(name, func(t *testing.T) {
			if a, err := sparkplug.ParseAck(text); err == nil {
				t.Errorf("ParseAck = %+v, want an error", a)
			} else if len(err.Error()) > 300 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
	var many strings.Builder
	for i := range sparkplug.MaxAckEpochs + 1 {
		many.WriteString("e=" + telemetry.Epoch{14: byte(i >> 8), 15: byte(i)}.String() + ":;")
	}
	if _, err := sparkplug.ParseAck(many.String() + "w=1,1;db=ok"); !errors.Is(err, sparkplug.ErrLimit) {
		t.Errorf("too many epochs: %v, want ErrLimit", err)
	}
}

// join puts the parts of a split acknowledgement together again.
func join(t *testing.T, parts []sparkplug.Ack) map[telemetry.Epoch]ranges.Set {
	t.Helper()
	all := make(map[telemetry.Epoch]ranges.Set)
	for _, p := range parts {
		for _, e := range p.Epochs {
			set := all[e.Epoch]
			if set.AddSet(e.Committed); len(p.Epochs) == 0 {
				t.Error("an epoch in no part")
			}
			all[e.Epoch] = set
		}
	}
	return all
}

func TestSplitAck(t *testing.T) {
	var ragged ranges.Set
	for i := range uint64(700) {
		ragged.Add(1000*i, 1000*i+1)
	}
	whole := sparkplug.Ack{Credit: sparkplug.Credit{Records: 9, Bytes: 99}, DB: sparkplug.DBDown}
	whole.Epochs = []sparkplug.EpochRanges{
		{Epoch: epochA, Committed: ragged},
		{Epoch: epochB},
		{Epoch: telemetry.Epoch{1}, Committed: ragged},
		{Epoch: telemetry.Epoch{2}, Committed: ranges.Of(ranges.Range{From: 0, To: 5})},
	}
	for _, tt := range []struct {
		name     string
		maxBytes int
		sync     bool
	}{{"one part", 1 << 20, true}, {"many parts", 500, true}, {"no sync", 300, false}, {"a range a part", 1, true}} {
		t.Run(tt.name, func(t *testing.T) {
			a := whole
			if tt.sync {
				a.Sync = &sparkplug.SyncPart{Session: 12}
			}
			parts := sparkplug.SplitAck(a, tt.maxBytes)
			for i, p := range parts {
				if text := p.String(); len(text) > tt.maxBytes && tt.maxBytes > 200 {
					t.Errorf("part %d has %d bytes", i, len(text))
				}
				if got, err := sparkplug.ParseAck(p.String()); err != nil || !reflect.DeepEqual(got, p) {
					t.Fatalf("part %d reads as %+v, %v", i, got, err)
				}
				if p.Credit != a.Credit || p.DB != a.DB {
					t.Errorf("part %d lacks the credit or the state: %+v", i, p)
				}
				if tt.sync && *p.Sync != (sparkplug.SyncPart{Session: 12, Part: i + 1, Of: len(parts)}) || !tt.sync && p.Sync != nil {
					t.Errorf("part %d of %d says %+v", i, len(parts), p.Sync)
				}
			}
			got := join(t, parts)
			for _, e := range a.Epochs {
				if set, ok := got[e.Epoch]; !ok || !set.Equal(e.Committed) {
					t.Errorf("epoch %s came as %v", e.Epoch.Short(), set)
				}
			}
			if tt.maxBytes > 1<<19 && len(parts) != 1 || tt.maxBytes == 500 && len(parts) < 10 {
				t.Errorf("%d parts", len(parts))
			}
		})
	}
	none := sparkplug.SplitAck(sparkplug.Ack{Credit: whole.Credit, Sync: &sparkplug.SyncPart{Session: 3}}, 100)
	if len(none) != 1 || *none[0].Sync != (sparkplug.SyncPart{Session: 3, Part: 1, Of: 1}) {
		t.Errorf("an empty answer is split into %+v", none)
	}
}

func TestCommands(t *testing.T) {
	c, err := sparkplug.ParseCommand(decode(t, sparkplug.AppendRebirth(nil, now)))
	if err != nil || !c.Rebirth || c.Ack != nil {
		t.Errorf("rebirth reads as %+v, %v", c, err)
	}
	want := sampleAck()
	c, err = sparkplug.ParseCommand(decode(t, sparkplug.AppendAck(nil, now, want)))
	if err != nil || c.Rebirth || !reflect.DeepEqual(c.Ack, &want) {
		t.Errorf("acknowledgement reads as %+v, %v", c, err)
	}
	metric := func(name string, v sparkplug.Value) sparkplug.Metric { return sparkplug.Metric{Name: name, Value: v} }
	ack := metric("Andon/Ack", sparkplug.StringValue("w=1,1;db=ok"))
	tests := []struct {
		name    string
		metrics []sparkplug.Metric
		want    sparkplug.Command
		ok      bool
	}{
		{"nothing", nil, sparkplug.Command{}, true},
		{"somebody else's", []sparkplug.Metric{metric("Node Control/Reboot", sparkplug.BoolValue(true))}, sparkplug.Command{}, true},
		{"rebirth of false", []sparkplug.Metric{metric("Node Control/Rebirth", sparkplug.BoolValue(false))}, sparkplug.Command{}, true},
		{"rebirth of a number", []sparkplug.Metric{metric("Node Control/Rebirth", sparkplug.IntValue(1))}, sparkplug.Command{}, false},
		{"both", []sparkplug.Metric{metric("Node Control/Rebirth", sparkplug.BoolValue(true)), ack}, sparkplug.Command{
			Rebirth: true, Ack: &sparkplug.Ack{Credit: sparkplug.Credit{Records: 1, Bytes: 1}},
		}, true},
		{"two acknowledgements", []sparkplug.Metric{ack, ack}, sparkplug.Command{}, false},
		{"acknowledgement of a number", []sparkplug.Metric{metric("Andon/Ack", sparkplug.IntValue(1))}, sparkplug.Command{}, false},
		{"malformed acknowledgement", []sparkplug.Metric{metric("Andon/Ack", sparkplug.StringValue("w"))}, sparkplug.Command{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := sparkplug.ParseCommand(&sparkplug.Payload{Metrics: tt.metrics})
			if (err == nil) != tt.ok || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("ParseCommand = %+v, %v; want %+v, ok %v", got, err, tt.want, tt.ok)
			}
		})
	}
}

func TestState(t *testing.T) {
	for _, want := range []sparkplug.State{{Online: true, Timestamp: now}, {Timestamp: 0}, {Timestamp: math.MinInt64}} {
		if got, err := sparkplug.ParseState(want.Append(nil)); err != nil || got != want {
			t.Errorf("ParseState = %+v, %v; want %+v", got, err, want)
		}
	}
	if got, err := sparkplug.ParseState([]byte(` {"timestamp": 5, "online": true, "bdSeq": 3} `)); err != nil || got != (sparkplug.State{Online: true, Timestamp: 5}) {
		t.Errorf("that of another host: %+v, %v", got, err)
	}
	for name, text := range map[string]string{
		"nothing":           "",
		"Sparkplug 2":       "ONLINE",
		"no timestamp":      `{"online":true}`,
		"no online":         `{"timestamp":1}`,
		"online as text":    `{"online":"true","timestamp":1}`,
		"fraction":          `{"online":true,"timestamp":1.5}`,
		"two objects":       `{"online":true,"timestamp":1}{}`,
		"cut off":           `{"online":true,"timestamp":1`,
		"not UTF-8":         "\xff",
		"longer than usual": `{"online":true,"timestamp":1}` + strings.Repeat(" ", 1024),
	} {
		if got, err := sparkplug.ParseState([]byte(text)); err == nil {
			t.Errorf("%s reads as %+v", name, got)
		}
	}
}
