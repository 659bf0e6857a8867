package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"andon.internal/shared/config"
)

// hush is a configuration with a secret in it.
type hush struct {
	User     string        `yaml:"user"`
	Password config.Secret `yaml:"password"`
	Mail     *struct {
		Token config.Secret `yaml:"token,required"`
	} `yaml:"mail"`
}

func TestSecretIsReadFromWhereItLies(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	put("pw", "of the file\n")
	put("cred", "of systemd\n")
	put("void", "\n")
	t.Setenv("ANDON_TEST_PW", "of the environment")
	t.Setenv("ANDON_TEST_VOID", "")
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	tests := []struct{ yaml, where, want, fault string }{
		{"{file: pw}", "file " + dir + "/pw", "of the file", ""},
		{"{file: " + dir + "/pw}", "file " + dir + "/pw", "of the file", ""},
		{"{env: ANDON_TEST_PW}", "environment variable ANDON_TEST_PW", "of the environment", ""},
		{"{credential: cred}", "systemd credential cred", "of systemd", ""},
		{"{file: void}", "file " + dir + "/void", "", "is empty"},
		{"{file: none}", "file " + dir + "/none", "", "no such file"},
		{"{env: ANDON_TEST_VOID}", "environment variable ANDON_TEST_VOID", "", "ANDON_TEST_VOID is not set, or empty"},
		{"{credential: none}", "systemd credential none", "", "LoadCredential=none:FILE"},
	}
	for _, tt := range tests {
		var h hush
		if err := config.Decode(filepath.Join(dir, "f.yaml"), []byte("password: "+tt.yaml), &h); err != nil {
			t.Errorf("%s: %v", tt.yaml, err)
			continue
		}
		got, err := h.Password.Read()
		if got != tt.want || h.Password.Where() != tt.where || (err == nil) != (tt.fault == "") {
			t.Errorf("%s gives %q of %s, %v", tt.yaml, got, h.Password.Where(), err)
		}
		if err != nil && !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("%s fails with %v, which does not say %q", tt.yaml, err, tt.fault)
		}
	}

	s := config.SecretFile(put("rotated", "one"))
	if got, err := s.Read(); got != "one" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	put("rotated", "two")
	if got, err := s.Read(); got != "two" || err != nil {
		t.Errorf("a replaced file gives %q, %v", got, err)
	}

	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if _, err := config.SecretCredential("cred").Read(); err == nil || !strings.Contains(err.Error(), "LoadCredential=cred:FILE") {
		t.Errorf("without systemd: %v", err)
	}
	if _, err := (config.Secret{}).Read(); err == nil || (config.Secret{}).IsSet() || !s.IsSet() {
		t.Errorf("a secret that is not given: %v", err)
	}
}

// TestSecretIsNeverEchoed writes the secret itself in many wrong places.
func TestSecretIsNeverEchoed(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"password: hunter2", "password: 'hunter2'", "password: [hunter2]", "password: {hunter2}", "password: {hunter2: hunter2}",
		"password: {file: {hunter2: x}}", "password: {file: [hunter2]}", "password: {file: pw, hunter2: x}",
		"password: {env: hunter2!}", "password: {env: 'hunter2 '}", "password: {credential: ../hunter2}", "password: {credential: hunter2/}",
		"password: !hunter2", "password: *hunter2", "password: &hunter2", "password: {file: !hunter2 x}", "password: {file: *hunter2}",
		"password: @hunter2", "password: %hunter2", "password: `hunter2", "password: {hunter2", "password: \"hunter2", "password: hunter2: x",
		"password: |\n  hunter2\n x", "password: >hunter2", "password:\n\thunter2", "password: {file: pw}\npassword: hunter2",
		"mail: hunter2", "mail: postgres://andon:hunter2@host/db", "mail: {token: hunter2}", "mail: {postgres://andon:hunter2@host/db}",
		"mail: {}\nuser: {hunter2: x}", "user: [hunter2]", "hunter2", "postgres://andon:hunter2@host/db", "- hunter2",
	} {
		var h hush
		err := config.Decode("f.yaml", []byte(text), &h)
		if err == nil {
			t.Errorf("%q is taken", text)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q is answered with its secret: %v", text, err)
		}
	}
}

func TestSecretPrintsAsSealed(t *testing.T) {
	t.Parallel()
	h := hush{User: "andon", Password: config.SecretFile("/etc/hunter2")}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", h)
		fmt.Fprintf(&out, verb+"\n", h.Password)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("config", "config", h, "password", h.Password)
	}
	j, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	y, err := yaml.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(j)
	out.Write(y)
	if text := out.String(); strings.Contains(text, "hunter2") || strings.Count(text, "[secret]") != 20 {
		t.Errorf("%d times [secret] in\n%s", strings.Count(text, "[secret]"), text)
	}
}

// TestSecretThatEverybodyCanRead uses a folder of its own in /tmp, whose folders above
// are open to everybody.
func TestSecretThatEverybodyCanRead(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/tmp", "andon-secret-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path, link := filepath.Join(dir, "pw"), filepath.Join(t.TempDir(), "link")
	if err := os.WriteFile(path, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		folder, file os.FileMode
		ok           bool
	}{
		{0o755, 0o600, true},
		{0o755, 0o640, true},
		{0o755, 0o644, false},
		{0o711, 0o604, false},
		{0o755, 0o602, false},
		{0o700, 0o644, true},
		{0o750, 0o444, true},
	} {
		for name, mode := range map[string]os.FileMode{dir: tt.folder, path: tt.file} {
			if err := os.Chmod(name, mode); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{path, link} {
			got, err := config.SecretFile(name).Read()
			if (err == nil) != tt.ok || (got == "s3cret") != tt.ok {
				t.Errorf("%v in a folder of %v gives %q, %v", tt.file, tt.folder, got, err)
			}
			if err != nil && !strings.Contains(err.Error(), "chmod o= "+name) {
				t.Errorf("no cure in %v", err)
			}
		}
	}
}
