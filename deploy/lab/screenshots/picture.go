package screenshots

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"slices"

	"andon.internal/lab/browser"
)

// window is a size of a picture.
type window struct {
	browser.Window
	whole bool // as high as the page has to show
}

// calm keeps what blinks from being caught in the dark.
func calm(more ...string) map[string]string {
	features := map[string]string{"prefers-reduced-motion": "reduce", "prefers-color-scheme": "light"}
	for i := 0; i < len(more); i += 2 {
		features[more[i]] = more[i+1]
	}
	return features
}

var (
	desk  = window{browser.Window{Width: 1440, Height: 600, Scale: 2, Features: calm()}, true}
	night = window{browser.Window{Width: 1440, Height: 600, Scale: 2, Features: calm("prefers-color-scheme", "dark")}, true}
	wall  = window{browser.Window{Width: 1920, Height: 1080, Features: calm()}, false}
	phone = window{browser.Window{Width: 390, Height: 844, Scale: 2, Features: calm()}, true}
)

// maxColors is what a PNG with a palette can have.
const maxColors = 256

// pack makes a PNG several times smaller: its most frequent colours become a palette, and
// the others, which are those of the edges of letters, the nearest of them.
func pack(b []byte) ([]byte, error) {
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("read picture: %w", err)
	}
	bounds := img.Bounds()
	rgba := image.NewRGBA(bounds)
	draw.Draw(rgba, bounds, img, bounds.Min, draw.Src)
	counts := map[color.RGBA]int{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[rgba.RGBAAt(x, y)]++
		}
	}
	// Of two as frequent the darker comes first, so that equal pictures are equal files.
	list := slices.SortedFunc(maps.Keys(counts), func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	var palette color.Palette
	for _, c := range list[:min(len(list), maxColors)] {
		palette = append(palette, c)
	}
	nearest := make(map[color.RGBA]uint8, len(list))
	for _, c := range list {
		nearest[c] = uint8(palette.Index(c))
	}
	paletted := image.NewPaletted(bounds, palette)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			paletted.SetColorIndex(x, y, nearest[rgba.RGBAAt(x, y)])
		}
	}
	var out bytes.Buffer
	e := png.Encoder{CompressionLevel: png.BestCompression}
	if err := e.Encode(&out, paletted); err != nil {
		return nil, fmt.Errorf("write picture: %w", err)
	}
	return out.Bytes(), nil
}
