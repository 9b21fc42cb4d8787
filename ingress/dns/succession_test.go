package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/muster/muster/ingress/dns/names"
	"github.com/muster/muster/worker/supervise"
)

// supervised runs a resolver as the daemon does, until stop is called. The
// resolver ends with the test. An option makes it one of another version.
func (n *node) supervised(option ...string) (c *supervise.Child, stop func()) {
	n.Helper()
	cmd := n.command()
	c = supervise.New(supervise.Config{
		Name: "resolver", Command: append(cmd.Args, option...), Env: cmd.Env[len(os.Environ()):],
		StateDir: n.dir, LogFile: filepath.Join(n.dir, "resolver.log"),
		FirstRestart: time.Millisecond, Succeed: n.feed.Succeed, Log: slog.New(slog.NewTextHandler(n.Output(), nil)),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			n.Errorf("the resolver's supervisor: %v", err)
		}
	})
	n.Cleanup(func() {
		stop()
		if err := c.Stop(context.Background(), time.Second); err != nil {
			n.Error(err)
		}
	})
	return c, stop
}

// asking is clients that ask without end, one question at a time each.
type asking struct {
	answered, failed atomic.Int64
	longest          atomic.Int64 // nanoseconds without an answer, of any client
	stop             func()
}

// askAll has clients ask for a name in a namespace, each once more after patience. An answer must be want.
func (n *node) askAll(netns, network, name, want string, clients int, patience time.Duration) *asking {
	n.Helper()
	a := new(asking)
	ctx, cancel := context.WithCancel(n.Context())
	var running sync.WaitGroup
	a.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	n.Cleanup(a.stop)
	for range clients {
		running.Go(func() {
			var conn *dns.Conn
			for ctx.Err() == nil {
				began := time.Now()
				got := ""
				for tries := 0; tries < 3 && got != want; tries++ {
					if conn == nil {
						c, err := dial(ctx, netns, network, "127.0.0.11:53")
						if err != nil {
							got = err.Error()
							continue
						}
						conn = &dns.Conn{Conn: c}
					}
					if got = exchange(conn, name, patience); got != want {
						_ = conn.Close()
						conn = nil
						if network == "udp" && patience >= time.Second {
							break // it must not take another try
						}
					}
				}
				if ctx.Err() != nil {
					break
				}
				if took := int64(time.Since(began)); took > a.longest.Load() {
					a.longest.Store(took)
				}
				if a.answered.Add(1); got != want && a.failed.Add(1) < 5 {
					n.Errorf("%s over %s: %s after %s, want %s", name, network, got, time.Since(began), want)
				}
			}
			if conn != nil {
				_ = conn.Close()
			}
		})
	}
	return a
}

// exchange asks once and gives what is said, or why nothing is.
func exchange(conn *dns.Conn, name string, patience time.Duration) string {
	q := new(dns.Msg)
	q.SetQuestion(name, dns.TypeA)
	_ = conn.SetDeadline(time.Now().Add(patience))
	if err := conn.WriteMsg(q); err != nil {
		return err.Error()
	}
	for {
		m, err := conn.ReadMsg()
		if err != nil {
			return err.Error()
		}
		if m.Id != q.Id {
			continue
		}
		said := dns.RcodeToString[m.Rcode]
		for _, rr := range m.Answer {
			if a, ok := rr.(*dns.A); ok {
				said += " " + a.A.String()
			}
		}
		return said
	}
}

// after waits until an asker has had n more answers.
func (a *asking) after(t testing.TB, n int64) {
	t.Helper()
	goal := a.answered.Load() + n
	eventually(t, "answers", func() bool { return a.answered.Load() >= goal })
}

// TestReplaced: a resolver of another version takes over with no look-up failing
// or asked twice: names, others' names that take their time, over both protocols.
func TestReplaced(t *testing.T) {
	n := newNode(t)
	n.slowServer(n.home, "127.0.0.1:53", "192.0.2.9", 30*time.Millisecond)
	c, stop := n.supervised()
	front, _ := two(n)
	udp := n.askAll(front, "udp", "web.", "NOERROR 10.1.0.2", 2, 5*time.Second)
	slow := n.askAll(front, "udp", "example.com.", "NOERROR 192.0.2.9", 2, 5*time.Second)
	tcp := n.askAll(front, "tcp", "web.", "NOERROR 10.1.0.2", 1, 5*time.Second)
	for i := range 3 {
		udp.after(t, 200)
		slow.after(t, 3)
		tcp.after(t, 20)
		before := c.Pid()
		stop()
		c, stop = n.supervised(fmt.Sprintf("-test.timeout=%dm", 90+i))
		eventually(t, "the end of the resolver before", func() bool {
			return errors.Is(syscall.Kill(before, 0), syscall.ESRCH) || zombie(before)
		})
	}
	udp.after(t, 200)
	slow.after(t, 3)
	tcp.after(t, 20)
	for _, a := range []*asking{udp, slow, tcp} {
		a.stop()
		t.Logf("%d answers, the last to come after %s", a.answered.Load(), time.Duration(a.longest.Load()))
	}
}

// zombie reports whether a process has ended, and nobody has asked how.
func zombie(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	var id int
	var name, state string
	n, _ := fmt.Sscan(string(raw), &id, &name, &state)
	return err != nil || n == 3 && state == "Z"
}

// TestKilled: over a kill -9 of the resolver clients that ask again are answered.
func TestKilled(t *testing.T) {
	n := newNode(t)
	c, _ := n.supervised()
	front, _ := two(n)
	udp := n.askAll(front, "udp", "web.", "NOERROR 10.1.0.2", 2, 900*time.Millisecond)
	for range 3 {
		udp.after(t, 200)
		pid := c.Pid()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "another resolver", func() bool { return c.Pid() != pid && c.Pid() != 0 })
	}
	udp.after(t, 200)
	udp.stop()
	t.Logf("%d answers, the last to come after %s", udp.answered.Load(), time.Duration(udp.longest.Load()))
}

// TestLastWords: what waits at a resolver that is to end is answered by it, and
// what comes meanwhile by the next.
func TestLastWords(t *testing.T) {
	n := newNode(t)
	old := n.resolver()
	front, _ := two(n)
	conn := n.connect(front, "udp")
	if err := old.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	const waiting = 200 // about as many as the kernel keeps
	q := new(dns.Msg)
	q.SetQuestion("web.", dns.TypeA)
	for i := range uint16(waiting) {
		q.Id = i
		if err := conn.WriteMsg(q); err != nil {
			t.Fatal(err)
		}
	}
	// One that ends before it is ready leaves the next one as much to take over.
	failed := n.resolver()
	if err := n.feed.Succeed(t.Context(), failed.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if err := failed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = failed.Wait()
	next := n.resolver()
	if err := n.feed.Succeed(t.Context(), next.Process.Pid); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if got, want := n.ask(n.connect(front, "udp"), "web."), "NOERROR 10.1.0.2"; got != want {
			t.Errorf("the next one says %s, want %s", got, want)
		}
		if got, want := n.ask(n.connect(front, "tcp"), "web."), "NOERROR 10.1.0.2"; got != want {
			t.Errorf("the next one says %s, want %s", got, want)
		}
	}
	if err := errors.Join(old.Process.Signal(syscall.SIGTERM), old.Process.Signal(syscall.SIGCONT)); err != nil {
		t.Fatal(err)
	}
	answered := make(map[uint16]bool)
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	for len(answered) < waiting {
		m, err := conn.ReadMsg()
		if err != nil {
			t.Fatalf("%d of %d are answered: %v", len(answered), waiting, err)
		}
		answered[m.Id] = true
	}
	if err := old.Wait(); err != nil {
		t.Errorf("the resolver ended with %v", err)
	}
}

// TestEndsInTime: a client that takes no answers does not keep the resolver.
func TestEndsInTime(t *testing.T) {
	n := newNode(t)
	cmd := n.resolver()
	task := n.netns("task")
	u := cluster(1, names.Client{ID: "task", Netns: task})
	for range 3000 {
		u.Services[0].Endpoints = append(u.Services[0].Endpoints, u.Services[0].Endpoints[0])
	}
	n.change(*u)
	deaf := n.connect(task, "tcp")
	q := new(dns.Msg)
	q.SetQuestion("tasks.svc0.", dns.TypeA)
	_ = deaf.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	for deaf.WriteMsg(q) == nil {
	}
	ended := make(chan error, 1)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(4 * time.Second):
		t.Error("the resolver does not end")
	}
}
