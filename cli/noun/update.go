package noun

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/containerd/errdefs"
)

// A change is tried so often while others keep coming first, with pauses that
// keep those who do it at the same time apart: about 6 s in all.
const (
	maxConflicts  = 20
	firstConflict = 10 * time.Millisecond
	maxPause      = 500 * time.Millisecond
)

// Update changes an object: it reads the object and writes what becomes of it.
// When another change came first, which write reports as a conflict, the change
// is made again on the newer object, where the user's flags mean the same.
func Update[T any](ctx context.Context, read func() (T, error), write func(T) error) error {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval = firstConflict, maxPause
	for tries := 1; ; tries++ {
		err := Once(read, write)
		if !errdefs.IsConflict(err) || tries == maxConflicts {
			return err
		}
		select {
		case <-time.After(pauses.NextBackOff()):
		case <-ctx.Done():
			return err
		}
	}
}

// Once is Update without another try after a conflict.
func Once[T any](read func() (T, error), write func(T) error) error {
	object, err := read()
	if err != nil {
		return err
	}
	return write(object)
}
