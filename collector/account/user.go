package account

import (
	"errors"
	"fmt"
	"regexp"
	"time"
)

// User is somebody who logs in with a password that is kept here.
type User struct {
	Name     string
	Role     Role
	Disabled bool
	Hash     string // of the password, as [Hasher.Hash] returns it
	// Revision is another with each change of role, password or disabled, and never the
	// same for two users: sessions of an earlier revision are over.
	Revision int64
	Created  time.Time
	Changed  time.Time
}

// names are typed at logins, stand in the journal of alarms, and are no file names.
var names = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9._@-]{0,62}[a-z0-9])?$`)

// CheckName reports a name that a user or a token must not have.
func CheckName(name string) error {
	if !names.MatchString(name) {
		return fmt.Errorf("name %.80q must be 1 to 64 of a-z, 0-9 and . _ @ -, and begin and end with a letter or digit", name)
	}
	return nil
}

// Errors of whoever keeps the accounts.
var (
	ErrExists    = errors.New("there is one of this name already")
	ErrUnknown   = errors.New("there is none of this name")
	ErrLastAdmin = errors.New("nobody would be left who is admin and may log in")
)

// Change is what to change of a user; nil is left as it is.
type Change struct {
	Role     *Role
	Disabled *bool
	Hash     *string
}
