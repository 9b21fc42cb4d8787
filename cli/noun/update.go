package noun

import "github.com/containerd/errdefs"

// maxConflicts bounds how often a change is tried while others keep coming first.
const maxConflicts = 5

// Update changes an object: it reads the object and writes what becomes of it.
// When another change came first, which write reports as a conflict, the change
// is made again on the newer object, where the user's flags mean the same.
func Update[T any](read func() (T, error), write func(T) error) error {
	for tries := 1; ; tries++ {
		if err := Once(read, write); !errdefs.IsConflict(err) || tries == maxConflicts {
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
