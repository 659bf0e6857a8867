package lab_test

import (
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestScreenshots takes the pictures of machines that have hardly begun: all are there, of
// the size that they are to have, and none is large.
func TestScreenshots(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a factory and a browser")
	}
	t.Parallel()
	dir, images := place(t), filepath.Join(place(t), "images")
	mustLab(t, dir, "screenshots", images, "--warm-up", "20s")
	for name, width := range map[string]int{
		"fleet.png": 2880, "fleet-dark.png": 2880, "database-down.png": 2880, "unit.png": 2880,
		"wall.png": 1920, "fleet-narrow.png": 780,
	} {
		f, err := os.Open(filepath.Join(images, name))
		if err != nil {
			t.Error(err)
			continue
		}
		defer f.Close()
		c, err := png.DecodeConfig(f)
		if err != nil || c.Width != width {
			t.Errorf("%s is %d pixels wide (%v), want %d", name, c.Width, err, width)
		}
		if info, err := f.Stat(); err != nil || info.Size() > 400<<10 {
			t.Errorf("%s has %d bytes (%v), want 400 KiB at most", name, info.Size(), err)
		}
	}
	expectNothingLeft(t, dir)
}

func TestScreenshotsNeedChromium(t *testing.T) {
	cmd := command(t.TempDir(), "screenshots", filepath.Join(t.TempDir(), "images"))
	cmd.Env = append(cmd.Env, "PATH=")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "apt-get install chromium") {
		t.Errorf("without Chromium: %v, %s", err, out)
	}
}
