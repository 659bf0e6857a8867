package format_test

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

	"andon.internal/agent/buffer/internal/format"
)

var update = flag.Bool("update", false, "write the golden files anew")

// record is an envelope and what is in it.
type record struct {
	format.Envelope
	data []byte
}

// stored is the record's stored form.
func (r *record) stored() []byte {
	v := r.Envelope
	if v.Length, v.Payload = len(r.data), format.Pack(r.data); v.Payload != nil {
		v.Packed = true
	} else {
		v.Payload = r.data
	}
	return v.AppendTo(nil)
}

// parse is the inverse of stored.
func parse(b []byte) (r record, err error) {
	if r.Envelope, err = format.ParseEnvelope(b); err != nil {
		return r, err
	}
	r.data, err = r.Data()
	r.Length, r.Packed, r.Payload = 0, false, nil
	return r, err
}

var goldenRecords = map[string]record{
	"empty": {format.Envelope{}, []byte{}},
	"plain": {format.Envelope{
		Key:   format.Key{Epoch: format.Epoch{1, 2, 15: 16}, Position: 1<<63 - 2},
		Class: format.Alarm, Label: "engine-1", Rows: 3, First: -1, Last: 1_700_000_000_000_000_000,
		Appended: 1_700_000_000_000_000_001,
	}, []byte("winding 140 C")},
	"packed": {format.Envelope{
		Key:   format.Key{Epoch: format.Epoch{15: 1}, Position: 7},
		Label: "a", Rows: 40, First: 5, Last: 6, Appended: 9,
	}, bytes.Repeat([]byte("torque "), 40)},
	"moved": {format.Envelope{
		Key:   format.Key{Epoch: format.Epoch{15: 2}, Position: 0},
		Label: "a", Rows: 40, First: 5, Last: 6, Appended: 9, Moved: true,
	}, bytes.Repeat([]byte("torque "), 40)},
}

// TestEnvelopeGolden: what this version wrote, every later one reads; and only what was
// moved is written so that an earlier one does not read it.
func TestEnvelopeGolden(t *testing.T) {
	for name, g := range goldenRecords {
		path := filepath.Join("testdata", "envelope-"+name+".hex")
		if *update {
			if err := os.WriteFile(path, []byte(hex.EncodeToString(g.stored())+"\n"), 0o600); err != nil {
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
		if got, err := parse(b); err != nil || !reflect.DeepEqual(got, g) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if version := g.stored()[3]; (version == 1) == g.Moved {
			t.Errorf("%s is written in format %d", name, version)
		}
	}
}

// TestEnvelopeDamage: no change of a byte and no cut goes unseen.
func TestEnvelopeDamage(t *testing.T) {
	for name, g := range goldenRecords {
		whole := g.stored()
		for i := range whole {
			for _, bit := range []byte{0x01, 0x80} {
				b := bytes.Clone(whole)
				b[i] ^= bit
				if _, err := parse(b); err == nil {
					t.Errorf("%s: a change of byte %d goes unseen", name, i)
				}
			}
			if _, err := parse(whole[:i]); !errors.Is(err, format.ErrDamaged) {
				t.Errorf("%s: cut to %d bytes: %v", name, i, err)
			}
		}
	}
}

// TestNewerFormatIsNotDamage: what a newer version wrote is refused, and a format that is
// only broken is damage: the record must not stop all behind it.
func TestNewerFormatIsNotDamage(t *testing.T) {
	g := goldenRecords["plain"]
	b := g.stored()
	b[3] = 9
	if _, err := parse(b); !errors.Is(err, format.ErrDamaged) {
		t.Errorf("a broken format: %v", err)
	}
	body := b[:len(b)-4]
	b = binary.LittleEndian.AppendUint32(body, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	if _, err := parse(b); err == nil || errors.Is(err, format.ErrDamaged) {
		t.Errorf("a newer format: %v", err)
	}
}

func FuzzEnvelope(f *testing.F) {
	for _, g := range goldenRecords {
		f.Add(g.stored())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parse(b)
		if err != nil {
			return
		}
		again, err := parse(r.stored())
		if err != nil || !reflect.DeepEqual(again.Envelope, r.Envelope) || !bytes.Equal(again.data, r.data) {
			t.Errorf("%+v came back as %+v, %v", r, again, err)
		}
	})
}
