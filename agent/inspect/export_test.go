package inspect_test

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/agent/inspect"
	"andon.internal/agent/record"
	"andon.internal/shared/telemetry"
)

func profile(name string, signals ...telemetry.Signal) *telemetry.Profile {
	return &telemetry.Profile{Name: name, Version: 1, Signals: signals}
}

var (
	press = profile("press", telemetry.Signal{Name: "force_kn", Type: telemetry.Double}, telemetry.Signal{Name: "on", Type: telemetry.Boolean})
	oven  = profile("oven", telemetry.Signal{Name: "on", Type: telemetry.Boolean}, telemetry.Signal{Name: "strokes", Type: telemetry.Integer})
	alien = profile("alien", telemetry.Signal{Name: "x", Type: telemetry.Double})
)

// begin is the time of the first reading.
var begin = time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)

// stored is a record with a reading a second.
func stored(position uint64, unit string, p *telemetry.Profile, rows ...[]telemetry.Value) *buffer.Stored {
	r := telemetry.Record{Profile: p, Unit: unit, Born: begin.UnixNano()}
	for i, row := range rows {
		r.Append(begin.Add(time.Duration(i)*time.Second).UnixNano(), telemetry.QualitySimulated, row)
	}
	return &buffer.Stored{
		Key: buffer.Key{Epoch: buffer.Epoch{1}, Position: position}, Data: record.Append(nil, &r), Label: unit, Rows: len(rows),
		First: r.Times[0], Last: r.Times[len(rows)-1], OnDisk: position < 3,
	}
}

func records() []*buffer.Stored {
	yes, no, none := telemetry.BooleanValue(true), telemetry.BooleanValue(false), telemetry.Value{}
	return []*buffer.Stored{
		stored(0, "press-1", press, []telemetry.Value{telemetry.DoubleValue(0.1), yes}, []telemetry.Value{none, no}),
		stored(1, "oven-1", oven, []telemetry.Value{yes, telemetry.IntegerValue(math.MaxInt64)}),
		stored(0, "press-1", press, []telemetry.Value{telemetry.DoubleValue(0.1), yes}, []telemetry.Value{none, no}), // in a second file
		stored(2, "alien-1", alien, []telemetry.Value{telemetry.DoubleValue(1)}),
		{Key: buffer.Key{Epoch: buffer.Epoch{1}, Position: 3}, Class: buffer.Loss, Data: []byte("loss")},
		stored(4, "press-1", press, []telemetry.Value{telemetry.DoubleValue(math.Inf(1)), yes}),
	}
}

func TestExport(t *testing.T) {
	known := map[uint64]*telemetry.Profile{press.Fingerprint(): press, oven.Fingerprint(): oven}
	for name, tc := range map[string]struct {
		format string
		filter inspect.Filter
		want   string
		tally  inspect.Tally
	}{
		"csv": {"csv", inspect.Filter{}, `epoch,position,row,unit,born,time,quality,force_kn,on,strokes
ID,0,0,press-1,2026-01-02T03:04:05.0000006Z,2026-01-02T03:04:05.0000006Z,simulated,0.1,true,
ID,0,1,press-1,2026-01-02T03:04:05.0000006Z,2026-01-02T03:04:06.0000006Z,simulated,,false,
ID,1,0,oven-1,2026-01-02T03:04:05.0000006Z,2026-01-02T03:04:05.0000006Z,simulated,,true,9223372036854775807
ID,4,0,press-1,2026-01-02T03:04:05.0000006Z,2026-01-02T03:04:05.0000006Z,simulated,+Inf,true,
`, inspect.Tally{Records: 3, Readings: 4, Unknown: 1}},
		"unit": {"csv", inspect.Filter{Unit: "oven-1"}, `epoch,position,row,unit,born,time,quality,on,strokes
ID,1,0,oven-1,2026-01-02T03:04:05.0000006Z,2026-01-02T03:04:05.0000006Z,simulated,true,9223372036854775807
`, inspect.Tally{Records: 1, Readings: 1}},
		"time": {
			"json",
			inspect.Filter{From: begin.Add(time.Second), To: begin.Add(2 * time.Second)},
			`{"epoch":"ID","position":0,"row":1,"on_disk":true,"unit":"press-1","born":"2026-01-02T03:04:05.0000006Z","time":"2026-01-02T03:04:06.0000006Z","quality":"simulated","profile":"press","values":{"force_kn":null,"on":false}}
`,
			inspect.Tally{Records: 1, Readings: 1},
		},
		"before": {"csv", inspect.Filter{To: begin}, "epoch,position,row,unit,born,time,quality\n", inspect.Tally{}},
		"json": {
			"json",
			inspect.Filter{Unit: "press-1", To: begin.Add(1)},
			`{"epoch":"ID","position":0,"row":0,"on_disk":true,"unit":"press-1","born":"2026-01-02T03:04:05.0000006Z","time":"2026-01-02T03:04:05.0000006Z","quality":"simulated","profile":"press","values":{"force_kn":0.1,"on":true}}
{"epoch":"ID","position":4,"row":0,"on_disk":false,"unit":"press-1","born":"2026-01-02T03:04:05.0000006Z","time":"2026-01-02T03:04:05.0000006Z","quality":"simulated","profile":"press","values":{"force_kn":"+Inf","on":true}}
`,
			inspect.Tally{Records: 2, Readings: 2},
		},
	} {
		t.Run(name, func(t *testing.T) {
			occurring := inspect.Occurring{Filter: tc.filter, Profiles: known}
			for _, s := range records() {
				occurring.Add(s)
			}
			var out bytes.Buffer
			e, err := inspect.NewExporter(tc.format, &out, tc.filter, known, occurring.Found())
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range records() {
				if err := e.Add(s); err != nil {
					t.Fatal(err)
				}
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			want := strings.ReplaceAll(tc.want, "ID", telemetry.Epoch{1}.String())
			if out.String() != want {
				t.Errorf("got\n%swant\n%s", out.String(), want)
			}
			if e.Records != tc.tally.Records || e.Readings != tc.tally.Readings || e.Unknown != tc.tally.Unknown || (e.Why == "") != (e.Unknown == 0) {
				t.Errorf("tally %+v, want %+v", e.Tally, tc.tally)
			}
		})
	}
	if _, err := inspect.NewExporter("xml", &bytes.Buffer{}, inspect.Filter{}, known, nil); err == nil {
		t.Error("xml is taken")
	}
}

func TestAProfileThatCameMeanwhileIsTold(t *testing.T) {
	known := map[uint64]*telemetry.Profile{press.Fingerprint(): press, oven.Fingerprint(): oven}
	var out bytes.Buffer
	e, err := inspect.NewExporter("csv", &out, inspect.Filter{}, known, []*telemetry.Profile{press})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range records() {
		if err := e.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	if e.Unknown != 2 || e.Readings != 3 {
		t.Errorf("%+v", e.Tally)
	}
}

func TestTheLifeOfACard(t *testing.T) {
	for name, tc := range map[string]struct {
		card inspect.Card
		want float64
	}{
		"a day of 1 GB of 10 GB": {inspect.Card{RunningSeconds: 86400, DeviceBytes: 1e9, Endurance: 10e9}, 9 * 86400},
		"too short":              {inspect.Card{RunningSeconds: 60, DeviceBytes: 1e9, Endurance: 10e9}, 0},
		"nothing written":        {inspect.Card{RunningSeconds: 86400, Endurance: 10e9}, 0},
		"over":                   {inspect.Card{RunningSeconds: 86400, DeviceBytes: 11e9, Endurance: 10e9}, 1},
	} {
		if tc.card.Project(); tc.card.LifeSeconds != tc.want {
			t.Errorf("%s: %v seconds, want %v", name, tc.card.LifeSeconds, tc.want)
		}
	}
}
