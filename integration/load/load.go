// Package load requests services without a pause and counts every failure: a
// refused, reset or timed-out connection, a status of 500 or more, an answer
// that breaks off. It is how "drops nothing" is proved: over plain sockets, as
// no library that tries again would show what it hid.
package load

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what to request and how.
type Config struct {
	// URLs are requested in turn by every client. Their hosts are IP addresses.
	URLs []string
	// Clients is how many request at a time; 1 when 0.
	Clients int
	// KeepAlive reuses a client's connections, one to each host. A connection
	// that the server closed before it answered anything is no failure but
	// counted in Closed, and the request is made again over another (RFC 9112, 9.3.1).
	KeepAlive bool
	// Timeout of one request; 5 s when 0.
	Timeout time.Duration
	// Pause of each client after a request.
	Pause time.Duration
	// Dial makes connections; net.Dialer's when nil.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Result counts what happened.
type Result struct {
	Requests uint64
	// Failures counts requests that were not answered as they should.
	Failures uint64
	// Closed counts kept-alive connections that the server closed without an answer.
	Closed uint64
	// Examples are the first few failures.
	Examples []string
	// Slowest is the longest time until a request was answered whole.
	Slowest time.Duration
	Elapsed time.Duration
}

// String sums up.
func (r Result) String() string {
	return fmt.Sprintf("%d requests in %s (%.0f/s), slowest %s, %d connections closed, %d failures %v",
		r.Requests, r.Elapsed.Round(time.Millisecond), float64(r.Requests)/r.Elapsed.Seconds(), r.Slowest.Round(time.Millisecond), r.Closed, r.Failures, r.Examples)
}

// examples is how many failures are told in words.
const examples = 5

// Generator is a load that runs.
type Generator struct {
	cfg    Config
	start  time.Time
	cancel context.CancelFunc
	wg     sync.WaitGroup

	requests atomic.Uint64
	failures atomic.Uint64
	closed   atomic.Uint64
	slowest  atomic.Int64

	mu   sync.Mutex
	said []string
}

// Start begins to request, until Stop.
func Start(cfg Config) *Generator {
	if cfg.Clients == 0 {
		cfg.Clients = 1
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{}).DialContext
	}
	ctx, cancel := context.WithCancel(context.Background())
	g := &Generator{cfg: cfg, start: time.Now(), cancel: cancel}
	for i := range cfg.Clients {
		g.wg.Go(func() { g.client(ctx, i) })
	}
	return g
}

// Requests is how many were answered or failed so far.
func (g *Generator) Requests() uint64 { return g.requests.Load() }

// Stop lets the requests under way end and returns the counts.
func (g *Generator) Stop() Result {
	g.cancel()
	g.wg.Wait()
	return g.SoFar()
}

// SoFar counts what has happened until now.
func (g *Generator) SoFar() Result {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Result{
		Requests: g.requests.Load(), Failures: g.failures.Load(), Closed: g.closed.Load(), Examples: slices.Clone(g.said),
		Slowest: time.Duration(g.slowest.Load()), Elapsed: time.Since(g.start),
	}
}

// client requests until ctx is done. It lets its last request end.
func (g *Generator) client(ctx context.Context, offset int) {
	c := client{cfg: g.cfg, closed: &g.closed, kept: make(map[string]*conn)}
	defer c.close()
	for i := offset; ctx.Err() == nil; i++ {
		began := time.Now()
		err := c.get(g.cfg.URLs[i%len(g.cfg.URLs)])
		took := time.Since(began)
		g.requests.Add(1)
		for was := g.slowest.Load(); int64(took) > was && !g.slowest.CompareAndSwap(was, int64(took)); was = g.slowest.Load() {
		}
		if err != nil {
			g.fail(fmt.Sprintf("at %s after %s: %v", began.Sub(g.start).Round(time.Millisecond), took.Round(time.Millisecond), err))
		}
		if g.cfg.Pause > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(g.cfg.Pause):
			}
		}
	}
}

func (g *Generator) fail(what string) {
	g.failures.Add(1)
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.said) < examples {
		g.said = append(g.said, what)
	}
}
