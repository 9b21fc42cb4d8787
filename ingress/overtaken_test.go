package ingress

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestOvertakenByAChange: the beginning of a connection that a change of its
// port's endpoints overtakes in the kernel, so that it is not translated, is
// not refused but sent again.
func TestOvertakenByAChange(t *testing.T) {
	l := newLab(t, 1, false)
	l.apply()
	a := l.task(0, "a")
	l.ports = []Port{{Protocol: unix.IPPROTO_TCP, Published: 8001, Endpoints: []Endpoint{endpoint(a)}}}
	l.apply()
	// As the packet finds the balancer that has no rules yet.
	for _, family := range []string{"ip", "ip6"} {
		l.in(l.nodes[0].netns, "nft", "flush", "chain", family, "muster", "d1_1")
	}
	l.patience = 500 * time.Millisecond
	for _, addr := range []string{"10.77.0.101:8001", "[fd77::101]:8001"} {
		if got := l.get(l.client, "tcp", addr); got != "timeout" {
			t.Errorf("%s gave %q while it was not translated, want no answer", addr, got)
		}
	}
	l.patience = 5 * time.Second
	answer := make(chan string)
	go func() { answer <- l.get(l.client, "tcp", "10.77.0.101:8001") }()
	time.AfterFunc(300*time.Millisecond, func() {
		if err := l.nodes[0].plane.apply(t.Context(), true); err != nil {
			t.Error(err)
		}
	})
	if got := <-answer; !strings.HasPrefix(got, "a saw") {
		t.Errorf("sent again, it gave %q", got)
	}
}
