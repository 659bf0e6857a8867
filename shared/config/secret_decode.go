package config

import (
	"errors"
	"path/filepath"
	"reflect"
	"regexp"

	"go.yaml.in/yaml/v3"
)

var (
	secretType = reflect.TypeFor[Secret]()
	envName    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	credential = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@-]*$`)
)

var errSecretForm = errors.New("must say where the secret lies: one of {file: PATH}, {env: NAME} and {credential: NAME}; " +
	"what stands here is not shown, in case it is the secret itself")

// secret reads where a secret lies. Whoever mistakes the form writes the secret itself,
// so that no message here has a word of the file.
func (d *decoder) secret(path string, at place, n *yaml.Node, v reflect.Value) {
	if n == nil {
		return
	}
	if n.Kind != yaml.MappingNode || len(n.Content) != 2 {
		d.fault(at, path, errSecretForm)
		return
	}
	key, value := n.Content[0], n.Content[1]
	if value.Kind != yaml.ScalarNode || isNull(value) || value.Value == "" ||
		key.Style&yaml.TaggedStyle != 0 || value.Style&yaml.TaggedStyle != 0 {
		d.fault(at, path, errSecretForm)
		return
	}
	s := Secret{key.Value, value.Value}
	switch s.from {
	case fromFile:
		if !filepath.IsAbs(s.name) {
			s.name = filepath.Join(d.dir, s.name)
		}
	case fromEnv:
		if !envName.MatchString(s.name) {
			d.faultf(at, path, "env must be the name of a variable, such as ANDON_PASSWORD")
			return
		}
	case fromCredential:
		if !credential.MatchString(s.name) {
			d.faultf(at, path, "credential must be the name of a systemd credential, such as password")
			return
		}
	default:
		d.fault(at, path, errSecretForm)
		return
	}
	v.Set(reflect.ValueOf(s))
}
