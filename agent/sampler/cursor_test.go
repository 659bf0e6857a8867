package sampler_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"reflect"
	"strings"
	"testing"

	"andon.internal/agent/sampler"
	"andon.internal/agent/source"
	"andon.internal/shared/telemetry"
)

func onlyPair(fp uint64) *telemetry.Profile {
	if fp == pair.Fingerprint() {
		return pair
	}
	return nil
}

// fleet is a mark with n runs.
func fleet(n int) sampler.Mark {
	r := sampler.Mark{Resume: source.Resume{Cursor: []byte(`{"version":1,"lines":4096}`)}}
	for i := range n {
		r.Runs = append(r.Runs, source.Run{
			Unit: fmt.Sprintf("engine-%04d", i), Profile: pair, Born: base + int64(i/7)*1e9, Count: uint64(i * 3),
		})
	}
	return r
}

func TestCursorRoundTrip(t *testing.T) {
	extreme := sampler.Mark{Skip: 1 << 24, Resume: source.Resume{Cursor: []byte{}, Runs: []source.Run{
		{Unit: strings.Repeat("a", 64), Profile: pair, Born: -1 << 63, Count: 1<<64 - 1},
		{Unit: strings.Repeat("b", 64), Profile: pair, Born: 1<<63 - 1},
	}}}
	for name, want := range map[string]sampler.Mark{
		"nothing": {}, "no runs": fleet(0), "one": fleet(1), "many": fleet(4096), "extreme": extreme,
	} {
		t.Run(name, func(t *testing.T) {
			b := sampler.EncodeMark(want)
			got, err := sampler.DecodeMark(b, onlyPair)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("came back as %+v, %v", got, err)
			}
			// The buffer takes cursors of up to 64 KiB.
			if len(b) > 64<<10 {
				t.Errorf("%d runs need %d bytes", len(want.Runs), len(b))
			}
		})
	}
}

func TestCursorDamaged(t *testing.T) {
	good := sampler.EncodeMark(fleet(3))
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 0x10
		if _, err := sampler.DecodeMark(bad, onlyPair); err == nil {
			t.Errorf("byte %d flipped: no error", i)
		}
		if _, err := sampler.DecodeMark(good[:i], onlyPair); err == nil {
			t.Errorf("cut to %d bytes: no error", i)
		}
	}
	newer := append([]byte(nil), good...)
	newer[0] = 2
	for want, decode := range map[string]func() (sampler.Mark, error){
		"has version 2 and this program reads version 1": func() (sampler.Mark, error) { return sampler.DecodeMark(newer, onlyPair) },
		"put state.db back": func() (sampler.Mark, error) {
			return sampler.DecodeMark(good, func(uint64) *telemetry.Profile { return nil })
		},
	} {
		if _, err := decode(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

// TestCursorRefused checks that a sampler does not begin again by itself when its
// cursor does not read back.
func TestCursorRefused(t *testing.T) {
	buf, ros := newMemory(), newRoster(t)
	buf.cursor["line1"] = []byte("damaged")
	src := &script{steps: twice()}
	sm, err := sampler.New(config(), src, buf, ros)
	if err != nil {
		t.Fatal(err)
	}
	runUntil(t, sm, "it says why it does not begin", func() bool { return sm.State().Err != nil && buf.looks() > 2 })
	if st := sm.State(); !errors.Is(st.Err, source.ErrRefused) || len(src.opened) != 0 || len(buf.items) != 0 {
		t.Errorf("state %+v, opened %d times, %d items", st, len(src.opened), len(buf.items))
	}
}

func FuzzCursor(f *testing.F) {
	good := sampler.EncodeMark(fleet(20))
	f.Add(good[:len(good)-4])
	f.Fuzz(func(t *testing.T, b []byte) {
		// The checksum is right, so that the rest is reached.
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
		r, err := sampler.DecodeMark(b, onlyPair)
		if err != nil {
			return
		}
		again, err := sampler.DecodeMark(sampler.EncodeMark(r), onlyPair)
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("second round: %+v, %v, want %+v", again, err, r)
		}
	})
}
