package bench

// What tests look at.
var (
	SpreadOf   = spread
	ParseStat  = parseStat
	CPUSeconds = cpuSeconds
)

// Usage is usage, for tests.
type Usage = usage
