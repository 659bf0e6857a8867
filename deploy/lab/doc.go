// Package lab is the factory in a box; its tests run the real binaries end to end.
//
// The parts: [andon.internal/lab/process] runs a program, [andon.internal/lab/cable]
// is a network cable, [andon.internal/lab/factory] puts them together with
// PostgreSQL. [andon.internal/lab/demo] keeps a factory up for people, who steer it
// through [andon.internal/lab/registry] and [andon.internal/lab/control].
// [andon.internal/lab/browser] looks at its pages and [andon.internal/lab/screenshots]
// photographs them. [andon.internal/lab/verify] and [andon.internal/lab/bench] drive
// one by themselves; [andon.internal/lab/checker] and [andon.internal/lab/cmapss] say
// what should be stored and whether it is. [andon.internal/lab/chaos] breaks a factory, with
// [andon.internal/lab/relay], [andon.internal/lab/flakyfs] and [andon.internal/lab/loopdisk];
// [andon.internal/lab/model] tries the protocol in every state.
package lab
