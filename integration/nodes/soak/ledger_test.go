package soak

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/muster/muster/integration/nodes"
)

// writer writes one number after the other into the cluster's state.
type writer struct {
	key string
	// tried is the last number, acknowledged the last that was said to be written.
	tried, acknowledged int
}

// write has every writer write through managers, those that are not harmed
// first, until the returned function is called.
func (s *soak) write(harmed *nodes.Node) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	via := harmed
	for _, w := range s.writes {
		via = s.manager(via)
		n := via
		wg.Go(func() {
			for ctx.Err() == nil {
				s.writeOne(w, n)
				select {
				case <-ctx.Done():
				case <-time.After(200 * time.Millisecond):
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

func (s *soak) writeOne(w *writer, n *nodes.Node) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w.tried++
	cmd := n.MusterCommand(ctx, "service", "update", "-d", "-q", "--label-add", w.key+"="+strconv.Itoa(w.tried), "ledger")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err == nil {
		w.acknowledged = w.tried
	} else if ctx.Err() != nil {
		s.t.Errorf("a write through %s got no answer within a minute: %v: %s", n.Name, err, stderr.String())
	}
}

// kept fails the test unless every manager has what was acknowledged.
func (s *soak) kept() {
	s.t.Helper()
	for _, n := range s.Nodes[:managers] {
		for _, w := range s.writes {
			out := strings.TrimSpace(n.MustMuster("service", "inspect", "--format", "{{index .Spec.Labels \""+w.key+"\"}}", "ledger"))
			if w.tried == 0 {
				continue
			}
			if have, err := strconv.Atoi(out); err != nil || have < w.acknowledged || have > w.tried {
				s.t.Errorf("%s has %q of %s: %d was acknowledged, %d tried", n.Name, out, w.key, w.acknowledged, w.tried)
			}
		}
	}
}

// written sums up for people.
func (s *soak) written() string {
	var all []string
	for _, w := range s.writes {
		all = append(all, fmt.Sprintf("%d of %d", w.acknowledged, w.tried))
	}
	return "last writes acknowledged: " + strings.Join(all, ", ")
}
