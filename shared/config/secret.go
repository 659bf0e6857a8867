package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// Secret says where a secret lies; the secret itself never stands in a configuration.
// In YAML it is one of
//
//	password: {file: /etc/andon/password}  # relative: from the configuration's folder
//	password: {env: ANDON_PASSWORD}        # a variable of the environment
//	password: {credential: password}       # of systemd: LoadCredential=password:FILE
//
// A struct has it as a field like any other, and its reader asks anew at each use, so
// that a replaced file counts at once:
//
//	type OIDCConfig struct {
//		ClientSecret config.Secret `yaml:"client_secret,required"`
//	}
//	secret, err := c.ClientSecret.Read() // the error names the place, never the content
//
// What is read goes where it is needed and nowhere else: not into a struct that is
// logged, an error, a flag or a label of a metric. A Secret prints as [secret], and a
// mistake in its place in the file, such as the secret itself instead of where it lies,
// is reported without what stands there. The zero Secret is one that is not given; see
// [Secret.IsSet].
type Secret struct{ from, name string }

// Where a secret may lie, as the keys of YAML.
const (
	fromFile       = "file"
	fromEnv        = "env"
	fromCredential = "credential"
)

// SecretFile is a secret that is the content of a file.
func SecretFile(path string) Secret { return Secret{fromFile, path} }

// SecretEnv is a secret in a variable of the environment.
func SecretEnv(name string) Secret { return Secret{fromEnv, name} }

// SecretCredential is a secret that systemd hands to the service.
func SecretCredential(name string) Secret { return Secret{fromCredential, name} }

// IsSet reports whether the secret is given at all.
func (s Secret) IsSet() bool { return s != Secret{} }

// Where names the place, such as "file /etc/andon/password", for messages.
func (s Secret) Where() string {
	switch s.from {
	case fromFile:
		return "file " + s.name
	case fromEnv:
		return "environment variable " + s.name
	case fromCredential:
		return "systemd credential " + s.name
	}
	return "nowhere"
}

// Read returns the secret without the line end at its end. An empty one is an error,
// and so is a file that everybody may read; see [ReadSecret].
func (s Secret) Read() (string, error) {
	switch s.from {
	case fromFile:
		return ReadSecret(s.name)
	case fromEnv:
		text := strings.TrimRight(os.Getenv(s.name), "\r\n")
		if text == "" {
			return "", fmt.Errorf("read secret: the environment variable %s is not set, or empty", s.name)
		}
		return text, nil
	case fromCredential:
		folder := os.Getenv("CREDENTIALS_DIRECTORY")
		if folder == "" {
			return "", fmt.Errorf("read secret: systemd handed over no credentials; the unit needs LoadCredential=%s:FILE", s.name)
		}
		text, err := readSecret(filepath.Join(folder, s.name))
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("%w; the unit needs LoadCredential=%s:FILE", err, s.name)
		}
		return text, err
	}
	return "", errors.New("read secret: none is configured")
}

const sealed = "[secret]"

// String, GoString, Format, LogValue, MarshalText and MarshalYAML keep a Secret out of
// whatever prints its surroundings: logs, dumps, reports.
func (Secret) String() string { return sealed }

// GoString is String.
func (Secret) GoString() string { return sealed }

// Format writes String for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, sealed) }

// LogValue is String.
func (Secret) LogValue() slog.Value { return slog.StringValue(sealed) }

// MarshalText is String, for JSON.
func (Secret) MarshalText() ([]byte, error) { return []byte(sealed), nil }

// MarshalYAML is String.
func (Secret) MarshalYAML() (any, error) { return sealed, nil }

// ReadSecret returns the content of a small file without the line end at its end. The
// file may be read by its owner and its group, not by everybody, unless a folder above
// it keeps everybody out. Secrets of containers are mounted readable for every user in
// the container, so below /run/secrets and /var/run/secrets this is not asked.
func ReadSecret(path string) (string, error) {
	if err := checkPrivate(path); err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	return readSecret(path)
}

func readSecret(path string) (string, error) {
	data, err := readBounded(path, 64<<10)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" {
		return "", fmt.Errorf("read secret: %s is empty", path)
	}
	return text, nil
}

// containerSecrets is where Docker, Podman and Kubernetes mount them.
var containerSecrets = []string{"/run/secrets/", "/var/run/secrets/"}

// checkPrivate reports a file that everybody on this machine can read.
func checkPrivate(path string) error {
	whole, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	for _, folder := range containerSecrets {
		if strings.HasPrefix(whole, folder) {
			return nil
		}
	}
	// Of a link, its target and the folders above that count.
	if whole, err = filepath.EvalSymlinks(whole); err != nil {
		return err
	}
	fi, err := os.Stat(whole)
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() || fi.Mode().Perm()&0o006 == 0 {
		return nil // a pipe is read once, by whom it is for
	}
	for folder := filepath.Dir(whole); ; folder = filepath.Dir(folder) {
		fi, err := os.Stat(folder)
		if err != nil {
			return err
		}
		if fi.Mode().Perm()&0o001 == 0 {
			return nil
		}
		if folder == filepath.Dir(folder) {
			return fmt.Errorf("%s can be read by everybody on this machine; close it with: chmod o= %s", path, path)
		}
	}
}
