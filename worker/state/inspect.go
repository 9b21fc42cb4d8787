package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"

	"github.com/containerd/errdefs"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// inspect reads the file through before it is used. Bolt trusts what it has
// mapped: a page that is gone or garbled would end the process, in a goroutine
// where nothing can be done about it.
func inspect(path string) (err error) {
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

// explain says what to do about a file that cannot be opened.
func explain(path string, err error) error {
	_, system := errors.AsType[*fs.PathError](err) // the disk is full, for example
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("open %s: another daemon uses it: %w", path, errdefs.ErrFailedPrecondition)
	case system, errors.Is(err, errdefs.ErrFailedPrecondition):
		return fmt.Errorf("open the worker's memory %s: %w", path, err)
	}
	return fmt.Errorf("the worker's memory %s is damaged (%w): remove it, the managers tell this node again what it is to run: %w",
		path, err, errdefs.ErrDataLoss)
}
