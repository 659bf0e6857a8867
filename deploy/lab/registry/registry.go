// Package registry lets commands in other terminals find the labs that run.
//
// Each running lab holds a lock on a small file in a folder of the user's own; the
// kernel drops the lock when the lab dies, however it dies. So an entry is believed
// only while its lock is held, and what a killed lab left behind is swept by the
// next one.
package registry

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Entry is what others need to know of a running lab.
type Entry struct {
	Name      string    `json:"name"`
	PID       int       `json:"pid"`
	Data      string    `json:"data"`
	Temporary bool      `json:"temporary"` // Data is deleted when the lab ends
	Socket    string    `json:"socket"`    // where it takes commands
	Started   time.Time `json:"started"`
}

// Errors for which a caller branches.
var (
	ErrNone  = errors.New("no lab is running; start one with: andon-lab up")
	ErrTaken = errors.New("a lab of that name is running")
)

// maxSocket is the longest path that a Unix socket can have.
const maxSocket = 107

var namePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// folder returns the folder of the user's labs, having made it, and refuses one
// that somebody else could write to.
func folder() (string, error) {
	dir := filepath.Join(os.TempDir(), "andon-lab-"+strconv.Itoa(os.Getuid()))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make the folder of running labs: %w", err)
	}
	fi, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("make the folder of running labs: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return "", fmt.Errorf("make the folder of running labs: %w", err)
	}
	if !fi.IsDir() || fi.Mode().Perm()&0o077 != 0 || int(st.Uid) != os.Getuid() {
		return "", fmt.Errorf("%s is not a folder that only you can use: remove it", dir)
	}
	return dir, nil
}

// Claim is a lab's hold on its name. It is not safe for concurrent use.
type Claim struct {
	name, dir string
	file      *os.File
}

// Take claims a name, or with an empty one the first free of lab1, lab2, ... It
// returns ErrTaken when a running lab has it.
func Take(name string) (*Claim, error) {
	if name != "" && !namePattern.MatchString(name) {
		return nil, fmt.Errorf("name of a lab %q must be 1 to 32 of A-Z a-z 0-9 _ -", name)
	}
	if name != "" {
		return take(name)
	}
	for i := 1; i < 1000; i++ {
		c, err := take("lab" + strconv.Itoa(i))
		if !errors.Is(err, ErrTaken) {
			return c, err
		}
	}
	return nil, errors.New("there are too many labs")
}

func take(name string) (*Claim, error) {
	for {
		dir, err := folder()
		if err != nil {
			return nil, err
		}
		path := filepath.Join(dir, name+".json")
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the last lab has just removed the folder
		}
		if err != nil {
			return nil, fmt.Errorf("claim the name of the lab: %w", err)
		}
		lock := unix.Flock_t{Type: unix.F_WRLCK}
		if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
			f.Close()
			return nil, fmt.Errorf("claim %s: %w", name, ErrTaken)
		}
		// Whoever held the name may have removed the file since it was opened.
		now, err1 := os.Stat(path)
		held, err2 := f.Stat()
		if err1 == nil && err2 == nil && os.SameFile(now, held) {
			c := &Claim{name: name, dir: dir, file: f}
			return c, c.clean()
		}
		f.Close()
	}
}

// clean removes what a killed lab of this name left.
func (c *Claim) clean() error {
	if e, err := readEntry(c.file.Name()); err == nil && e.Temporary && e.Name == c.name {
		if err := os.RemoveAll(e.Data); err != nil {
			return fmt.Errorf("remove what the killed lab %s left: %w", e.Name, err)
		}
	}
	_ = os.Remove(c.Socket())
	return c.file.Truncate(0)
}

// Name is the claimed name.
func (c *Claim) Name() string { return c.name }

// Socket is where the lab should take commands.
func (c *Claim) Socket() string { return filepath.Join(c.dir, c.name+".sock") }

// Publish tells others of the lab. Name, Socket, PID and Started are filled in.
func (c *Claim) Publish(e Entry) error {
	if len(c.Socket()) > maxSocket {
		return fmt.Errorf("%s is too long for a socket: set TMPDIR to a shorter folder", c.Socket())
	}
	e.Name, e.Socket, e.PID, e.Started = c.name, c.Socket(), os.Getpid(), time.Now().Truncate(time.Second)
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("publish the lab: %w", err)
	}
	if _, err := c.file.WriteAt(b, 0); err != nil {
		return fmt.Errorf("publish the lab: %w", err)
	}
	return c.file.Truncate(int64(len(b)))
}

// Release gives the name back and leaves nothing behind.
func (c *Claim) Release() error {
	_ = os.Remove(c.Socket())
	err := os.Remove(c.file.Name())
	c.file.Close()       // and with it the lock
	_ = os.Remove(c.dir) // works for the last one only
	if err != nil {
		return fmt.Errorf("release the name of the lab: %w", err)
	}
	return nil
}

// List returns the running labs by name.
func List() ([]Entry, error) {
	entries, _, err := scan()
	return entries, err
}

// Sweep removes what killed labs left behind and returns their names.
func Sweep() ([]string, error) {
	_, dead, err := scan()
	var swept []string
	for _, name := range dead {
		c, err1 := take(name)
		if errors.Is(err1, ErrTaken) {
			continue // its name has just been taken again
		}
		if err1 == nil {
			err1 = c.Release()
			swept = append(swept, name)
		}
		err = errors.Join(err, err1)
	}
	return swept, err
}

// scan tells running labs from the names of dead ones.
func scan() (alive []Entry, dead []string, err error) {
	dir := filepath.Join(os.TempDir(), "andon-lab-"+strconv.Itoa(os.Getuid()))
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(paths) == 0 {
		return nil, nil, err
	}
	if _, err := folder(); err != nil { // not one that others can write to
		return nil, nil, err
	}
	for _, path := range paths {
		if !held(path) {
			dead = append(dead, strings.TrimSuffix(filepath.Base(path), ".json"))
			continue
		}
		if e, err := readEntry(path); err == nil { // else it is about to be published
			alive = append(alive, e)
		}
	}
	slices.SortFunc(alive, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.Name, b.Name))
	})
	return alive, dead, nil
}

// held reports whether a lab holds the file's lock.
func held(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_RDLCK}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock) == nil && lock.Type != unix.F_UNLCK
}

func readEntry(path string) (Entry, error) {
	var e Entry
	b, err := os.ReadFile(path)
	if err != nil {
		return e, err
	}
	err = json.Unmarshal(b, &e)
	return e, err
}

// Find returns the running lab of that name or data folder; with an empty selector
// the only one that runs, or else ErrNone or an error that names them.
func Find(selector string) (Entry, error) {
	all, err := List()
	if err != nil {
		return Entry{}, err
	}
	if len(all) == 0 {
		return Entry{}, ErrNone
	}
	if selector == "" && len(all) == 1 {
		return all[0], nil
	}
	dir, _ := filepath.Abs(selector)
	var names []string
	for _, e := range all {
		if selector != "" && (e.Name == selector || e.Data == dir) {
			return e, nil
		}
		names = append(names, e.Name)
	}
	if selector == "" {
		return Entry{}, fmt.Errorf("%d labs are running; choose one with --lab: %s", len(all), strings.Join(names, ", "))
	}
	return Entry{}, fmt.Errorf("no lab %q is running; there is: %s", selector, strings.Join(names, ", "))
}

// Gone reports whether the lab of the entry has ended.
func Gone(e Entry) bool {
	path := strings.TrimSuffix(e.Socket, ".sock") + ".json"
	now, err := readEntry(path)
	return err != nil || now.PID != e.PID || !held(path)
}
