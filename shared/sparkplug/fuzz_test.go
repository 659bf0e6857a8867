package sparkplug_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/sparkplug/internal/sparkplugpb"
	"andon.internal/shared/telemetry"
)

// addMessages seeds a fuzz target with every message that Andon sends.
func addMessages(f *testing.F) {
	files, err := filepath.Glob("testdata/*.bin")
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden messages: %v", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(everything().Append(nil))
}

// mustNotFault: an error is an answer, a panic that was turned into one is not.
func mustNotFault(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, sparkplug.ErrFault) {
		t.Fatal(err)
	}
}

// FuzzDecode compares the hand-written codec with generated code on any bytes: what
// we take, it takes; and what we write again, both read as the same.
func FuzzDecode(f *testing.F) {
	addMessages(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := sparkplug.Decode(b, sparkplug.Limits{})
		mustNotFault(t, err)
		if err != nil {
			return
		}
		theirs := &sparkplugpb.Payload{}
		if err := proto.Unmarshal(b, theirs); err == nil {
			if len(theirs.Metrics) != len(p.Metrics) || theirs.GetTimestamp() != p.Timestamp || theirs.GetUuid() != p.UUID ||
				(theirs.Seq != nil) != p.HasSeq || string(theirs.Body) != string(p.Body) {
				t.Fatalf("read %+v, generated code reads %v", p, theirs)
			}
			for i, m := range theirs.Metrics {
				got := &p.Metrics[i]
				if m.GetName() != got.Name || m.GetAlias() != got.Alias || m.GetTimestamp() != got.Timestamp ||
					m.GetIsNull() != got.Null || m.GetDatatype() != uint32(got.DataType) {
					t.Fatalf("metric %d reads %+v, generated code reads %v", i, got, m)
				}
			}
		}
		// What reads a payload must take any; an error is an answer too.
		_, _ = sparkplug.ParseNodeDeath(p)
		_, _ = sparkplug.ParseCommand(p)
		_, _ = sparkplug.ParseHeartbeat(p)
		again, err := sparkplug.Decode(p.Append(nil), sparkplug.Limits{Message: 1 << 30})
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("%+v is written and read as %+v, %v", p, again, err)
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	addMessages(f)
	p := mixed()
	f.Fuzz(func(t *testing.T, b []byte) {
		layout := sparkplug.Layout{Profile: p, FirstAlias: 300}
		h, r, historical, err := sparkplug.DecodeRecord(b, "engine-1", layout, sparkplug.Limits{})
		mustNotFault(t, err)
		if err != nil {
			return
		}
		if err := r.Check(); err != nil {
			t.Fatalf("a record that fails its check is taken: %v", err)
		}
		env, err := sparkplug.Peek(b)
		if err != nil || env.Header != h || env.Rows != r.Len() || env.Count != r.Count || env.Born != r.Born || env.Ends != (r.End != nil) {
			t.Fatalf("Peek = %+v, %v; the record is %+v %+v", env, err, h, r)
		}
		msg := sparkplug.AppendRecord(nil, h, r, 300, now, 1, historical)
		h2, r2, historical2, err := sparkplug.DecodeRecord(msg, "engine-1", layout, sparkplug.Limits{})
		if err != nil || h2 != h || historical2 != historical || !reflect.DeepEqual(r2, r) {
			t.Fatalf("%+v %+v is written and read as %+v %+v, %v", h, r, h2, r2, err)
		}
	})
}

func FuzzPeek(f *testing.F) {
	addMessages(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		env, err := sparkplug.Peek(b)
		mustNotFault(t, err)
		if err != nil {
			return
		}
		if env.Epoch.IsZero() || env.Position > 1<<63-2 || env.Rows > len(b) {
			t.Fatalf("Peek = %+v", env)
		}
	})
}

func FuzzDecodeLoss(f *testing.F) {
	addMessages(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, l, err := sparkplug.DecodeLoss(b, sparkplug.Limits{})
		mustNotFault(t, err)
		if err != nil {
			return
		}
		h2, l2, err := sparkplug.DecodeLoss(sparkplug.AppendLoss(nil, h, l, now, 1), sparkplug.Limits{Message: 1 << 30})
		if err != nil || h2 != h || !reflect.DeepEqual(l2, l) {
			t.Fatalf("%+v %+v is written and read as %+v %+v, %v", h, l, h2, l2, err)
		}
	})
}

func FuzzParseNodeBirth(f *testing.F) {
	addMessages(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := sparkplug.Decode(b, sparkplug.Limits{})
		mustNotFault(t, err)
		if err != nil {
			return
		}
		birth, err := sparkplug.ParseNodeBirth(p)
		if err != nil {
			return
		}
		again, err := sparkplug.ParseNodeBirth(decode(t, birth.Append(nil)))
		if err != nil {
			t.Fatalf("%+v is written and not read: %v", birth, err)
		}
		for i, c := range birth.Chain { // what is held may only grow
			if missing := c.Held.Clone(); missing.RemoveSet(again.Chain[i].Held) != c.Held.Len() {
				t.Fatalf("held %v is written and read as %v", c.Held, again.Chain[i].Held)
			}
			again.Chain[i].Held = c.Held
		}
		if !reflect.DeepEqual(again, birth) {
			t.Fatalf("%+v is written and read as %+v", birth, again)
		}
	})
}

func FuzzParseUnitBirth(f *testing.F) {
	addMessages(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := sparkplug.Decode(b, sparkplug.Limits{})
		mustNotFault(t, err)
		if err != nil {
			return
		}
		birth, err := sparkplug.ParseUnitBirth("engine-1", p)
		if err != nil {
			return
		}
		if err := birth.Profile.Check(); err != nil {
			t.Fatalf("a profile that fails its check is taken: %v", err)
		}
		msg := birth.Append(nil, 1)
		again, err := sparkplug.ParseUnitBirth("engine-1", decode(t, msg))
		if err != nil || string(again.Append(nil, 1)) != string(msg) {
			t.Fatalf("%+v is written and read as %+v, %v", birth, again, err)
		}
	})
}

func FuzzParseAck(f *testing.F) {
	f.Add(sampleAck().String())
	f.Add("w=1,1;db=down")
	f.Add("e=" + epochA.String() + ":[3,9)[0,5);w=1,1;db=ok;sync=1/1/1")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := sparkplug.ParseAck(text)
		if err != nil {
			return
		}
		again, err := sparkplug.ParseAck(a.String())
		if err != nil || !reflect.DeepEqual(again, a) {
			t.Fatalf("%+v is written and read as %+v, %v", a, again, err)
		}
		seen := make(map[telemetry.Epoch]bool)
		for _, part := range sparkplug.SplitAck(a, 200) {
			for _, e := range part.Epochs {
				seen[e.Epoch] = true
			}
		}
		if len(seen) != len(a.Epochs) {
			t.Fatalf("%+v is split into %d of its epochs", a, len(seen))
		}
	})
}

func FuzzParseTopic(f *testing.F) {
	f.Add("spBv1.0/line1/DDATA/cell-07/u1")
	f.Add("spBv1.0/STATE/andon")
	f.Add("spBv1.0/g/NBIRTH/n")
	f.Fuzz(func(t *testing.T, text string) {
		topic, err := sparkplug.ParseTopic(text)
		if err == nil && topic.String() != text {
			t.Fatalf("%q reads as %+v, which is %q", text, topic, topic.String())
		}
	})
}

func FuzzParseState(f *testing.F) {
	f.Add([]byte(`{"online":true,"timestamp":1767323045678}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := sparkplug.ParseState(b)
		if err != nil {
			return
		}
		if again, err := sparkplug.ParseState(s.Append(nil)); err != nil || again != s {
			t.Fatalf("%+v is written and read as %+v, %v", s, again, err)
		}
	})
}
