package upstream

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// servers are what answers in tests: by address, what a server says to a query.
// One that says nothing is silent, one that is not there refuses.
type servers struct {
	mu    sync.Mutex
	says  map[string]func(network string, q *dns.Msg) []*dns.Msg
	asked []string // "NETNS ADDRESS NETWORK", in order
	query *dns.Msg // the last
}

func (s *servers) dial(_ context.Context, netns, network, addr string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, netns+" "+addr+" "+network)
	say := s.says[addr]
	if say == nil {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	go s.serve(theirs, network, say)
	return ours, nil
}

func (s *servers) serve(conn net.Conn, network string, say func(string, *dns.Msg) []*dns.Msg) {
	defer conn.Close()
	packet, err := receive(conn, network)
	q := new(dns.Msg)
	if err != nil || q.Unpack(packet) != nil {
		return
	}
	s.mu.Lock()
	s.query = q
	s.mu.Unlock()
	for _, m := range say(network, q.Copy()) {
		raw, err := m.Pack()
		if err != nil {
			return
		}
		if network == "tcp" {
			raw = append(binary.BigEndian.AppendUint16(nil, uint16(len(raw))), raw...)
		}
		if _, err := conn.Write(raw); err != nil {
			return
		}
	}
	_, _ = conn.Read(make([]byte, 1)) // until the other end is closed
}

// now has a server say something else.
func (s *servers) now(addr string, say func(string, *dns.Msg) []*dns.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.says[addr] = say
}

// seen is the last query.
func (s *servers) seen() *dns.Msg {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.query
}

// took returns who was asked since the last call.
func (s *servers) took() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.asked = nil }()
	return slices.Clone(s.asked)
}

// answer is a server's answer with records in the form of zone files.
func answer(q *dns.Msg, rcode int, records ...string) *dns.Msg {
	m := new(dns.Msg)
	m.SetRcode(q, rcode)
	for _, r := range records {
		rr, err := dns.NewRR(r)
		if err != nil {
			panic(err)
		}
		if rr.Header().Rrtype == dns.TypeSOA {
			m.Ns = append(m.Ns, rr)
			continue
		}
		m.Answer = append(m.Answer, rr)
	}
	return m
}

// always gives the same answer.
func always(rcode int, records ...string) func(string, *dns.Msg) []*dns.Msg {
	return func(_ string, q *dns.Msg) []*dns.Msg { return []*dns.Msg{answer(q, rcode, records...)} }
}

func silent(string, *dns.Msg) []*dns.Msg { return nil }

const (
	first  = "192.0.2.1:53"
	second = "192.0.2.2:53"
)

// two is a client whose servers are the first and the second.
var two = Source{Client: "c", Netns: "ns", Servers: []netip.AddrPort{netip.MustParseAddrPort(first), netip.MustParseAddrPort(second)}}

// bubble runs f on a fake clock with a forwarder that asks s.
func bubble(t *testing.T, s *servers, cfg Config, f func(fw *Forwarder)) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		cfg.Dial = s.dial
		fw := New(cfg)
		f(fw)
		fw.Wait()
	})
}

func query(name string, qtype uint16) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	return m
}

// ask waits for the answer and says how long it took.
func ask(t *testing.T, fw *Forwarder, from Source, q *dns.Msg) (*dns.Msg, time.Duration) {
	t.Helper()
	began := time.Now()
	got := make(chan *dns.Msg, 1)
	fw.Answer(from, q, func(m *dns.Msg) { got <- m })
	m := <-got
	if m.Id != q.Id || !m.Response || len(m.Question) != 1 || m.Question[0] != q.Question[0] {
		t.Errorf("the answer does not fit the query: %v", m)
	}
	return m, time.Since(began)
}
