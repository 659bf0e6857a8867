package verify

// Plan is plan, for tests.
var Plan = plan
