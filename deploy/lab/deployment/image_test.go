package deployment_test

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The Dockerfiles.
const (
	edgeImage  = "deploy/edge/Dockerfile"
	cloudImage = "deploy/cloud/Dockerfile"
)

// instruction is one of a Dockerfile, such as COPY with its words.
type instruction struct {
	name  string
	flags map[string]string
	words []string
	text  string // all behind the name
}

// image is the last stage of a Dockerfile, and the one that builds for it.
type image struct {
	build, final []instruction
}

// parseImage reads a Dockerfile of two stages.
func parseImage(t *testing.T, file string) image {
	t.Helper()
	var stages [][]instruction
	for line := range strings.Lines(read(t, file)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, rest, _ := strings.Cut(line, " ")
		in := instruction{name: name, flags: map[string]string{}, text: rest}
		for _, w := range strings.Fields(rest) {
			if flag, ok := strings.CutPrefix(w, "--"); ok && len(in.words) == 0 {
				key, value, _ := strings.Cut(flag, "=")
				in.flags[key] = value
			} else {
				in.words = append(in.words, w)
			}
		}
		if name == "FROM" {
			stages = append(stages, nil)
		}
		if len(stages) == 0 {
			t.Fatalf("%s: %s comes before FROM", file, name)
		}
		stages[len(stages)-1] = append(stages[len(stages)-1], in)
	}
	if len(stages) != 2 {
		t.Fatalf("%s has %d stages, want 2", file, len(stages))
	}
	return image{stages[0], stages[1]}
}

// all returns the instructions of a name.
func all(list []instruction, name string) []instruction {
	return slices.DeleteFunc(slices.Clone(list), func(i instruction) bool { return i.name != name })
}

// exec returns the words of an ENTRYPOINT or CMD in its JSON form.
func (i image) exec(t *testing.T, name string) (words []string) {
	t.Helper()
	for _, in := range all(i.final, name) {
		if err := json.Unmarshal([]byte(in.text), &words); err != nil {
			t.Fatalf("%s %s: %v", name, in.text, err)
		}
	}
	return words
}

// binaries are the programs in an image, by their path.
func (i image) binaries() map[string]string {
	out := map[string]string{}
	for _, c := range all(i.final, "COPY") {
		if from := c.words[0]; c.flags["from"] == "build" && strings.HasPrefix(from, "/out/") {
			out[c.words[1]] = strings.TrimPrefix(from, "/out/")
		}
	}
	return out
}

// configs are the files of the repository in an image, by their path.
func (i image) configs() map[string]string {
	out := map[string]string{}
	for _, c := range all(i.final, "COPY") {
		if c.flags["from"] == "" {
			out[c.words[1]] = c.words[0]
		}
	}
	return out
}

func TestImagesAreSmallAndNotRoot(t *testing.T) {
	numeric := regexp.MustCompile(`^[1-9][0-9]*:[1-9][0-9]*$`)
	version := regexp.MustCompile(`golang:([0-9.]+)`)
	for _, file := range []string{edgeImage, cloudImage} {
		i := parseImage(t, file)
		if i.final[0].text != "scratch" {
			t.Errorf("%s ends on %s, not on scratch", file, i.final[0].text)
		}
		if users := all(i.final, "USER"); len(users) != 1 || !numeric.MatchString(users[0].text) {
			t.Errorf("%s: USER %+v is not one numeric user", file, users)
		}
		if got := version.FindStringSubmatch(i.build[0].text); got == nil || !strings.Contains(read(t, "go.work"), "\ngo "+got[1]) && !strings.HasPrefix(read(t, "go.work"), "go "+got[1]) {
			t.Errorf("%s builds with %v, and go.work wants another version", file, got)
		}
		built := ""
		for _, r := range all(i.build, "RUN") {
			built += r.text + "\n"
		}
		if !strings.Contains(built, "CGO_ENABLED=0") || !strings.Contains(built, "-X andon.internal/shared/ops.version=$VERSION") ||
			!strings.Contains(read(t, "Makefile"), "-X andon.internal/shared/ops.version=") {
			t.Errorf("%s builds otherwise than make build: %s", file, built)
		}
		for at, name := range i.binaries() {
			if !regexp.MustCompile(`\./[a-z]+/cmd/` + name + `( |\n)`).MatchString(built) {
				t.Errorf("%s holds %s, which it does not build", file, at)
			}
		}
		for _, from := range i.configs() {
			read(t, from)
			if !strings.Contains(read(t, file+".dockerignore"), "\n!"+from+"\n") {
				t.Errorf("%s: %s is kept out of the build by its .dockerignore", file, from)
			}
		}
		command := append(i.exec(t, "ENTRYPOINT"), i.exec(t, "CMD")...)
		if i.binaries()[command[0]] == "" || command[1] != "run" || i.configs()[command[3]] == "" {
			t.Errorf("%s runs %q, which is not in it", file, command)
		}
	}
}

// TestImagesSeeEverythingTheyBuild checks the modules that go.work names, which must
// all be there for any of them to build.
func TestImagesSeeEverythingTheyBuild(t *testing.T) {
	for _, file := range []string{edgeImage, cloudImage} {
		ignore := read(t, file+".dockerignore")
		for _, m := range regexp.MustCompile(`(?m)^\t\./(.*)$`).FindAllStringSubmatch(read(t, "go.work"), -1) {
			if !strings.Contains(ignore, "\n!"+m[1]+"\n") {
				t.Errorf("%s.dockerignore keeps out the module %s", file, m[1])
			}
		}
	}
}

// layOut makes a folder that holds what the image does, with the binaries under test.
// edit may change a configuration.
func (i image) layOut(t *testing.T, edit func(name, text string) string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "andon-image-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	put := func(at string, mode os.FileMode, content []byte) {
		t.Helper()
		at = filepath.Join(dir, at)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, content, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(at, mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for at, name := range i.binaries() {
		b, err := os.ReadFile(filepath.Join(bin, name))
		if err != nil {
			t.Fatal(err)
		}
		put(at, 0o755, b)
	}
	for at, from := range i.configs() {
		put(at, 0o644, []byte(edit(path.Base(from), read(t, from))))
	}
	// A container has its own /proc; this is all that is read of it.
	const bootID = "/proc/sys/kernel/random/boot_id"
	b, err := os.ReadFile(bootID)
	if err != nil {
		t.Fatal(err)
	}
	put(bootID, 0o444, b)
	for _, v := range all(i.final, "VOLUME") {
		made := false
		for _, r := range all(i.build, "RUN") {
			made = made || r.text == "mkdir -p /state"+v.text
		}
		owned := slices.ContainsFunc(all(i.final, "COPY"), func(c instruction) bool {
			return c.words[0] == "/state/" && c.words[1] == "/" && c.flags["chown"] == all(i.final, "USER")[0].text
		})
		if !made || !owned {
			t.Errorf("the volume %s does not belong to the image's user", v.text)
		}
		if err := os.MkdirAll(filepath.Join(dir, v.text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
