package registrar

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
