package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"andon.internal/shared/freeport"
)

// settings are the configuration of a private server. What makes commits durable
// is left on: this server stands for a plant's. Shared memory segments are files
// of the cluster, so that a killed server leaves none elsewhere.
func (s *Server) settings() map[string]string {
	set := map[string]string{
		"listen_addresses":           "'" + s.opt.Host + "'",
		"port":                       strconv.Itoa(s.port),
		"unix_socket_directories":    "''",
		"fsync":                      "on",
		"synchronous_commit":         "on",
		"full_page_writes":           "on",
		"max_connections":            "60",
		"shared_buffers":             "128MB",
		"max_wal_size":               "1GB",
		"dynamic_shared_memory_type": "mmap",
		"logging_collector":          "off",
		"log_line_prefix":            "'%m [%p] %d '",
		"timezone":                   "'UTC'",
		"log_timezone":               "'UTC'",
	}
	for k, v := range s.opt.Settings {
		set[k] = "'" + strings.ReplaceAll(v, "'", "''") + "'"
	}
	return set
}

// Start starts a server that was stopped or killed, on the same port, and returns
// when it takes connections. It does nothing when the server runs.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.removed {
		return errors.New("start postgres: the server was removed")
	}
	if s.proc != nil && !s.proc.exited() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	chosen := s.port == 0
	for attempt := 0; ; attempt++ {
		if chosen && s.proc == nil {
			port, err := freeport.Take()
			if err != nil {
				return err
			}
			s.port = port
		}
		err := s.startOnce(ctx)
		if err == nil {
			return nil
		}
		// A free port may be taken by another before we have it, and the kernel
		// takes a moment to clean what a killed server held.
		text := err.Error()
		passing := strings.Contains(text, "shared memory block") || strings.Contains(text, "lock file") ||
			chosen && strings.Contains(text, "could not bind")
		if !passing || attempt == 100 {
			return err
		}
		s.opt.Logger.Debug("postgres start is tried again", "error", text)
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("start postgres: %w", errors.Join(err, errors.New(text)))
		}
	}
}

func (s *Server) startOnce(ctx context.Context) error {
	if err := s.writeConfig(); err != nil {
		return err
	}
	log, err := os.OpenFile(s.LogFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	defer log.Close()
	var offset int64
	if fi, err := log.Stat(); err == nil {
		offset = fi.Size()
	}
	cmd := s.owner.command(context.WithoutCancel(ctx), filepath.Join(s.bin, "postgres"), "-D", s.data())
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.opt.Dir, log, log
	proc, err := launch(cmd, s.opt.Netns)
	if err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	for !s.ready(proc.pid) {
		select {
		case <-proc.done:
			return fmt.Errorf("start postgres: it ended: %s", s.logTail(offset))
		case <-ctx.Done():
			proc.killAll()
			return fmt.Errorf("start postgres: %w: %s", ctx.Err(), s.logTail(offset))
		case <-time.After(20 * time.Millisecond):
		}
	}
	s.proc = proc
	return nil
}

// writeConfig puts our settings into a file that postgresql.conf includes last.
func (s *Server) writeConfig() error {
	set := s.settings()
	keys := make([]string, 0, len(set))
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var b strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&b, "%s = %s\n", k, set[k])
	}
	path := filepath.Join(s.data(), "postgresql.auto.conf")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("configure postgres: %w", err)
	}
	return s.owner.give(path)
}

// ready reports whether the postmaster has written that it takes connections, as
// pg_ctl looks for it: line 8 of postmaster.pid.
func (s *Server) ready(pid int) bool {
	lines := s.pidFile()
	return len(lines) >= 8 && lines[0] == strconv.Itoa(pid) && strings.TrimSpace(lines[7]) == "ready"
}

func (s *Server) pidFile() []string {
	b, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		return nil
	}
	return strings.Split(string(b), "\n")
}

// Stop ends the server in order (a "fast" shutdown: sessions are ended, data is
// flushed), or by force after 30 s. It does nothing when the server does not run.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return nil
	}
	proc := s.proc
	s.proc = nil
	if err := proc.signal(syscall.SIGINT); err != nil {
		return fmt.Errorf("stop postgres: %w", err)
	}
	select {
	case <-proc.done:
		return nil
	case <-time.After(stopTimeout):
		proc.killAll()
		return fmt.Errorf("stop postgres: it did not end within %v and was killed", stopTimeout)
	}
}

// Kill ends every process of the server with SIGKILL at one moment, as if they had
// crashed together. Start recovers the cluster from its log.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil {
		s.proc.killAll()
		s.proc = nil
	}
	return nil
}

// Remove ends the server and deletes its folder with everything in it. The server
// cannot be started again. A second call does nothing.
func (s *Server) Remove() error {
	if err := s.Kill(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.removed {
		return nil
	}
	s.removed = true
	// The killed server's interlock, a System V segment of a few bytes, would stay.
	if lines := s.pidFile(); len(lines) >= 7 {
		if ids := strings.Fields(lines[6]); len(ids) == 2 {
			if id, err := strconv.Atoi(ids[1]); err == nil {
				_, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
			}
		}
	}
	if err := os.RemoveAll(s.opt.Dir); err != nil {
		return fmt.Errorf("remove postgres: %w", err)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
