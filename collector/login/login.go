// Package login knows who is logged in at the command center.
//
// It stands between the pages, which ask it about every request, and the database, which
// keeps users, sessions and tokens. It holds all of them in memory and compares every
// second, so that the pages do not depend on the database:
//
// While the database is away, who is logged in stays so, and who is known can log in;
// such a session is written when it is back. A revocation (a user who is disabled,
// changed or removed, a token that is revoked) is a row of the database: nobody can make
// one while it is away, and one that was made counts within two seconds. Only a logout
// is taken meanwhile: at this process at once, at others when the database is back. A
// process that begins without the database knows nobody, and lets in only whom an identity
// provider vouches for. Of several processes, each knows a login at another within two
// seconds.
//
// It promises that a session ends with each change of its user, also one that was kept in
// memory over that change; that guessing a password gets slower with every wrong one,
// for the pair of user and address, so that a stranger cannot lock a user out; and that
// everything that grows is bounded and counted. All methods are safe for concurrent use.
package login

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"andon.internal/collector/account"
)

// Accounts is where users, sessions and tokens are kept.
type Accounts interface {
	Accounts(ctx context.Context) (account.All, error)
	// SaveSessions may be repeated after an error.
	SaveSessions(ctx context.Context, c account.Sessions) error
	// PruneSessions deletes what is over.
	PruneSessions(ctx context.Context, now time.Time, l account.Limits) error
}

// Config configures a Desk. Only Accounts is required.
type Config struct {
	Accounts Accounts
	Limits   account.Limits   // default: 12 h, 7 days
	AtOnce   int              // passwords hashed at once, of 19 MiB each; 2
	Logger   *slog.Logger     // default: none
	Metrics  *Metrics         // default: counts, unregistered
	Now      func() time.Time // default: time.Now
}

// Defaults of [Config.Limits].
const (
	DefaultIdle     = 12 * time.Hour
	DefaultAbsolute = 7 * 24 * time.Hour
)

const (
	syncEvery   = time.Second
	syncTimeout = 5 * time.Second
	pruneEvery  = 10 * time.Minute
)

// Reasons why somebody is not let in.
var (
	ErrWrong    = errors.New("the name or the password is wrong")
	ErrNotKnown = errors.New("nobody is known yet: the database has not answered since this process began")
	ErrFull     = errors.New("too many sessions")
)

// LimitError is for who tries too often.
type LimitError struct{ After time.Duration }

func (e *LimitError) Error() string { return "too many attempts; wait " + e.After.String() }

// Desk lets people in and knows them again.
type Desk struct {
	config  Config
	log     *slog.Logger
	now     func() time.Time
	metrics *Metrics
	hasher  *account.Hasher
	book    *book
	tries   *tries
	wake    chan struct{} // capacity 1: something is to be saved
	failing bool          // the last comparison failed; of Run alone
	pruned  time.Time     // of Run alone
}

// New returns a Desk that knows nobody until [Desk.Run] has read the accounts.
func New(c Config) (*Desk, error) {
	if c.Accounts == nil {
		return nil, errors.New("make login: Accounts is required")
	}
	if c.Limits.Idle <= 0 {
		c.Limits.Idle = DefaultIdle
	}
	if c.Limits.Absolute <= 0 {
		c.Limits.Absolute = DefaultAbsolute
	}
	if c.AtOnce <= 0 {
		c.AtOnce = 2
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Desk{
		config: c, log: c.Logger, now: c.Now, metrics: c.Metrics, hasher: account.NewHasher(c.AtOnce),
		book: newBook(c.Limits), tries: newTries(), wake: make(chan struct{}, 1),
	}, nil
}

// Hashes is how many passwords were hashed.
func (d *Desk) Hashes() int64 { return d.hasher.Hashes() }

// Known reports whether the accounts were ever read.
func (d *Desk) Known() bool { return d.book.known() }

// Run compares memory with the database until ctx ends; what is unsaved then gets one
// last try.
func (d *Desk) Run(ctx context.Context) {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		d.sync(ctx)
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			if err := d.save(last); err != nil {
				d.log.Warn("logins of the last seconds are not kept", "error", err)
			}
			return
		case <-d.wake:
		case <-tick.C:
		}
	}
}

// save writes what changed of sessions.
func (d *Desk) save(ctx context.Context) error {
	c := d.book.changes()
	if c.Empty() {
		return nil
	}
	if err := d.config.Accounts.SaveSessions(ctx, c); err != nil {
		return err
	}
	d.book.saved(c)
	return nil
}

// sync saves first, so that what it reads then has what it saved. It also reads where
// nothing can be saved, as on a full disk: a revocation counts all the same.
func (d *Desk) sync(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	err := d.save(limited)
	all, unread := d.config.Accounts.Accounts(limited)
	if unread == nil {
		d.book.take(all)
	}
	err = errors.Join(err, unread)
	if now := d.now(); err == nil && now.Sub(d.pruned) >= pruneEvery {
		if err = d.config.Accounts.PruneSessions(limited, now, d.config.Limits); err == nil {
			d.pruned = now
		}
	}
	sessions, unsaved := d.book.size(d.now())
	d.metrics.sessions.Set(float64(sessions))
	d.metrics.unsaved.Set(float64(unsaved))
	if ctx.Err() != nil {
		return
	}
	switch {
	case err != nil && unread == nil && !d.failing:
		d.log.Warn("sessions cannot be saved; they end with this process", "error", err)
	case err != nil && !d.failing:
		d.log.Warn("users and sessions are those from before; changes of them do not count meanwhile", "error", err)
	case err == nil && d.failing:
		d.log.Info("users and sessions are read and saved again", "unsaved", unsaved)
	}
	d.failing = err != nil
}

// LogIn checks a name and a password and returns the secret of a new session, for a
// cookie. Errors are [ErrWrong], [ErrNotKnown], [ErrFull], *[LimitError], or ctx's.
func (d *Desk) LogIn(ctx context.Context, name, password string, from netip.Addr) (secret string, s account.Session, err error) {
	defer func() { d.metrics.count(err) }()
	if !d.Known() {
		return "", s, ErrNotKnown
	}
	now := d.now()
	if after := d.tries.begin(name, from, now); after > 0 {
		return "", s, &LimitError{after}
	}
	u, known := d.book.user(name)
	ok, err := d.hasher.Verify(ctx, u.Hash, password)
	switch {
	case errors.Is(err, account.ErrBusy):
		return "", s, &LimitError{time.Second}
	case err != nil && ctx.Err() != nil:
		return "", s, err
	case err != nil:
		d.log.Error("a user cannot log in", "user", name, "error", err)
		return "", s, ErrWrong
	case !ok || !known || u.Disabled:
		return "", s, ErrWrong
	}
	d.tries.succeeded(name, from)
	return d.open(account.Session{User: u.Name, Role: u.Role, Revision: u.Revision, Created: now, Seen: now, From: from.String()})
}

// Admit opens a session for somebody whom an identity provider vouches for.
func (d *Desk) Admit(name string, role account.Role, from netip.Addr) (secret string, s account.Session, err error) {
	defer func() { d.metrics.count(err) }()
	now := d.now()
	return d.open(account.Session{User: name, Role: role, Created: now, Seen: now, From: from.String()})
}

func (d *Desk) open(s account.Session) (string, account.Session, error) {
	secret := account.NewSecret()
	s.ID = account.HashOf(secret)
	if !d.book.open(s) {
		return "", s, ErrFull
	}
	d.saveSoon()
	return secret, s, nil
}

func (d *Desk) saveSoon() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// LogOut ends a session, at once.
func (d *Desk) LogOut(id account.Hash) {
	d.book.end(id)
	d.saveSoon()
}

// Session returns the session of a secret, and notes that it is used; ok is false when
// there is none, or it is over.
func (d *Desk) Session(secret string) (s account.Session, ok bool) {
	return d.book.session(account.HashOf(secret), d.now())
}

// Use is [Desk.Session] for who has its id.
func (d *Desk) Use(id account.Hash) (s account.Session, ok bool) { return d.book.session(id, d.now()) }

// Token returns the token of a text; ok is false when there is none, or it has expired.
func (d *Desk) Token(text string) (t account.Token, ok bool) {
	id, err := account.ParseToken(text)
	if err != nil {
		return t, false
	}
	t, ok = d.book.token(id)
	return t, ok && t.Is(text) && !t.Expired(d.now())
}

// TokenHolds reports whether a token that was taken is still good.
func (d *Desk) TokenHolds(t account.Token) bool {
	now, ok := d.book.token(t.ID)
	return ok && now.Hash == t.Hash && !now.Expired(d.now())
}

// Overview returns the users, tokens and open sessions, without what is secret.
func (d *Desk) Overview() account.All { return d.book.overview(d.now()) }
