//go:build andon_broken

package broken

import "os"

var which = os.Getenv("ANDON_BROKEN")

// Is reports whether the rule is broken.
func Is(rule string) bool { return rule == which }
