package upstream

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// patience is for how long a question is asked: less than the five seconds
	// after which a client asks again.
	patience = 4500 * time.Millisecond
	// tryFor is how long one server is waited for; retryFor one that did not
	// answer the last time.
	tryFor   = 1500 * time.Millisecond
	retryFor = 300 * time.Millisecond
	// udpSize is how large an answer may be that is not fragmented on its way.
	udpSize = 1232
	// maxForged are answers to something else, after which the question is put
	// over TCP: somebody guesses.
	maxForged = 16
	// rounds is how often each server is asked while none answers, minPause how
	// long an attempt takes that fails: one that is refused fails at once, as
	// while a server restarts.
	rounds   = 3
	minPause = 200 * time.Millisecond
)

// server is an upstream server and the network namespace it is asked from.
type server struct {
	netns string
	addr  netip.AddrPort
}

// ask asks the servers one after the other, until one knows, or ctx is done. It
// returns the last answer that is none where nobody knows; nil if nobody
// answers.
func (f *Forwarder) ask(ctx context.Context, query *dns.Msg, servers []server) (poor *dns.Msg) {
	for range rounds {
		answered := false
		for _, try := range f.health.order(servers, time.Now()) {
			if ctx.Err() != nil {
				break
			}
			m, err := f.try(ctx, query, try)
			f.health.note(try.server, err == nil, time.Now())
			if err != nil {
				f.cfg.Log.Debug("an upstream server does not answer", "server", try.addr, "err", err)
				continue
			}
			if m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError {
				return m
			}
			poor, answered = m, true
		}
		if answered {
			break // asking again would not help
		}
	}
	return poor
}

// try asks one server, without EDNS0 if it does not know that.
func (f *Forwarder) try(ctx context.Context, query *dns.Msg, t attempt) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	began := time.Now()
	m, err := f.exchange(ctx, query, t.server)
	if err == nil && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) {
		plain := query.Copy()
		plain.Extra = nil
		m, err = f.exchange(ctx, plain, t.server)
	}
	if err != nil {
		pause(ctx, minPause-time.Since(began))
		return nil, err
	}
	m.Extra = withoutOPT(m.Extra)
	return m, nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// exchange asks over UDP, and over TCP if the answer does not fit.
func (f *Forwarder) exchange(ctx context.Context, query *dns.Msg, s server) (*dns.Msg, error) {
	query = query.Copy()
	var id [2]byte
	_, _ = rand.Read(id[:]) // never fails
	query.Id = binary.BigEndian.Uint16(id[:])
	raw, err := query.Pack()
	if err != nil {
		return nil, fmt.Errorf("pack the question: %w", err)
	}
	m, err := f.over(ctx, "udp", query, raw, s)
	if err == nil && !m.Truncated || err != nil && !errors.Is(err, errForged) {
		return m, err
	}
	whole, tcpErr := f.over(ctx, "tcp", query, raw, s)
	if tcpErr != nil && m != nil {
		return m, nil // its beginning is better than nothing
	}
	return whole, tcpErr
}

var errForged = errors.New("too many answers to something else")

// over sends a question from a socket of its own, whose port the kernel draws,
// and reads until the answer to it comes.
func (f *Forwarder) over(ctx context.Context, network string, query *dns.Msg, raw []byte, s server) (*dns.Msg, error) {
	conn, err := f.cfg.Dial(ctx, s.netns, network, s.addr.String())
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end)
	}
	if network == "tcp" {
		raw = append(binary.BigEndian.AppendUint16(nil, uint16(len(raw))), raw...)
	}
	if _, err := conn.Write(raw); err != nil {
		return nil, err
	}
	for range maxForged {
		packet, err := receive(conn, network)
		if err != nil {
			return nil, err
		}
		m := new(dns.Msg)
		if m.Unpack(packet) == nil && answers(m, query) {
			return m, nil
		}
	}
	return nil, errForged
}

// receive reads one message.
func receive(conn net.Conn, network string) ([]byte, error) {
	if network != "tcp" {
		buf := make([]byte, 4096) // some send more than they were asked to
		n, err := conn.Read(buf)
		return buf[:n], err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(conn, buf)
	return buf, err
}

// answers reports whether a message is the answer to a query, as far as can be
// told. A server that fails may leave out the question.
func answers(m, query *dns.Msg) bool {
	if m.Id != query.Id || !m.Response || m.Opcode != dns.OpcodeQuery {
		return false
	}
	if len(m.Question) == 0 {
		return m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError
	}
	got, want := m.Question[0], query.Question[0]
	return len(m.Question) == 1 && strings.EqualFold(got.Name, want.Name) && got.Qtype == want.Qtype && got.Qclass == want.Qclass
}

func withoutOPT(extra []dns.RR) (rest []dns.RR) {
	for _, rr := range extra {
		if rr.Header().Rrtype != dns.TypeOPT {
			rest = append(rest, rr)
		}
	}
	return rest
}
