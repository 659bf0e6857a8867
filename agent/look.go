package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/agent/inspect"
	"andon.internal/agent/local"
	"andon.internal/agent/roster"
	"andon.internal/agent/state"
	"andon.internal/shared/ops"
	"andon.internal/shared/profiles"
	"andon.internal/shared/telemetry"
)

// Look is a look at an agent and its buffer from another process: it asks an agent that
// runs over its local socket, and reads the files of one that does not. It changes
// nothing.
type Look struct {
	data      string
	endurance int64
	known     map[uint64]*telemetry.Profile // of this program and the configuration
}

// NewLook returns a look at the agent of a configuration, or, where that is nil, at the
// one of a data folder.
func NewLook(cfg *Config, data string) (*Look, error) {
	l := &Look{data: data, endurance: int64(DefaultConfig().Buffer.Endurance), known: map[uint64]*telemetry.Profile{}}
	list := profiles.Builtin()
	if cfg != nil {
		var err error
		if list, err = profiles.All(cfg.Profiles); err != nil {
			return nil, err
		}
		l.data, l.endurance = string(cfg.Data), int64(cfg.Buffer.Endurance)
	}
	for _, p := range list {
		l.known[p.Fingerprint()] = p
	}
	return l, nil
}

// holder is where records are: with an agent that runs, or in its files.
type holder interface {
	holdings(ctx context.Context) (inspect.Holdings, error)
	profiles(ctx context.Context) (map[uint64]*telemetry.Profile, error)
	// records calls record for every record, and damage for what does not read back.
	records(ctx context.Context, record func(*buffer.Stored) error, damage func(inspect.Damage) error) error
}

// open finds out who has the buffer.
func (l *Look) open(ctx context.Context) (holder, error) {
	f, err := buffer.OpenFolder(filepath.Join(l.data, "buffer"))
	if !errors.Is(err, buffer.ErrInUse) && local.Answers(ctx, l.data) {
		return &live{l.data, local.Client(l.data)}, nil // it runs without its disk
	}
	switch {
	case err == nil:
		return &stopped{l, f}, nil
	case errors.Is(err, buffer.ErrInUse):
		return &live{l.data, local.Client(l.data)}, nil
	case errors.Is(err, buffer.ErrNoBuffer):
		return nil, ops.Hint(err, "the folder is the one that agent.yaml names under data; an agent that runs makes the buffer in it")
	}
	return nil, l.hint(err)
}

// hint says what to do where the system refuses.
func (l *Look) hint(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return ops.Hint(err, "run this as root, or as the user whose agent it is; reading the files of a stopped agent takes the right to read them")
	case errors.Is(err, buffer.ErrChanged), errors.Is(err, state.ErrInUse):
		return ops.Hint(buffer.ErrChanged, "ask again: an agent that runs answers itself")
	}
	return err
}

// Status asks the agent. Where none runs it returns nil, and what its files hold.
func (l *Look) Status(ctx context.Context) (*inspect.Status, *inspect.Holdings, error) {
	h, err := l.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	if a, ok := h.(*live); ok {
		var s inspect.Status
		if err := a.ask(ctx, pathStatus, &s); err != nil {
			return nil, nil, l.hint(err)
		}
		return &s, nil, nil
	}
	held, err := h.holdings(ctx)
	return nil, &held, l.hint(err)
}

// lossPatience is how long records are looked through for those that tell a loss.
const lossPatience = 3 * time.Second

// maxLosses is how many of them are listed.
const maxLosses = 1000

var errEnough = errors.New("enough")

// Holdings returns what the buffer holds.
func (l *Look) Holdings(ctx context.Context) (inspect.Holdings, error) {
	h, err := l.open(ctx)
	if err != nil {
		return inspect.Holdings{}, err
	}
	held, err := h.holdings(ctx)
	if err != nil {
		return held, l.hint(err)
	}
	limited, cancel := context.WithTimeout(ctx, lossPatience)
	defer cancel()
	err = h.records(limited, func(s *buffer.Stored) error {
		if loss, ok := inspect.LossOf(s); ok {
			held.Losses = append(held.Losses, loss)
		}
		if len(held.Losses) == maxLosses {
			return errEnough
		}
		return limited.Err()
	}, func(inspect.Damage) error { return nil })
	if errors.Is(err, errEnough) || errors.Is(err, errBusy) || limited.Err() != nil && ctx.Err() == nil {
		held.LossesPartial, err = true, nil
	}
	return held, l.hint(err)
}

// Verify reads every record and calls damage for what does not read back.
func (l *Look) Verify(ctx context.Context, damage func(inspect.Damage) error) (inspect.Tally, error) {
	var t inspect.Tally
	h, err := l.open(ctx)
	if err != nil {
		return t, err
	}
	err = h.records(ctx, func(s *buffer.Stored) error {
		t.Records++
		t.Readings += uint64(s.Rows)
		t.Bytes += uint64(len(s.Data))
		if s.Class == buffer.Loss {
			t.Losses++
		}
		return nil
	}, damage)
	return t, l.hint(err)
}

// Export writes the readings that the buffer holds, and calls damage for what does not
// read back. It keeps one record in memory at a time. In CSV it reads the records twice:
// first to see which signals occur.
func (l *Look) Export(ctx context.Context, format string, f inspect.Filter, w writer, damage func(inspect.Damage) error) (inspect.Tally, error) {
	var t inspect.Tally
	h, err := l.open(ctx)
	if err != nil {
		return t, err
	}
	known, err := h.profiles(ctx)
	if err != nil {
		return t, l.hint(err)
	}
	maps.Copy(known, l.known)
	occurring := inspect.Occurring{Filter: f, Profiles: known}
	if format == "csv" {
		err = h.records(ctx, func(s *buffer.Stored) error {
			occurring.Add(s)
			return nil
		}, func(inspect.Damage) error { return nil })
		if err != nil {
			return t, l.hint(err)
		}
	}
	e, err := inspect.NewExporter(format, w, f, known, occurring.Found())
	if err != nil {
		return t, err
	}
	err = h.records(ctx, e.Add, damage)
	return e.Tally, l.hint(errors.Join(err, e.Close()))
}

// writer is an io.Writer.
type writer interface{ Write(p []byte) (int, error) }

// stopped are the files of an agent that does not run.
type stopped struct {
	look   *Look
	folder *buffer.Folder
}

func (s *stopped) statePath() string { return filepath.Join(s.look.data, "state.db") }

func (s *stopped) holdings(context.Context) (inspect.Holdings, error) {
	inv, err := s.folder.Inventory()
	if err != nil {
		return inspect.Holdings{}, err
	}
	h := inspect.HoldingsOf(s.look.data, false, inv)
	doc, err := s.card()
	switch {
	case err == nil:
		c := cardStatus(doc, 0, s.look.endurance)
		h.Card = &c
	case errors.Is(err, state.ErrInUse):
		return h, buffer.ErrChanged
	case !errors.Is(err, fs.ErrNotExist):
		h.Faults = append(h.Faults, err.Error())
	}
	return h, nil
}

func (s *stopped) card() (doc cardDoc, err error) {
	st, err := state.OpenReadOnly(s.statePath())
	if err != nil {
		return doc, err
	}
	b, err := st.Get(cardBucket, cardKey)
	if err = errors.Join(err, st.Close()); err != nil {
		return doc, err
	}
	return parseCard(b)
}

// profiles returns those that the agent has used. Without its state they are only those
// of this program and the configuration.
func (s *stopped) profiles(context.Context) (map[uint64]*telemetry.Profile, error) {
	st, err := state.OpenReadOnly(s.statePath())
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, state.ErrDamaged) {
		return map[uint64]*telemetry.Profile{}, nil
	}
	if err != nil {
		return nil, err
	}
	docs, err := roster.StoredDocuments(st)
	if errors.Is(err, state.ErrDamaged) {
		err = nil
	}
	return roster.FromDocuments(docs), errors.Join(err, st.Close())
}

func (s *stopped) records(ctx context.Context, record func(*buffer.Stored) error, damage func(inspect.Damage) error) error {
	return s.folder.Verify(ctx, func(f buffer.Found) error {
		if f.Err != nil {
			return damage(inspect.DamageOf(f))
		}
		return record(&f.Stored)
	})
}

// Summary says in short what the files of a stopped agent hold.
func Summary(h *inspect.Holdings) string {
	var held uint64
	var size int64
	for _, e := range h.Epochs {
		held += e.Held
	}
	for _, f := range h.Files {
		size += f.Bytes
	}
	ended := "nothing of an agent"
	if n := len(h.Epochs); n > 0 {
		last := h.Epochs[n-1]
		ended = fmt.Sprintf("the last agent began at %s and its end is %s", last.Began.UTC().Format(time.RFC3339), last.Ended)
	}
	return fmt.Sprintf("its files hold %d records in %d files of %d bytes; %s", held, len(h.Files), size, ended)
}

// NoBuffer reports whether err says that there is no buffer, so that no agent can run.
func NoBuffer(err error) bool { return errors.Is(err, buffer.ErrNoBuffer) }
