package local

// BareAddress is the address of a data folder's bare socket.
func BareAddress(dir string) string { return bare(dir) }
