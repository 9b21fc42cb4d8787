package fleet

import (
	"fmt"
	"strings"
	"time"

	"github.com/muster/muster/integration/load"
	"github.com/muster/muster/integration/nodes"
)

// Traffic requests a service from outside, kept alive and with a connection
// for each request.
type Traffic struct {
	Single, Kept *load.Generator
	// Connections is how many kept-alive ones there are at a time.
	Connections uint64

	t nodes.T
}

// Request begins to request address, :PORT/PATH, through the nodes. single and
// kept say with how many clients, and how fast.
func (f *Fleet) Request(through []*nodes.Node, address string, single, kept load.Config) *Traffic {
	var urls []string
	for _, n := range through {
		urls = append(urls, fmt.Sprintf("http://%s%s", n.Addr, address))
	}
	const patience = 10 * time.Second
	single.URLs, single.Timeout, single.Dial = urls, patience, f.Clients[0].Dial
	kept.URLs, kept.Timeout, kept.Dial, kept.KeepAlive = urls, patience, f.Clients[1].Dial, true
	return &Traffic{
		Single: load.Start(single), Kept: load.Start(kept),
		Connections: uint64(kept.Clients * len(urls)), t: f.t,
	}
}

// Requests is how many were made so far.
func (tr *Traffic) Requests() uint64 { return tr.Kept.Requests() + tr.Single.Requests() }

// None ends the requests and fails the test unless every one was answered.
func (tr *Traffic) None() {
	tr.t.Helper()
	for name, g := range map[string]*load.Generator{"kept alive": tr.Kept, "a connection each": tr.Single} {
		r := g.Stop()
		tr.t.Logf("%s: %s", name, r)
		if r.Failures > 0 {
			tr.t.Errorf("%s: %d of %d requests failed: %s", name, r.Failures, r.Requests, strings.Join(r.Examples, "; "))
		}
	}
}
