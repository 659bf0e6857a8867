package screenshots_test

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"testing"

	"andon.internal/lab/screenshots"
)

// picture has colors frequent colours, and as many that are rare and 3 at most from them.
func picture(t *testing.T, colors int) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 100, 100))
	for i := range 100 * 100 {
		c := color.RGBA{R: uint8(i % colors), A: 0xff}
		if i < 1000 {
			c.B = 1 + uint8(i%3)
		}
		img.SetRGBA(i%100, i/100, c)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestPack(t *testing.T) {
	for _, c := range []struct {
		name   string
		colors int
		off    int // how far a colour may be from what it was
	}{
		{"few colours stay as they are", 60, 0},
		{"of many the rare become their neighbours", 250, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := picture(t, c.colors)
			packed, err := screenshots.Pack(before)
			if err != nil {
				t.Fatal(err)
			}
			was, err := png.Decode(bytes.NewReader(before))
			if err != nil {
				t.Fatal(err)
			}
			is, err := png.Decode(bytes.NewReader(packed))
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := is.(*image.Paletted); !ok || is.Bounds() != was.Bounds() {
				t.Fatalf("the packed picture is a %T of %v", is, is.Bounds())
			}
			for i := range 100 * 100 {
				if d := distance(was.At(i%100, i/100), is.At(i%100, i/100)); d > c.off {
					t.Fatalf("pixel %d is %d off", i, d)
				}
			}
		})
	}
	if _, err := screenshots.Pack([]byte("no picture")); err == nil {
		t.Error("packed what is no picture")
	}
}

func distance(a, b color.Color) int {
	ar, ag, ab, _ := a.RGBA()
	br, bg, bb, _ := b.RGBA()
	far := 0
	for _, d := range []int{int(ar) - int(br), int(ag) - int(bg), int(ab) - int(bb)} {
		far = max(far, max(d, -d)>>8)
	}
	return far
}
