package oidc

import (
	"fmt"
	"slices"
)

// Role is what a person may do. Each may do what those before it may.
type Role string

// The roles, lowest first.
const (
	Viewer   Role = "viewer"
	Operator Role = "operator"
	Engineer Role = "engineer"
	Admin    Role = "admin"
)

// Roles returns every role, lowest first.
func Roles() []Role { return []Role{Viewer, Operator, Engineer, Admin} }

// rank is 0 for what is no role.
func (r Role) rank() int { return slices.Index(Roles(), r) + 1 }

// UnmarshalText reads a role in a configuration.
func (r *Role) UnmarshalText(text []byte) error {
	if Role(text).rank() == 0 {
		return fmt.Errorf("must be one of %v", Roles())
	}
	*r = Role(text)
	return nil
}

// highest returns the highest role that the values of a claim stand for.
func highest(roles map[string]Role, values []string) (Role, bool) {
	var best Role
	for _, v := range values {
		if r := roles[v]; r.rank() > best.rank() {
			best = r
		}
	}
	return best, best != ""
}
