package bench

import (
	"testing"

	"github.com/prometheus/procfs"

	"github.com/muster/muster/integration/nodes"
)

// busy is what has used the machine's cores, in seconds of one core. What is
// left of all are shims, runc, the tasks and the kernel.
type busy struct{ all, daemon, logger, containerd float64 }

// busyNow returns what the cores have been used for since the machine's start.
func busyNow(b *testing.B, node *nodes.Node) (s busy) {
	b.Helper()
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		b.Fatal(err)
	}
	machine, err := fs.Stat()
	if err != nil {
		b.Fatal(err)
	}
	t := machine.CPUTotal
	s.all = t.User + t.Nice + t.System + t.IRQ + t.SoftIRQ
	of := func(name string, args ...string) float64 {
		b.Helper()
		p, err := node.Process(name, args...)
		if err != nil {
			b.Fatal(err)
		}
		proc, err := fs.Proc(p.PID)
		if err != nil {
			b.Fatal(err)
		}
		stat, err := proc.Stat()
		if err != nil {
			b.Fatal(err)
		}
		return stat.CPUTime()
	}
	s.daemon, s.logger, s.containerd = of("muster", "daemon"), of("muster", "logger"), of("containerd")
	return s
}

// use adds what f uses to s and returns how long it took.
func (s *busy) use(b *testing.B, node *nodes.Node, f func()) {
	b.Helper()
	before := busyNow(b, node)
	f()
	after := busyNow(b, node)
	s.all += after.all - before.all
	s.daemon += after.daemon - before.daemon
	s.logger += after.logger - before.logger
	s.containerd += after.containerd - before.containerd
}

// log tells where the cores' time went, a round.
func (s *busy) log(b *testing.B, name string) {
	b.Helper()
	b.Logf("%s: of %.2f s of a core a round: daemon %.2f, logger %.2f, containerd %.2f, others %.2f", name,
		s.all/rounds, s.daemon/rounds, s.logger/rounds, s.containerd/rounds, (s.all-s.daemon-s.logger-s.containerd)/rounds)
}
