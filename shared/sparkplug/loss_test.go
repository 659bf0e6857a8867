package sparkplug_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/sparkplug/internal/sparkplugpb"
	"andon.internal/shared/telemetry"
)

func TestLossRoundTrip(t *testing.T) {
	bare := telemetry.Loss{Epoch: epochA, From: 0, To: 1, Reason: "a newer reason"}
	for name, want := range map[string]telemetry.Loss{"full": sampleLoss(), "bare": bare} {
		t.Run(name, func(t *testing.T) {
			b := sparkplug.AppendLoss([]byte("before"), sampleHeader(), want, now, 4)[len("before"):]
			h, got, err := sparkplug.DecodeLoss(b, sparkplug.Limits{})
			if err != nil || h != sampleHeader() || !reflect.DeepEqual(got, want) {
				t.Errorf("read %+v %+v, %v; want %+v", h, got, err, want)
			}
			clear(b)
			if !reflect.DeepEqual(got, want) {
				t.Error("the loss changed with the message it was read from")
			}
		})
	}
	env, err := sparkplug.Peek(sparkplug.AppendLoss(nil, sampleHeader(), sampleLoss(), now, 4))
	want := sparkplug.Envelope{UUID: sparkplug.LossUUID, Timestamp: now, Seq: 4, HasSeq: true, Header: sampleHeader()}
	if err != nil || env != want {
		t.Errorf("Peek = %+v, %v; want %+v", env, err, want)
	}
}

// lossMessage is the message of sampleLoss, built with generated code.
func lossMessage(t *testing.T, change func(*sparkplugpb.Body)) *sparkplugpb.Payload {
	l, h := sampleLoss(), sampleHeader()
	body := &sparkplugpb.Body{
		Epoch: h.Epoch[:], Position: &h.Position, Session: &h.Session, SentBoot: proto.Uint64(uint64(h.SentBoot)),
		Loss: &sparkplugpb.Loss{
			Epoch: l.Epoch[:], From: &l.From, To: &l.To, Reason: proto.String(string(l.Reason)), Units: l.Units,
			Readings: &l.Readings, First: &l.First, Last: &l.Last,
		},
	}
	change(body)
	return &sparkplugpb.Payload{
		Timestamp: proto.Uint64(now), Seq: proto.Uint64(4), Uuid: proto.String(sparkplug.LossUUID), Body: marshal(t, body),
	}
}

func TestLossAgainstGeneratedCode(t *testing.T) {
	theirs := lossMessage(t, func(*sparkplugpb.Body) {})
	h, got, err := sparkplug.DecodeLoss(marshal(t, theirs), sparkplug.Limits{})
	if err != nil || h != sampleHeader() || !reflect.DeepEqual(got, sampleLoss()) {
		t.Errorf("read %+v %+v, %v", h, got, err)
	}
	ours := generated(t, sparkplug.AppendLoss(nil, sampleHeader(), sampleLoss(), now, 4))
	body, want := generatedBody(t, ours), generatedBody(t, theirs)
	if !proto.Equal(body, want) {
		t.Errorf("generated code reads\n%v\nwant\n%v", body, want)
	}
}

func TestDecodeLossRefuses(t *testing.T) {
	loss := func(change func(*sparkplugpb.Loss)) func(*sparkplugpb.Body) {
		return func(b *sparkplugpb.Body) { change(b.Loss) }
	}
	tests := []struct {
		name   string
		change func(*sparkplugpb.Body)
		want   string
	}{
		{"no loss", func(b *sparkplugpb.Body) { b.Loss = nil }, "no loss"},
		{"no identity", func(b *sparkplugpb.Body) { b.Epoch = nil }, "epoch is not there"},
		{"no epoch", loss(func(l *sparkplugpb.Loss) { l.Epoch = nil }), "lost epoch"},
		{"short epoch", loss(func(l *sparkplugpb.Loss) { l.Epoch = l.Epoch[1:] }), "not 16"},
		{"empty range", loss(func(l *sparkplugpb.Loss) { l.To = l.From }), "no range"},
		{"range beyond the highest", loss(func(l *sparkplugpb.Loss) { l.To = proto.Uint64(1 << 63) }), "no range"},
		{"no reason", loss(func(l *sparkplugpb.Loss) { l.Reason = nil }), "reason"},
		{"long reason", loss(func(l *sparkplugpb.Loss) { l.Reason = proto.String(strings.Repeat("x", 65)) }), "reason"},
		{"bad unit", loss(func(l *sparkplugpb.Loss) { l.Units[1] = "a/b" }), "unit id"},
		{"readings of 64 bits", loss(func(l *sparkplugpb.Loss) { l.Readings = proto.Uint64(1 << 63) }), "63 bits"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, got, err := sparkplug.DecodeLoss(marshal(t, lossMessage(t, tt.change)), sparkplug.Limits{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("DecodeLoss = %+v, %v; want an error with %q", got, err, tt.want)
			}
		})
	}
	many := sampleLoss()
	many.Units = make([]string, sparkplug.MaxLossUnits+5)
	for i := range many.Units {
		many.Units[i] = "u"
	}
	b := sparkplug.AppendLoss(nil, sampleHeader(), many, now, 4)
	if _, got, err := sparkplug.DecodeLoss(b, sparkplug.Limits{}); err != nil || len(got.Units) != sparkplug.MaxLossUnits {
		t.Errorf("%d units, %v", len(got.Units), err)
	}
	if _, _, err := sparkplug.DecodeLoss(b, sparkplug.Limits{Message: 100}); !errors.Is(err, sparkplug.ErrLimit) {
		t.Errorf("a long message: %v, want ErrLimit", err)
	}
}
