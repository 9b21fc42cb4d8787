package worker

import "sync"

// wake leaves a message that there is something to do; one is enough.
func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// latch is a channel that is closed once and stays so.
type latch struct {
	closed chan struct{}
	set    func()
}

func newLatch() latch {
	c := make(chan struct{})
	return latch{closed: c, set: sync.OnceFunc(func() { close(c) })}
}
