package dns

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/muster/muster/ingress/dns/names"
)

// TestFlood: a task that asks without end, and opens connections without end,
// costs only itself.
func TestFlood(t *testing.T) {
	n := newNode(t)
	n.slowServer(n.home, "127.0.0.1:53", "192.0.2.9", 500*time.Millisecond)
	n.resolver()
	front, _ := two(n)
	quiet := n.netns("quiet")
	n.change(names.Update{Index: 2, Clients: []names.Client{{ID: "quiet", Netns: quiet, Networks: []string{"f"}}}})

	flood := n.connect(front, "udp")
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		q := new(dns.Msg)
		q.SetQuestion("x.example.com.", dns.TypeA)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			q.Question[0].Name = string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676%26)) + ".example.com."
			_ = flood.WriteMsg(q)
		}
	}()
	defer func() {
		close(stop)
		<-done
	}()
	var open []net.Conn
	for range 2 * maxConns {
		open = append(open, n.connect(front, "tcp").Conn)
	}
	var kept atomic.Int64
	var reading sync.WaitGroup
	for _, conn := range open {
		reading.Go(func() {
			_ = conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
			if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
				kept.Add(1)
			}
		})
	}
	reading.Wait()
	if kept.Load() != maxConns {
		t.Errorf("a task has %d connections, of %d", kept.Load(), maxConns)
	}
	for _, network := range []string{"udp", "tcp"} {
		conn := n.connect(quiet, network)
		for range 20 {
			if got, want := n.ask(conn, "web."), "NOERROR 10.1.0.2"; got != want {
				t.Fatalf("another task is told %s over %s, want %s", got, network, want)
			}
		}
		if got, want := n.ask(conn, "example.org."), "NOERROR 192.0.2.9"; got != want {
			t.Errorf("another task is told %s over %s, want %s", got, network, want)
		}
	}
}
