package alarm_test

import (
	"reflect"
	"strings"
	"testing"

	"andon.internal/shared/alarm"
	"andon.internal/shared/sentinel"
)

func sample() alarm.Alarm {
	return alarm.Alarm{
		ID: alarm.ID("hot", unit, onset), Rule: "hot", Priority: sentinel.Critical, Group: "plant", Node: "cell-01", Unit: "dyno-1",
		Condition: alarm.Active, Quality: alarm.Good, RaisedAt: begin, ActiveAt: begin.Add(5e9), OnsetAt: begin.Add(-1e9), Sequence: 1,
		Figures: []alarm.Figure{{Name: "hot", Value: 112.5}},
	}
}

func TestAlarmComesBack(t *testing.T) {
	a := sample()
	b, err := a.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := alarm.ParseAlarm(a.Topic(), b)
	if err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("%+v, %v, want %+v", got, err, a)
	}
	for name, c := range map[string]struct{ topic, payload string }{
		"another topic": {"andon/alarm/plant/x", string(b)},
		"another group": {"andon/alarm/plant2/" + a.ID, string(b)},
		"no JSON":       {a.Topic(), "hot"},
		"bad id":        {"andon/alarm/plant/x", strings.ReplaceAll(string(b), a.ID, "x")},
		"bad condition": {a.Topic(), strings.Replace(string(b), `"active"`, `"lively"`, 1)},
		"bad priority":  {a.Topic(), strings.Replace(string(b), `"critical"`, `"huge"`, 1)},
		"bad unit":      {a.Topic(), strings.Replace(string(b), "dyno-1", "dyno/1", 1)},
		"too long":      {a.Topic(), string(b) + strings.Repeat(" ", alarm.MaxPayload)},
	} {
		if got, err := alarm.ParseAlarm(c.topic, []byte(c.payload)); err == nil {
			t.Errorf("%s: taken as %+v", name, got)
		}
	}
}

func TestAcknowledgementComesBack(t *testing.T) {
	a := sample()
	k := alarm.Acknowledgement{ID: a.ID, By: "kim", Note: "on my way", At: begin}
	b, err := k.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := alarm.ParseAck(k.Topic(), b); err != nil || got != k {
		t.Errorf("%+v, %v", got, err)
	}
	for name, payload := range map[string]string{
		"nobody":      `{"id":"` + a.ID + `","by":"  "}`,
		"a long by":   `{"id":"` + a.ID + `","by":"` + strings.Repeat("k", alarm.MaxBy+1) + `"}`,
		"a long note": `{"id":"` + a.ID + `","by":"kim","note":"` + strings.Repeat("k", alarm.MaxNote+1) + `"}`,
		"another id":  `{"id":"` + strings.Repeat("0", 24) + `","by":"kim"}`,
		"no JSON":     `kim`,
	} {
		if got, err := alarm.ParseAck(k.Topic(), []byte(payload)); err == nil {
			t.Errorf("%s: taken as %+v", name, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	a := sample()
	b, _ := a.Append(nil)
	f.Add(a.Topic(), b)
	f.Add("andon/ack/"+a.ID, []byte(`{"id":"`+a.ID+`","by":"kim"}`))
	f.Fuzz(func(t *testing.T, topic string, payload []byte) {
		if got, err := alarm.ParseAlarm(topic, payload); err == nil && got.Topic() != topic {
			t.Errorf("alarm %+v of topic %q", got, topic)
		}
		if got, err := alarm.ParseAck(topic, payload); err == nil && (got.Topic() != topic || got.By == "") {
			t.Errorf("acknowledgement %+v of topic %q", got, topic)
		}
	})
}
