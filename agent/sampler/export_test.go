package sampler

// Mark is the stored cursor, for tests of its codec.
type Mark = mark

var (
	EncodeMark = encodeMark
	DecodeMark = decodeMark
)
