package command

import (
	"fmt"
	"io"
)

// Output is standard output that remembers that it could not be written, so
// that a command whose result is lost does not end as if nothing were wrong.
type Output struct {
	io.Writer
	err error
}

// Write writes p. Its first error is kept.
func (o *Output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil && o.err == nil {
		o.err = err
	}
	return n, err
}

// Err is why something was not written; nil when all was.
func (o *Output) Err() error {
	if o.err == nil {
		return nil
	}
	return fmt.Errorf("write the result: %w", o.err)
}
