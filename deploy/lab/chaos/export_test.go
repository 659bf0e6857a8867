package chaos

// Plan is plan, for tests.
var Plan = plan

// Things are what a strike needs for itself.
func (s *Strike) Things() []string { return s.Fault.needs(s.Target) }
