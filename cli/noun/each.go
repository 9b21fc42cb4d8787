package noun

import "errors"

// ForEach does the same to several targets. One that fails does not strand the
// others; the errors come together at the end.
func ForEach[T any](targets []T, do func(T) error) error {
	var errs []error
	for _, t := range targets {
		if err := do(t); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
