package store

// WAL is wal, for tests.
type WAL struct{ w wal }

// Begin is what a transaction does at its begin; it returns what it does with the answer.
func (w *WAL) Begin() func(of string, flushed uint64) string {
	before := w.w.now()
	return func(of string, flushed uint64) string { return w.w.identity(of, flushed, before) }
}
