package ops

// FirstTime and NotBefore are the parts of Now and of when the build was made.
var (
	FirstTime = firstTime
	NotBefore = notBefore
)
