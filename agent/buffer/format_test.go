package buffer_test

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"andon.internal/agent/buffer"
)

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
