package access

// Covers is covers, for tests.
var Covers = covers
