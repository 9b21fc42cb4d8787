// Package boltfile opens bbolt files that may have been damaged, and tells
// damage from other trouble.
package boltfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"time"

	"github.com/containerd/errdefs"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// lockTimeout is how long another daemon may take to let go of a file.
const lockTimeout = 2 * time.Second

// Options are those to open a file with. The list of free pages is found by a
// scan at the start instead of being written with every change.
func Options() *bbolt.Options {
	return &bbolt.Options{Timeout: lockTimeout, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType}
}

// Open checks the file at path and opens it, or creates one. Errors are those
// of [Explain].
func Open(path string) (*bbolt.DB, error) {
	if err := Check(path); err != nil {
		return nil, err
	}
	db, err := bbolt.Open(path, 0o600, Options())
	if err != nil {
		return nil, Explain(path, err)
	}
	return db, nil
}

// Check reads the file at path through before it is used; one that is empty
// or not there is fine. Bolt trusts what it has mapped: a page that is gone or
// garbled would end the process, in a goroutine where nothing can be done
// about it. Errors are those of [Explain].
func Check(path string) error {
	if err := readThrough(path); err != nil {
		return Explain(path, err)
	}
	return nil
}

func readThrough(path string) (err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && info.Size() == 0) {
		return nil // a new one
	} else if err != nil {
		return err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockTimeout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(tx *bbolt.Tx) error {
		if info.Size() < tx.Size() {
			return fmt.Errorf("it was cut off: it has %d of %d bytes", info.Size(), tx.Size())
		}
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(_, _ []byte) error { return nil })
		})
	})
}

// Explain says what is wrong with a file that could not be opened. It is
// FailedPrecondition when another daemon uses it, and the system's own error
// when the system refused, as it does without permission or on a disk that
// fails. Anything else is DataLoss: then the error's text is
// "PATH is damaged (WHY): data loss", and the caller says what can be done.
func Explain(path string, err error) error {
	_, system := errors.AsType[*fs.PathError](err)
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("open %s: another daemon uses it: %w", path, errdefs.ErrFailedPrecondition)
	case system:
		return fmt.Errorf("open %s: %w", path, err)
	}
	return fmt.Errorf("%s is damaged (%w): %w", path, err, errdefs.ErrDataLoss)
}
