package health

import (
	"context"
	"sync"
	"time"
)

// How long the parts of a look may take. A cell's heartbeat comes every 2 s.
const (
	askFor    = 4 * time.Second
	listenFor = 4500 * time.Millisecond
)

// Sources is where a look looks. All but Leases and Retired is required.
type Sources struct {
	// Database returns what the database says, or why it says nothing.
	Database func(ctx context.Context) (Facts, error)
	// Broker calls hear with what comes from the broker on the topics of [Topics],
	// until ctx ends, and returns nil, or why nothing can come. It may call hear
	// from any goroutine, but not after it has returned.
	Broker func(ctx context.Context, hear func(topic string, payload []byte, retained bool)) error
	// Leases are those that somebody must hold; [IntakeLease] always is.
	Leases []string
	// HostID is the host application that the cells work with.
	HostID string
	// Window is how far back losses and quarantined entries count.
	Window time.Duration
	// Retired are cells, as GROUP/NODE, that are not missed when they are silent.
	Retired []string
}

// Facts is what the database says.
type Facts struct {
	Leases            []Lease
	Nodes             []Node
	Lost, Quarantined []Trouble
	Ahead             []Days
}

// Lease is who holds a lease, and for how long yet; below 0 it has expired.
type Lease struct {
	Name, Holder string
	Left         time.Duration
}

// Node is a node as the database knows it; zero times mean never.
type Node struct {
	Group, Node           string
	Born, Doubted, Newest time.Time
	Outstanding           int64 // positions on the way, or at the node
	Unaccounted           int64 // positions that can come no more, and were not told lost
}

// Trouble is how many positions of a node's were lost, or set aside, for one reason.
type Trouble struct {
	Group, Node, Reason string

	Count int64
}

// Days says for how many whole days from now a profile has partitions.
type Days struct {
	Profile string
	Days    int
}

// Look takes one look. It returns an error only when ctx ends.
func Look(ctx context.Context, s Sources) (Report, error) {
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	listening, stop := context.WithTimeout(limited, listenFor)
	defer stop()

	e := newEar(s.HostID)
	v := view{sources: s, now: began}
	var parts sync.WaitGroup
	parts.Go(func() {
		defer stop() // what cannot be heard is not waited for
		v.brokerErr = s.Broker(listening, e.hear)
	})
	asking, end := context.WithTimeout(limited, askFor)
	v.facts, v.databaseErr = s.Database(asking)
	end()
	if v.databaseErr == nil {
		e.await(listening, v.expected())
	} else {
		<-listening.Done() // who should be heard is not known
	}
	stop()
	parts.Wait()
	if err := ctx.Err(); err != nil {
		return Report{}, err
	}
	v.heard, v.host = e.heard()
	r := v.judge()
	r.close(began, time.Now())
	return r, nil
}
