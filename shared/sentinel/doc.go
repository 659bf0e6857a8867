// Package sentinel decides when something is wrong. It evaluates rules over the
// readings of units: incremental features over time windows (an average, a slope, a
// fraction of time above a limit, silence), and predicates over those features.
//
// It runs at both ends of the flow: in the agent, where it says which readings are kept
// longest, and in the collector, which raises alarms. It is pure: readings, ticks and the time come
// in as arguments, transitions go out. It starts no goroutine, reads no clock and
// does no I/O. An [Engine] is not safe for concurrent use.
//
// Two times are kept apart. Windows run on the reading's own time, so a burst of
// delayed readings gives the slope that the machine had. Delays and silence run on
// the time of arrival (now), which must be monotonic.
//
// What it promises:
//
//   - A rule file is checked as a whole when it is loaded: unknown signals,
//     functions and names are errors with their line.
//   - A missing value, or a feature with too few samples, leaves a rule as it is: it
//     neither raises nor clears.
//   - Missing data never clears an alarm and never counts towards a delay.
//   - A delay or a silence that expires is told by the Tick at its deadline
//     ([Engine.Next]), not by the next reading.
//   - What one unit costs is bounded: windows hold at most [MaxSamples] samples.
package sentinel
