package source

import "errors"

// ErrRefused is wrapped by an error of [Source.Open] that will not go away by
// itself, such as a cursor that belongs to another file. Its message names the cure.
var ErrRefused = errors.New("source refuses to start")
