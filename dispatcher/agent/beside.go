package agent

import (
	"context"
	"iter"
	"time"
)

// stagger is how long a manager may take to connect before the next one is
// tried beside it (RFC 8305, 5): what is gone must not keep a node from what
// is there.
const stagger = 250 * time.Millisecond

// Attempt is how a connection to a manager came out.
type Attempt[T any] struct {
	Addr string
	Conn T
	Err  error
}

// Beside connects to managers beside each other, each a moment after the one
// before it, or at once when that is done. It yields the attempts as they come
// out, until all have or ctx is done. Connections that are not yielded are closed.
func Beside[T any](ctx context.Context, addrs []string, connect func(ctx context.Context, addr string) (T, error), discard func(T)) iter.Seq[Attempt[T]] {
	return func(yield func(Attempt[T]) bool) {
		ctx, over := context.WithCancel(ctx)
		defer over()
		attempts := make(chan Attempt[T])
		try := func(addr string) {
			conn, err := connect(ctx, addr)
			select {
			case attempts <- Attempt[T]{addr, conn, err}:
			case <-ctx.Done():
				if err == nil {
					discard(conn)
				}
			}
		}
		for left, waiting := addrs, 0; len(left) > 0 || waiting > 0; {
			if len(left) > 0 {
				go try(left[0])
				left, waiting = left[1:], waiting+1
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(stagger):
			case a := <-attempts:
				waiting--
				if !yield(a) {
					return
				}
			}
		}
	}
}
