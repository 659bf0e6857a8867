package screenshots

// Pack is pack, for tests.
var Pack = pack
