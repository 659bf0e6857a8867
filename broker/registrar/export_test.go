package registrar

import "time"

// Bounds.
const (
	MaxStrikes   = maxStrikes
	MaxAddresses = maxAddresses
	StrikeWindow = strikeWindow
)

// NewStrikes returns a count of tokens that were not good.
var NewStrikes = newStrikes

// Strikes is that count.
type Strikes = strikes

// Add and Out are its methods.
var (
	Add = (*strikes).add
	Out = (*strikes).out
)

// Age gives the registrar a certificate of its own that has only so much life left, and
// returns its serial number.
func (r *Registrar) Age(left time.Duration) (serial string, err error) {
	aged := &ownCertificate{authority: r.own.authority, names: r.own.names, life: left}
	if err := aged.renew(); err != nil {
		return "", err
	}
	r.own.mu.Lock()
	defer r.own.mu.Unlock()
	r.own.pair = aged.pair
	return aged.pair.Leaf.SerialNumber.Text(16), nil
}
