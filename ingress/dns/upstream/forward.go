package upstream

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// self is where tasks find this resolver in their own network namespace.
var self = netip.MustParseAddr("127.0.0.11") //nolint:gochecknoglobals // a constant

// Config of a Forwarder. A number that is 0 stands for the default.
type Config struct {
	// Dial opens a socket to a server from within a network namespace, "" for the
	// node's.
	Dial func(ctx context.Context, netns, network, addr string) (net.Conn, error)
	// Resolv names the node's servers: /etc/resolv.conf. Where that names
	// systemd-resolved's stub, Resolved has its servers:
	// /run/systemd/resolve/resolv.conf.
	Resolv, Resolved string
	// MaxQueries are under way at a time, 1,000; MaxOfClient for one client, 100.
	// More are answered SERVFAIL at once.
	MaxQueries, MaxOfClient int
	// CacheSize is how many bytes of answers are kept, 2 MiB.
	CacheSize int
	Log       *slog.Logger
}

// Source is who asks.
type Source struct {
	Client string
	// Netns and Servers are where and whom the client wants to be asked; without
	// servers the node's are, from the node's namespace.
	Netns   string
	Servers []netip.AddrPort
}

// Forwarder asks upstream servers.
type Forwarder struct {
	cfg    Config
	node   resolvConf
	health health
	asking sync.WaitGroup

	mu      sync.Mutex
	cache   *cache
	flights map[key]*flight
	total   int            // of those who wait for a flight
	clients map[string]int // by client
}

// flight is a question under way and who waits for its answer.
type flight struct{ waiting []waiting }

type waiting struct {
	client string
	query  *dns.Msg
	reply  func(*dns.Msg)
}

// New returns a forwarder that knows nothing yet.
func New(cfg Config) *Forwarder {
	for n, otherwise := range map[*int]int{&cfg.MaxQueries: 1000, &cfg.MaxOfClient: 100, &cfg.CacheSize: 2 << 20} {
		if *n == 0 {
			*n = otherwise
		}
	}
	if cfg.Resolv == "" {
		cfg.Resolv, cfg.Resolved = "/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Forwarder{
		cfg: cfg, node: resolvConf{path: cfg.Resolv, resolved: cfg.Resolved},
		health: health{of: make(map[server]state)},
		cache:  newCache(cfg.CacheSize), flights: make(map[key]*flight), clients: make(map[string]int),
	}
}

// Answer has reply called with the answer to a query, which has one question:
// before it returns where the answer is kept, or none is to be had, else by
// another goroutine within five seconds. The answer is reply's to change.
//
// One question is asked once at a time, however many wait for it. So a server
// that asks us what it was asked makes us wait, and nothing more.
func (f *Forwarder) Answer(from Source, query *dns.Msg, reply func(*dns.Msg)) {
	servers, ours := f.serversOf(from)
	if len(servers) == 0 {
		reply(failure(query, dns.RcodeRefused))
		return
	}
	k := keyOf(query, servers, ours)
	f.mu.Lock()
	if m := f.cache.get(k, time.Now()); m != nil {
		f.mu.Unlock()
		reply(fit(m, query))
		return
	}
	if f.total >= f.cfg.MaxQueries || f.clients[from.Client] >= f.cfg.MaxOfClient {
		f.mu.Unlock()
		reply(failure(query, dns.RcodeServerFailure))
		return
	}
	f.total++
	f.clients[from.Client]++
	w := waiting{client: from.Client, query: query, reply: reply}
	fl := f.flights[k]
	if fl != nil {
		fl.waiting = append(fl.waiting, w)
		f.mu.Unlock()
		return
	}
	f.flights[k] = &flight{waiting: []waiting{w}}
	f.mu.Unlock()
	f.asking.Go(func() { f.fly(k, query, servers) })
}

// Wait returns when no question is under way.
func (f *Forwarder) Wait() { f.asking.Wait() }

// serversOf returns whom to ask for a client, without ourselves, and whether
// they are the node's.
func (f *Forwarder) serversOf(from Source) (servers []server, nodes bool) {
	if len(from.Servers) == 0 {
		for _, addr := range f.node.servers(time.Now()) {
			servers = append(servers, server{addr: addr})
		}
		return servers, true
	}
	for _, addr := range from.Servers {
		if addr.Addr().Unmap() != self {
			servers = append(servers, server{netns: from.Netns, addr: addr})
		}
	}
	return servers, false
}

// fly asks, and answers all who wait.
func (f *Forwarder) fly(k key, query *dns.Msg, servers []server) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m := f.ask(ctx, question(query), servers)
	now := time.Now()
	f.mu.Lock()
	if m != nil {
		f.cache.put(k, m, now)
	}
	fl := f.flights[k]
	delete(f.flights, k)
	for _, w := range fl.waiting {
		f.total--
		if f.clients[w.client]--; f.clients[w.client] == 0 {
			delete(f.clients, w.client)
		}
	}
	f.mu.Unlock()
	for _, w := range fl.waiting {
		if m == nil {
			w.reply(failure(w.query, dns.RcodeServerFailure))
			continue
		}
		w.reply(fit(m.Copy(), w.query))
	}
}

// key is what an answer is to: the same for all who are answered alike.
type key struct {
	scope  string // "" for the node's servers
	name   string
	qtype  uint16
	class  uint16
	do, cd bool
}

func keyOf(query *dns.Msg, servers []server, nodes bool) key {
	q := query.Question[0]
	k := key{name: strings.ToLower(q.Name), qtype: q.Qtype, class: q.Qclass, cd: query.CheckingDisabled}
	if opt := query.IsEdns0(); opt != nil {
		k.do = opt.Do()
	}
	if !nodes {
		k.scope = servers[0].netns
		for _, s := range servers {
			k.scope += " " + s.addr.String()
		}
	}
	return k
}

// question is what upstream servers are asked in place of a client's query:
// nothing else of it is theirs to see.
func question(query *dns.Msg) *dns.Msg {
	q := query.Question[0]
	m := &dns.Msg{Question: []dns.Question{{Name: strings.ToLower(q.Name), Qtype: q.Qtype, Qclass: q.Qclass}}}
	m.RecursionDesired, m.CheckingDisabled = true, query.CheckingDisabled
	opt := query.IsEdns0()
	m.SetEdns0(udpSize, opt != nil && opt.Do())
	return m
}

// fit makes an answer that of a query: its id, and its way of writing the name.
func fit(m, query *dns.Msg) *dns.Msg {
	q := query.Question[0]
	m.Id, m.Question = query.Id, []dns.Question{q}
	m.Response, m.Opcode, m.Authoritative, m.RecursionAvailable = true, query.Opcode, false, true
	m.RecursionDesired, m.CheckingDisabled = query.RecursionDesired, query.CheckingDisabled
	for _, rr := range m.Answer {
		if strings.EqualFold(rr.Header().Name, q.Name) {
			rr.Header().Name = q.Name
		}
	}
	return m
}

func failure(query *dns.Msg, rcode int) *dns.Msg {
	m := new(dns.Msg)
	m.SetRcode(query, rcode)
	m.RecursionAvailable = true
	return m
}
