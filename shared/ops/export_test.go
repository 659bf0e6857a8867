package ops

// FirstTime and Later are the parts of Now and of when the build was made.
var (
	FirstTime = firstTime
	Later     = later
)
