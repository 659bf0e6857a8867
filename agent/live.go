package agent

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"

	"andon.internal/agent/buffer"
	"andon.internal/agent/inspect"
	"andon.internal/agent/local"
	"andon.internal/agent/roster"
	"andon.internal/shared/ops"
	"andon.internal/shared/telemetry"
)

// live is an agent that runs, at its socket.
type live struct {
	data   string
	client *http.Client
}

// errBusy is the answer while another command reads the records.
var errBusy = errors.New("another command reads the records of this agent just now")

// Bounds of what is taken from the agent.
const (
	maxAnswer = 64 << 20
	maxFrame  = 65 << 20 // a record at its largest
)

// get asks the agent.
func (l *live) get(ctx context.Context, path string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent"+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := l.client.Do(r)
	socket := filepath.Join(l.data, local.Name)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, err // the caller says what to do
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, ops.Hint(fmt.Errorf("an agent has the data folder %s, and does not answer at %s", l.data, socket),
			"it starts or stops at this moment, is of an older version, or could not make the socket, which its log says")
	case err != nil:
		return nil, fmt.Errorf("ask the agent at %s: %w", socket, err)
	case resp.StatusCode == http.StatusServiceUnavailable:
		_ = resp.Body.Close()
		return nil, ops.Hint(errBusy, "wait until it is done")
	case resp.StatusCode != http.StatusOK:
		_ = resp.Body.Close()
		return nil, fmt.Errorf("ask the agent at %s: it answers %s", socket, resp.Status)
	}
	return resp.Body, nil
}

// ask asks for a document.
func (l *live) ask(ctx context.Context, path string, into any) error {
	body, err := l.get(ctx, path)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("read the agent's answer: %w", err)
	}
	return nil
}

func (l *live) holdings(ctx context.Context) (h inspect.Holdings, err error) {
	err = l.ask(ctx, pathHoldings, &h)
	return h, err
}

func (l *live) profiles(ctx context.Context) (map[uint64]*telemetry.Profile, error) {
	var docs map[string]json.RawMessage
	err := l.ask(ctx, pathProfiles, &docs)
	return roster.FromDocuments(docs), err
}

func (l *live) records(ctx context.Context, record func(*buffer.Stored) error, damage func(inspect.Damage) error) error {
	body, err := l.get(ctx, pathRecords)
	if err != nil {
		return err
	}
	defer body.Close()
	in := bufio.NewReaderSize(body, 64<<10)
	var frame []byte
	for {
		var head [5]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return fmt.Errorf("the agent's answer is cut off: %w", err)
		}
		n := int(binary.BigEndian.Uint32(head[1:]))
		if n > maxFrame {
			return fmt.Errorf("the agent's answer has a part of %d bytes", n)
		}
		if cap(frame) < n {
			frame = make([]byte, n)
		}
		frame = frame[:n]
		if _, err := io.ReadFull(in, frame); err != nil {
			return fmt.Errorf("the agent's answer is cut off: %w", err)
		}
		switch head[0] {
		case frameRecord, frameMemory:
			s, err := buffer.ParseStored(frame)
			if s.OnDisk = head[0] == frameRecord; err == nil {
				err = record(&s)
			}
			if err != nil {
				return err
			}
		case frameDamage:
			var d inspect.Damage
			if err := json.Unmarshal(frame, &d); err != nil {
				return fmt.Errorf("read the agent's answer: %w", err)
			}
			if err := damage(d); err != nil {
				return err
			}
		case frameEnd:
			return nil
		default:
			return fmt.Errorf("the agent stopped reading its buffer: %s", strings.ToValidUTF8(string(frame), "?"))
		}
	}
}
