package intake

import (
	"context"
	"errors"
	"time"

	"andon.internal/collector/intake/reply"
	"andon.internal/collector/session"
	"andon.internal/shared/telemetry"
)

// Errors of a [Lease] that mean something to the intake. Every other error is taken
// for the database's or the network's, and the call is made again, for ever.
var (
	// ErrLeaseLost means that another holder writes now.
	ErrLeaseLost = errors.New("the lease was lost")
	// ErrRestored means that the database behind the connection is not the one it
	// was: it may lack what was acknowledged. The call is made again.
	ErrRestored = errors.New("the database was restored")
	// ErrRefused means that the same call can never succeed.
	ErrRefused = errors.New("refused")
)

// Leases gives the right to write.
type Leases interface {
	// Acquire takes the right for ttl. It returns nil and no error when another
	// process has it. It may take as long as it takes to prepare the database.
	Acquire(ctx context.Context, ttl time.Duration) (Lease, error)
}

// Lease is the right to write. Every write checks inside its transaction that it is
// still held. Methods are safe for concurrent use; each makes one attempt.
type Lease interface {
	// Commit stores the batch in one transaction and returns what became of it.
	Commit(ctx context.Context, batch []session.Entry) (Committed, error)
	// Sync returns what is stored of the epochs that the birth lists, as a
	// committed fact, and closes what the birth shows to be over.
	Sync(ctx context.Context, n telemetry.Node, b *session.Birth) (reply.Epochs, error)
	// UnitBorn notes that a unit is on test.
	UnitBorn(ctx context.Context, n telemetry.Node, u Unit) error
	// Renew keeps the right for ttl from now.
	Renew(ctx context.Context, ttl time.Duration) error
	// Release gives the right back.
	Release(ctx context.Context) error
}

// Unit is a unit on test, as its birth says.
type Unit struct {
	Name    string
	Profile string // its name
	Born    int64  // unix ns
}

// Outcome says what became of an entry.
type Outcome uint8

// The outcomes. The last three are settled for good and are acknowledged; of what nothing
// is said, nothing is.
const (
	Deferred    Outcome = iota // not now: it comes again
	Invalid                    // not storable, not even aside
	Stored                     // committed now
	Duplicate                  // was settled before
	Quarantined                // kept aside with a reason
)

func (o Outcome) String() string {
	return [...]string{"deferred", "invalid", "stored", "duplicate", "quarantined"}[o]
}

// Committed is what a transaction did.
type Committed struct {
	Outcomes []Outcome // one an entry
	Rows     int       // readings stored
	Late     int       // of these, older than what their unit had
	Reasons  []string  // why entries were quarantined, a few
}
