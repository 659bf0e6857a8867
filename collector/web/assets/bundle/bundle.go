// Package bundle makes the files in dist from those in src, with esbuild as a library.
//
// It is a tool of the developer's: the collector does not contain it. The result
// depends on src, package-lock.json and the versions that the lock names, and on
// nothing else, so two machines make the same bytes.
package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// libraries are the packages that go into the bundle; their licences go with it.
var libraries = []string{"lit-html", "uplot", "@fontsource-variable/inter"}

// Install puts the packages that the lock names into dir/node_modules, with npm.
func Install(dir string) error {
	cmd := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("install packages with npm: %w", err)
	}
	return nil
}

// SourceHash is the hash of what the bundle is made from: the files in dir/src, and
// the lock.
func SourceHash(dir string) (string, error) {
	var names []string
	err := filepath.WalkDir(filepath.Join(dir, "src"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("list sources: %w", err)
	}
	slices.Sort(names)
	h := sha256.New()
	for _, name := range append(names, filepath.Join(dir, "package-lock.json")) {
		data, err := os.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("read source: %w", err)
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return "", fmt.Errorf("name source: %w", err)
		}
		fmt.Fprintf(h, "%s %d\n", filepath.ToSlash(rel), len(data))
		h.Write(data)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Header is the first line of the bundle that is made from sources of that hash.
func Header(hash string) string { return "/* andon, made from sources sha256:" + hash + " */" }

// Build makes the files of dist, by name.
func Build(dir string) (map[string][]byte, error) {
	hash, err := SourceHash(dir)
	if err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	r := api.Build(api.BuildOptions{
		AbsWorkingDir: abs,
		EntryPoints:   []string{"src/app.js", "src/app.css"},
		Outdir:        filepath.Join(abs, "dist"),
		Bundle:        true, MinifyWhitespace: true, MinifyIdentifiers: true, MinifySyntax: true,
		Format: api.FormatESModule, Target: api.ES2022, Charset: api.CharsetUTF8,
		LegalComments: api.LegalCommentsEndOfFile,
		Loader:        map[string]api.Loader{".woff2": api.LoaderFile},
		AssetNames:    "[name]-[hash]",
		Banner:        map[string]string{"js": Header(hash), "css": Header(hash)},
	})
	if len(r.Errors) > 0 {
		return nil, errors.New("build: " + strings.Join(api.FormatMessages(r.Errors, api.FormatMessagesOptions{Kind: api.ErrorMessage}), "\n"))
	}
	out := map[string][]byte{}
	for _, f := range r.OutputFiles {
		out[filepath.Base(f.Path)] = f.Contents
	}
	if out["icon.svg"], err = os.ReadFile(filepath.Join(dir, "src", "icon.svg")); err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	if out["LICENSES.txt"], err = licences(dir); err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	return out, nil
}

// licences joins the licences of what the bundle contains.
func licences(dir string) ([]byte, error) {
	var b []byte
	for _, l := range libraries {
		text, err := os.ReadFile(filepath.Join(dir, "node_modules", filepath.FromSlash(l), "LICENSE"))
		if err != nil {
			return nil, err
		}
		b = append(b, "== "+l+" ==\n\n"...)
		b = append(append(b, text...), '\n')
	}
	return b, nil
}
