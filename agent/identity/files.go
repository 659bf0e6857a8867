package identity

import (
	"errors"
	"path/filepath"

	"andon.internal/shared/atomicfile"
)

// Files are where a cell's certificates lie.
type Files struct {
	CA   string // the authority's certificate
	Pair string // our own and its key, in one file
}

// FilesIn names the files in a folder.
func FilesIn(dir string) Files {
	return Files{CA: filepath.Join(dir, "ca.crt"), Pair: filepath.Join(dir, "cell.pem")}
}

// prepare makes the folders of the files, and tries whether they can be written to: a
// token that was used must not meet a folder that is closed.
func (f Files) prepare() error {
	return errors.Join(atomicfile.Prepare(f.CA), atomicfile.Prepare(f.Pair))
}
