package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"andon.internal/collector"
	"andon.internal/collector/account"
	"andon.internal/shared/cli"
	"andon.internal/shared/ops"
)

type userCmd struct {
	Add    userAddCmd    `cmd:"" help:"Make a user who logs in at the command center."`
	List   userListCmd   `cmd:"" help:"List the users."`
	Set    userSetCmd    `cmd:"" help:"Change a user's role or password, or disable them."`
	Remove userRemoveCmd `cmd:"" help:"Remove a user."`
	LogOut userLogOutCmd `cmd:"" help:"End the sessions of a user, or of somebody from the identity provider."`
}

type userAddCmd struct {
	configFlag
	Name         string `arg:"" help:"The name to log in with: a-z, 0-9 and . _ @ -"`
	Role         string `required:"" placeholder:"ROLE" help:"viewer (looks), operator (and acknowledges), engineer, or admin."`
	PasswordFile string `placeholder:"FILE" help:"Take the password from this file, - for standard input, instead of asking."`
}

// Help is shown below the flags.
func (userAddCmd) Help() string {
	return `Asks for the password twice, on the terminal. It has at least 12 characters; there is no
default, and it is never a flag. The user can log in within two seconds.

  andon-collector user add ann --role admin --config collector.yaml
  andon-collector user add bob --role viewer --password-file - --config collector.yaml < password`
}

// Run runs the command.
func (u *userAddCmd) Run(ctx context.Context, e *cli.Env) error {
	c, err := u.load()
	if err != nil {
		return err
	}
	role, err := account.ParseRole(u.Role)
	if err == nil {
		err = account.CheckName(u.Name)
	}
	if err != nil {
		return ops.UsageError(err, "for example: andon-collector user add ann --role operator --config collector.yaml")
	}
	password, err := readPassword(e, u.PasswordFile)
	if err != nil {
		return err
	}
	if err := collector.AddUser(ctx, c, u.Name, role, password, quiet(e, c)); err != nil {
		return err
	}
	fmt.Fprintf(e.Stdout, "user %s is added, as %s\n", u.Name, role)
	return nil
}

type userListCmd struct {
	configFlag
}

// Help is shown below the flags.
func (userListCmd) Help() string {
	return `SESSIONS are the logins of each that are not over. Who is logged in by the identity
provider stands below the users, in state sso.

  andon-collector user list --config collector.yaml`
}

// Run runs the command.
func (u *userListCmd) Run(ctx context.Context, e *cli.Env) error {
	c, err := u.load()
	if err != nil {
		return err
	}
	all, err := collector.Accounts(ctx, c, quiet(e, c))
	if err != nil {
		return err
	}
	type guest struct {
		name string
		role account.Role
	}
	sessions, guests := map[string]int{}, map[guest]int{}
	limits := account.Limits{Idle: c.Web.Session.Idle, Absolute: c.Web.Session.Absolute}
	for i := range all.Sessions {
		switch s := &all.Sessions[i]; {
		case s.Over(time.Now(), limits):
		case s.Revision > 0:
			sessions[s.User]++
		default:
			guests[guest{s.User, s.Role}]++
		}
	}
	t := tabwriter.NewWriter(e.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tROLE\tSTATE\tSESSIONS\tCHANGED")
	for _, user := range all.Users {
		state := "enabled"
		if user.Disabled {
			state = "disabled"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\n", user.Name, user.Role, state, sessions[user.Name], user.Changed.UTC().Format(timeForm))
	}
	byName := func(a, b guest) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.role, b.role)) }
	for _, g := range slices.SortedFunc(maps.Keys(guests), byName) {
		fmt.Fprintf(t, "%s\t%s\tsso\t%d\t-\n", g.name, g.role, guests[g])
	}
	return t.Flush()
}

type userSetCmd struct {
	configFlag
	Name         string  `arg:"" help:"The user."`
	Role         *string `placeholder:"ROLE" help:"The new role."`
	Disabled     *bool   `negatable:"" help:"Whether the user is kept from logging in."`
	Password     bool    `help:"Ask for a new password."`
	PasswordFile string  `placeholder:"FILE" help:"Take the new password from this file, - for standard input, instead of asking."`
	Force        bool    `help:"Also where nobody would be left who is admin."`
}

// Help is shown below the flags.
func (userSetCmd) Help() string {
	return `Every change ends the user's sessions, within two seconds.

  andon-collector user set ann --role engineer --config collector.yaml
  andon-collector user set ann --password --config collector.yaml
  andon-collector user set ann --disabled --config collector.yaml
  andon-collector user set ann --no-disabled --config collector.yaml`
}

// Run runs the command.
func (u *userSetCmd) Run(ctx context.Context, e *cli.Env) error {
	const example = "for example: andon-collector user set ann --role operator --config collector.yaml"
	c, err := u.load()
	if err != nil {
		return err
	}
	change := collector.UserChange{Disabled: u.Disabled, Force: u.Force}
	if u.Role != nil {
		role, err := account.ParseRole(*u.Role)
		if err != nil {
			return ops.UsageError(err, example)
		}
		change.Role = &role
	}
	asks := u.Password || u.PasswordFile != ""
	if !asks && change.Role == nil && change.Disabled == nil {
		return ops.UsageError(errors.New("nothing is to be changed"), example)
	}
	if asks {
		password, err := readPassword(e, u.PasswordFile)
		if err != nil {
			return err
		}
		change.Password = &password
	}
	if err := collector.SetUser(ctx, c, u.Name, change, quiet(e, c)); err != nil {
		return err
	}
	fmt.Fprintf(e.Stdout, "user %s is changed; the sessions of before are over\n", u.Name)
	return nil
}

type userRemoveCmd struct {
	configFlag
	Name  string `arg:"" help:"The user."`
	Force bool   `help:"Also the last who is admin."`
}

// Help is shown below the flags.
func (userRemoveCmd) Help() string {
	return `Ends the user's sessions, within two seconds. What they did stays under their name: to
keep the name from being given again, disable the user instead.

  andon-collector user remove ann --config collector.yaml`
}

// Run runs the command.
func (u *userRemoveCmd) Run(ctx context.Context, e *cli.Env) error {
	c, err := u.load()
	if err != nil {
		return err
	}
	if err := collector.RemoveUser(ctx, c, u.Name, u.Force, quiet(e, c)); err != nil {
		return err
	}
	fmt.Fprintf(e.Stdout, "user %s is removed\n", u.Name)
	return nil
}

type userLogOutCmd struct {
	configFlag
	Name string `arg:"" help:"The user, or the name that user list shows."`
}

// Help is shown below the flags.
func (userLogOutCmd) Help() string {
	return `Ends every session of that name within two seconds. What the identity provider changes
counts with the next login only: change it there first, or they just log in again.

  andon-collector user log-out ann@plant.example --config collector.yaml`
}

// Run runs the command.
func (u *userLogOutCmd) Run(ctx context.Context, e *cli.Env) error {
	c, err := u.load()
	if err != nil {
		return err
	}
	n, err := collector.EndSessions(ctx, c, u.Name, quiet(e, c))
	if err != nil {
		return err
	}
	fmt.Fprintf(e.Stdout, "sessions ended: %d\n", n)
	return nil
}
