package nodes

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// claims is where racks are claimed, a directory for each number.
const claims = "/run/muster-racks"

// maxNumber bounds the numbers claimed by tests: a number is an octet of an address.
const maxNumber = 250

// claim is the exclusive use of a rack's number, held by the lock on a file
// that the kernel releases when the process ends.
type claim struct {
	number int
	lock   *os.File
}

// claimAny claims the first number that nobody uses and nobody keeps.
func claimAny() (*claim, error) {
	for n := 1; n <= maxNumber; n++ {
		c, err := claimNumber(n)
		if errors.Is(err, unix.EWOULDBLOCK) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if c.kept() {
			c.release()
			continue
		}
		return c, nil
	}
	return nil, fmt.Errorf("claim a rack: all %d are in use", maxNumber)
}

// claimNumber claims n; it returns EWOULDBLOCK when another process has it.
func claimNumber(n int) (*claim, error) {
	c := &claim{number: n}
	if err := os.MkdirAll(c.directory(), 0o755); err != nil {
		return nil, fmt.Errorf("claim rack %d: %w", n, err)
	}
	f, err := os.OpenFile(c.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		err = unix.EWOULDBLOCK // the last holder is just leaving
	}
	if err != nil {
		return nil, fmt.Errorf("claim rack %d: %w", n, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("claim rack %d: %w", n, err)
	}
	// Whoever had the number before may have ended the claim, and the file with
	// it, after it was opened here: then the lock is on nothing.
	if !c.holds(f) {
		f.Close()
		return nil, fmt.Errorf("claim rack %d: %w", n, unix.EWOULDBLOCK)
	}
	c.lock = f
	return c, nil
}

// holds reports whether f is the claim's lock file still.
func (c *claim) holds(f *os.File) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(c.path("lock"))
	return err == nil && os.SameFile(opened, now)
}

func (c *claim) directory() string       { return filepath.Join(claims, strconv.Itoa(c.number)) }
func (c *claim) path(name string) string { return filepath.Join(c.directory(), name) }

// keep makes the number stay taken after this process.
func (c *claim) keep() error { return os.WriteFile(c.path("keep"), nil, 0o600) }

// kept reports whether a rack of an earlier process stands on purpose.
func (c *claim) kept() bool {
	_, err := os.Stat(c.path("keep"))
	return err == nil
}

// setDir notes where the rack's nodes have their directories, for whoever sweeps or attaches.
func (c *claim) setDir(dir string) error { return os.WriteFile(c.path("dir"), []byte(dir), 0o600) }

// dir is the noted directory, empty when there is none.
func (c *claim) dir() string {
	b, err := os.ReadFile(c.path("dir"))
	if err != nil {
		return ""
	}
	return string(b)
}

// release lets go of the number; a rack that stands keeps its directory.
func (c *claim) release() { c.lock.Close() }

// end gives the number back and forgets what was noted.
func (c *claim) end() error {
	err := os.RemoveAll(c.directory())
	os.Remove(claims) // goes with the last claim
	c.lock.Close()
	return err
}
