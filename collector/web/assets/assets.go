// Package assets holds the files that the pages load: the bundle that is made from
// src, embedded, so that building the collector needs no Node and the pages need no
// network but ours.
//
// It stands behind /assets/. It promises that a file under its [Files.URL] never
// changes, so that browsers keep it for ever, and that dist was made from the src that
// lies beside it (a test compares the hash that the bundle's first line carries).
package assets

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:generate go run ./build

//go:embed dist
var dist embed.FS

// Files serves the embedded files. It is safe for concurrent use.
type Files struct {
	urls   map[string]string // by plain name
	byPath map[string]*file
}

type file struct {
	kind, etag   string
	data, zipped []byte // zipped is nil where it would not help
	forEver      bool
}

// Load reads the embedded files.
func Load() *Files {
	f := &Files{urls: map[string]string{}, byPath: map[string]*file{}}
	entries, err := fs.ReadDir(dist, "dist")
	if err != nil {
		panic(err) // the build embeds it
	}
	for _, e := range entries {
		data, err := dist.ReadFile("dist/" + e.Name())
		if err != nil {
			panic(err)
		}
		f.add(e.Name(), data)
	}
	return f
}

func (f *Files) add(name string, data []byte) {
	sum := sha256.Sum256(data)
	hash := hex.EncodeToString(sum[:6])
	ext := path.Ext(name)
	kind := mime.TypeByExtension(ext)
	if ext == ".woff2" {
		kind = "font/woff2" // not every system knows it
	}
	plain := &file{kind: kind, etag: `"` + hash + `"`, data: data}
	if ext != ".woff2" {
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is valid
		_, _ = z.Write(data)                                  // into memory
		_ = z.Close()
		plain.zipped = b.Bytes()
	}
	hashed := *plain
	hashed.forEver = true
	url := "/assets/" + strings.TrimSuffix(name, ext) + "." + hash + ext
	f.urls[name], f.byPath[url], f.byPath["/assets/"+name] = url, &hashed, plain
}

// URL returns the address of a file by its name, which changes with its content.
func (f *Files) URL(name string) string { return f.urls[name] }

// ServeHTTP implements [http.Handler].
func (f *Files) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	a := f.byPath[r.URL.Path]
	if a == nil {
		http.NotFound(rw, r)
		return
	}
	h := rw.Header()
	h.Set("ETag", a.etag)
	h.Set("Cache-Control", "no-cache")
	if a.forEver {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if strings.Contains(r.Header.Get("If-None-Match"), a.etag) {
		rw.WriteHeader(http.StatusNotModified)
		return
	}
	data := a.data
	h.Set("Content-Type", a.kind)
	if a.zipped != nil {
		h.Set("Vary", "Accept-Encoding")
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			data = a.zipped
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = rw.Write(data) // a browser that goes away needs no answer
}
