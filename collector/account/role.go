package account

import (
	"fmt"
	"slices"
	"strings"
)

// Role is what a person is at the plant. Each may do all that the one before may.
type Role string

// The roles, least first.
const (
	Viewer   Role = "viewer"   // looks
	Operator Role = "operator" // and acknowledges alarms
	Engineer Role = "engineer" // and looks after rules
	Admin    Role = "admin"    // and looks after who may log in
)

// Roles returns every role, least first.
func Roles() []Role { return []Role{Viewer, Operator, Engineer, Admin} }

// ParseRole reads a role's name.
func ParseRole(s string) (Role, error) {
	if r := Role(s); slices.Contains(Roles(), r) {
		return r, nil
	}
	return "", fmt.Errorf("role %.40q is none of viewer, operator, engineer, admin", s)
}

// Permission is something that not everybody may do.
type Permission string

// The permissions.
const (
	View        Permission = "view"        // pages and data
	Health      Permission = "health"      // whether the collector is ready
	Acknowledge Permission = "acknowledge" // alarms
	Administer  Permission = "administer"  // see who may log in, and who is
)

// Permissions returns every permission.
func Permissions() []Permission { return []Permission{View, Health, Acknowledge, Administer} }

// granted is what each role may do that the one before may not. Changes of rules, which
// are the engineer's, are made in files yet.
var granted = map[Role][]Permission{
	Viewer:   {View, Health},
	Operator: {Acknowledge},
	Admin:    {Administer},
}

// May reports whether a role has a permission. One that is no role has none.
func (r Role) May(p Permission) bool {
	all := Roles()
	return slices.ContainsFunc(all[:slices.Index(all, r)+1], func(r Role) bool {
		return slices.Contains(granted[r], p)
	})
}

// Scope is what an API token is for.
type Scope string

// The scopes.
const (
	ScopeRead        Scope = "read"        // the data of the API
	ScopeAcknowledge Scope = "acknowledge" // acknowledging alarms
	ScopeHealth      Scope = "health"      // /readyz
)

// permits is the permission of each scope. None administers.
var permits = map[Scope]Permission{
	ScopeRead: View, ScopeAcknowledge: Acknowledge, ScopeHealth: Health,
}

// ParseScopes reads scopes; at least one is required, each once.
func ParseScopes(list []string) ([]Scope, error) {
	var out []Scope
	for _, s := range list {
		scope := Scope(strings.TrimSpace(s))
		if _, ok := permits[scope]; !ok {
			return nil, fmt.Errorf("scope %.40q is none of read, acknowledge, health", s)
		}
		if !slices.Contains(out, scope) {
			out = append(out, scope)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("at least one of the scopes read, acknowledge, health is required")
	}
	return out, nil
}
