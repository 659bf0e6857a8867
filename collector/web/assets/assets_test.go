package assets_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"andon.internal/collector/web/assets"
)

func TestFiles(t *testing.T) {
	f := assets.Load()
	get := func(path string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		rec := httptest.NewRecorder()
		f.ServeHTTP(rec, r)
		return rec
	}
	for name, kind := range map[string]string{"app.js": "text/javascript", "app.css": "text/css", "icon.svg": "image/svg+xml"} {
		url := f.URL(name)
		rec := get(url)
		if rec.Code != 200 || !strings.HasPrefix(rec.Header().Get("Content-Type"), kind) || !strings.Contains(rec.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", url, rec.Code, rec.Header())
		}
		plain := rec.Body.String()
		if rec := get(url, "If-None-Match", rec.Header().Get("ETag")); rec.Code != 304 || rec.Body.Len() != 0 {
			t.Errorf("%s again: %d with %d bytes", url, rec.Code, rec.Body.Len())
		}
		rec = get(url, "Accept-Encoding", "gzip, br")
		z, err := gzip.NewReader(rec.Body)
		if err != nil {
			t.Fatal(err)
		}
		if unzipped, err := io.ReadAll(z); err != nil || string(unzipped) != plain {
			t.Errorf("%s, compressed, is another: %v", url, err)
		}
		if rec := get("/assets/" + name); rec.Code != 200 || rec.Header().Get("Cache-Control") != "no-cache" {
			t.Errorf("%s by its plain name: %d %v", name, rec.Code, rec.Header())
		}
	}
	css := get(f.URL("app.css")).Body.String()
	at := strings.Index(css, "inter-latin-wght")
	if at < 0 {
		t.Fatal("the style sheet names no font")
	}
	font := "/assets/" + css[at:at+strings.Index(css[at:], ".woff2")] + ".woff2"
	if rec := get(font); rec.Code != 200 || rec.Header().Get("Content-Type") != "font/woff2" {
		t.Errorf("%s: %d", font, rec.Code)
	}
	for _, path := range []string{"/assets/", "/assets/../assets.go", "/assets/app.000000000000.js"} {
		if rec := get(path); rec.Code != 404 {
			t.Errorf("%s: %d", path, rec.Code)
		}
	}
}
