package uplink

import (
	"time"

	"andon.internal/agent/uplink/internal/link"
	"andon.internal/shared/sparkplug"
)

// maxHosts bounds the host applications that are followed.
const maxHosts = 64

// hostState is what a host application last said of itself.
type hostState struct {
	timestamp int64
	online    bool
}

// hostSaid follows the host applications: the primary one where there is one, else all.
func (s *session) hostSaid(now time.Time, host string, m link.Message) error {
	st, err := sparkplug.ParseState(m.Payload)
	if err != nil {
		s.invalid(m, err)
		return nil
	}
	known, seen := s.up.hosts[host]
	switch {
	case seen && st.Timestamp < known.timestamp:
		return nil // older than what is known
	case !seen && len(s.up.hosts) >= maxHosts:
		s.refused(refusedMalformed)
		return nil
	}
	s.up.hosts[host] = hostState{st.Timestamp, st.Online}
	if s.up.cfg.PrimaryHost == "" {
		s.lookAtHosts(now)
		return nil
	}
	switch {
	case st.Online && !s.born && s.birthAt.IsZero():
		s.birthAt = now
	case !st.Online && (s.born || !s.birthAt.IsZero()):
		return errHostGone
	}
	return nil
}

// lookAtHosts notes since when none of the hosts is online.
func (s *session) lookAtHosts(now time.Time) {
	for _, h := range s.up.hosts {
		if !h.online {
			continue
		}
		if !s.hostsGone.IsZero() {
			s.hostsGone, s.hostBack = time.Time{}, now // it has its time to say something
		}
		return
	}
	if s.hostsGone.IsZero() {
		s.hostsGone = now
	}
}

// abandoned reports whether it is known that nobody is there to acknowledge: every host
// said that it is offline, or the broker said it for them, and nothing was acknowledged
// since.
func (s *session) abandoned() bool {
	return !s.hostsGone.IsZero() && !s.acked.After(s.hostsGone)
}
