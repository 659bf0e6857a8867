package access

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"andon.internal/shared/telemetry"
)

// Role is what an identity is at the broker.
type Role string

// The roles.
const (
	Node      Role = "node"      // the agent of one cell
	Collector Role = "collector" // stores, acknowledges, commands, alarms
	Viewer    Role = "viewer"    // reads everything, at QoS 0
	Local     Role = "local"     // whoever reaches a broker without TLS, on loopback: everything
)

// Identity is who a client has shown to be. The zero Identity may do nothing.
type Identity struct {
	Role  Role   `json:"role"`
	Group string `json:"group,omitempty"` // of a node
	Name  string `json:"name"`            // the node's id; of a collector or viewer, its name
}

// scheme is that of the URI in a certificate that says who its holder is.
const scheme = "andon"

// URI is the identity as a certificate carries it: andon://node/GROUP/ID,
// andon://collector/NAME or andon://viewer/NAME.
func (i Identity) URI() *url.URL {
	path := "/" + i.Name
	if i.Role == Node {
		path = "/" + i.Group + "/" + i.Name
	}
	return &url.URL{Scheme: scheme, Host: string(i.Role), Path: path}
}

// String names the identity for logs.
func (i Identity) String() string {
	switch i.Role {
	case Node:
		return "node " + i.Group + "/" + i.Name
	case "":
		return "nobody"
	}
	return strings.TrimSpace(string(i.Role) + " " + i.Name)
}

// Username is the identity's common name in a certificate of ours, which Mosquitto takes
// for the user's name: unlike the URI it has no slash, which Mosquitto does not like there.
func (i Identity) Username() string {
	if i.Role == Node {
		return "node." + i.Group + "." + i.Name
	}
	return string(i.Role) + "." + i.Name
}

// Check returns an error when the identity is none that a certificate can carry.
func (i Identity) Check() error {
	switch i.Role {
	case Node:
		return errors.Join(telemetry.CheckID("group", i.Group), telemetry.CheckID("node", i.Name))
	case Collector, Viewer:
		if i.Group != "" {
			return fmt.Errorf("a %s has no group", i.Role)
		}
		return telemetry.CheckID(string(i.Role), i.Name)
	}
	return fmt.Errorf("role %q is none of %s, %s, %s", i.Role, Node, Collector, Viewer)
}

// ParseURI reads an identity from a certificate's URI. ok is false when the URI is of
// another scheme; an error says what is wrong with one of ours.
func ParseURI(u *url.URL) (i Identity, ok bool, err error) {
	if u.Scheme != scheme {
		return Identity{}, false, nil
	}
	i.Role = Role(u.Host)
	parts := strings.Split(strings.TrimPrefix(u.Path, "/"), "/")
	switch {
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.Opaque != "" || !strings.HasPrefix(u.Path, "/"):
		err = errors.New("it must be andon://ROLE/NAME")
	case i.Role == Node && len(parts) == 2:
		i.Group, i.Name = parts[0], parts[1]
		err = i.Check()
	case i.Role != Node && len(parts) == 1:
		i.Name = parts[0]
		err = i.Check()
	default:
		err = errors.New("it must be andon://node/GROUP/ID, andon://collector/NAME or andon://viewer/NAME")
	}
	if err != nil {
		return Identity{}, true, fmt.Errorf("identity %q: %w", clip(u.String()), err)
	}
	return i, true, nil
}

// clip bounds what a stranger's text takes in a message.
func clip(s string) string {
	if len(s) > 120 {
		return s[:120] + "..."
	}
	return s
}
