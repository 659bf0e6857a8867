// Package dyno is the physics of a robot actuator on a dynamometer: what the machine
// does, and what its sensors make of it. It is the digital twin behind the simulated
// source.
//
// A [Machine] is driven by a [Programme] (ramp, hold, reverse, cool down), heats up by
// its copper and iron losses, is cooled through its jacket, shakes with its speed, and
// can be given faults. [Sensors] add what a plant adds: noise, steps of the converter,
// stuck and missing signals. Everything follows from the seed and the steps: nothing
// here reads a clock, starts a goroutine or does I/O. A Machine belongs to one
// goroutine.
//
// The motor is a 10 kW class permanent-magnet servo actuator. Sources of the formulas:
// copper and iron losses and the two-mass thermal network after Pyrhönen, Jokinen,
// Hrabovcová, Design of Rotating Electrical Machines, chapters 9 and 10; convection in
// the jacket grows with flow to the power 0.8 (Dittus and Boelter).
package dyno
