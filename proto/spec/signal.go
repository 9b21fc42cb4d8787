package spec

import (
	"syscall"

	"github.com/moby/sys/signal"

	"github.com/muster/muster/internal/text"
)

// maxSignal is the last of Linux's signals (SIGRTMAX).
const maxSignal = 64

// Signal returns the signal of that name, with or without SIG, or number.
// InvalidArgument when Linux has none.
func Signal(name string) (syscall.Signal, error) {
	s, err := signal.ParseSignal(name)
	if err != nil || s < 1 || s > maxSignal {
		return 0, invalid("stop signal %s: use a name such as SIGTERM or a number from 1 to %d", text.Quote(name), maxSignal)
	}
	return s, nil
}
