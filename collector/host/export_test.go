package host

import "time"

// SetQuiet sets how long nothing may come until the host wants to hear itself.
func (h *Host) SetQuiet(d time.Duration) { h.quiet = d }
