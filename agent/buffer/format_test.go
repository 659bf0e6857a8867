package buffer_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"andon.internal/agent/buffer"
)

var update = flag.Bool("update", false, "write the golden files anew")

var goldenRecords = []struct {
	name string
	buffer.Stored
}{
	{"empty", buffer.Stored{Data: []byte{}, Appended: time.Unix(0, 0)}},
	{"plain", buffer.Stored{
		Key:   buffer.Key{Epoch: buffer.Epoch{1, 2, 15: 16}, Position: 1<<63 - 2},
		Class: buffer.Alarm, Data: []byte("winding 140 C"), Label: "engine-1", Rows: 3, First: -1, Last: 1_700_000_000_000_000_000,
		Appended: time.Unix(0, 1_700_000_000_000_000_001),
	}},
	{"packed", buffer.Stored{
		Key:  buffer.Key{Epoch: buffer.Epoch{15: 1}, Position: 7},
		Data: bytes.Repeat([]byte("torque "), 40), Label: "a", Rows: 40, First: 5, Last: 6, Appended: time.Unix(0, 9),
	}},
	{"moved", buffer.Stored{
		Key:  buffer.Key{Epoch: buffer.Epoch{15: 2}, Position: 0},
		Data: bytes.Repeat([]byte("torque "), 40), Label: "a", Rows: 40, First: 5, Last: 6, Appended: time.Unix(0, 9), Moved: true,
	}},
}

// TestEnvelopeGolden: what this version wrote, every later one reads; and only what was
// moved is written so that an earlier one does not read it.
func TestEnvelopeGolden(t *testing.T) {
	for _, g := range goldenRecords {
		path := filepath.Join("testdata", "envelope-"+g.name+".hex")
		if *update {
			if err := os.WriteFile(path, []byte(hex.EncodeToString(buffer.Envelope(g.Stored))+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := buffer.ParseEnvelope(b); err != nil || !reflect.DeepEqual(got, g.Stored) {
			t.Errorf("%s: %+v, %v", g.name, got, err)
		}
		if version := buffer.Envelope(g.Stored)[3]; (version == 1) == g.Moved {
			t.Errorf("%s is written in format %d", g.name, version)
		}
	}
}

// TestEnvelopeDamage: no change of a byte and no cut goes unseen.
func TestEnvelopeDamage(t *testing.T) {
	for _, g := range goldenRecords {
		whole := buffer.Envelope(g.Stored)
		for i := range whole {
			for _, bit := range []byte{0x01, 0x80} {
				b := bytes.Clone(whole)
				b[i] ^= bit
				if _, err := buffer.ParseEnvelope(b); err == nil {
					t.Errorf("%s: a change of byte %d goes unseen", g.name, i)
				}
			}
			if _, err := buffer.ParseEnvelope(whole[:i]); !errors.Is(err, buffer.ErrDamaged) {
				t.Errorf("%s: cut to %d bytes: %v", g.name, i, err)
			}
		}
	}
}

// TestNewerFormatIsNotDamage: what a newer version wrote is refused, and a format that is
// only broken is damage: the record must not stop all behind it.
func TestNewerFormatIsNotDamage(t *testing.T) {
	b := buffer.Envelope(goldenRecords[1].Stored)
	b[3] = 9
	if _, err := buffer.ParseEnvelope(b); !errors.Is(err, buffer.ErrDamaged) {
		t.Errorf("a broken format: %v", err)
	}
	body := b[:len(b)-4]
	b = binary.LittleEndian.AppendUint32(body, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	if _, err := buffer.ParseEnvelope(b); err == nil || errors.Is(err, buffer.ErrDamaged) {
		t.Errorf("a newer format: %v", err)
	}
}

func FuzzEnvelope(f *testing.F) {
	for _, g := range goldenRecords {
		f.Add(buffer.Envelope(g.Stored))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := buffer.ParseEnvelope(b)
		if err != nil {
			return
		}
		again, err := buffer.ParseEnvelope(buffer.Envelope(s))
		if again.Data == nil {
			again.Data = s.Data[:0]
		}
		if err != nil || !reflect.DeepEqual(again, s) {
			t.Errorf("%+v came back as %+v, %v", s, again, err)
		}
	})
}

var goldenLoss = buffer.LossInfo{
	Epoch: buffer.Epoch{1, 15: 2}, From: 3, To: 1 << 40, Reason: buffer.ReasonOverflow,
	Labels: []string{"engine-1", "engine-2"}, Rows: 12345, First: -7, Last: 1 << 60,
}

func TestLossGolden(t *testing.T) {
	const want = "010100000000000000000000000000000203808080808020086f766572666c6f77b9600d80808080808080802002" +
		"08656e67696e652d3108656e67696e652d32"
	if got := hex.EncodeToString(buffer.EncodeLoss(goldenLoss)); got != want {
		t.Errorf("encoded as %s, want %s", got, want)
	}
	b, err := hex.DecodeString(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := buffer.DecodeLoss(b); err != nil || !reflect.DeepEqual(got, goldenLoss) {
		t.Errorf("decoded as %+v, %v", got, err)
	}
	for i := range b {
		if l, err := buffer.DecodeLoss(b[:i]); err == nil {
			t.Errorf("cut to %d bytes: %+v", i, l)
		}
	}
	if l, err := buffer.DecodeLoss(append(b, 0)); err == nil {
		t.Errorf("a byte too many: %+v", l)
	}
}

func FuzzDecodeLoss(f *testing.F) {
	f.Add(buffer.EncodeLoss(goldenLoss))
	f.Add(buffer.EncodeLoss(buffer.LossInfo{To: 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := buffer.DecodeLoss(b)
		if err != nil {
			return
		}
		again, err := buffer.DecodeLoss(buffer.EncodeLoss(l))
		if err != nil || !reflect.DeepEqual(again, l) {
			t.Errorf("%+v came back as %+v, %v", l, again, err)
		}
	})
}

// FuzzCheckTree: no file makes the check of its pages panic or run for ever.
func FuzzCheckTree(f *testing.F) {
	dir := f.TempDir()
	b, err := buffer.Open(small(dir))
	if err != nil {
		f.Fatal(err)
	}
	if _, err := b.Append(items(1, 2, 3), nil); err != nil {
		f.Fatal(err)
	}
	if err := b.Close(); err != nil {
		f.Fatal(err)
	}
	for _, path := range append(recordFiles(f, dir), filepath.Join(dir, "chain.db")) {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		if err := buffer.CheckTree(path); err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x.db")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_ = buffer.CheckTree(path)
	})
}
