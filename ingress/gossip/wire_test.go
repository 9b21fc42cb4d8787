package gossip

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// wires is a network in memory. Unlike memberlist's own, it loses what is
// sent to a node that has stopped.
type wires struct {
	mu    sync.Mutex
	wires map[string]*wire // by HOST:PORT
}

// wire is a node's transport. Once cut, nothing goes in or out.
type wire struct {
	net     *wires
	ip      net.IP
	packets chan *memberlist.Packet
	streams chan net.Conn
	cut     bool // guarded by net.mu
}

const wirePort = 7946

var errCut = errors.New("nobody answers")

func (n *wires) add() *wire {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := &wire{
		net: n, ip: net.IPv4(10, 0, 0, byte(len(n.wires)+1)),
		packets: make(chan *memberlist.Packet, 100), streams: make(chan net.Conn, 10),
	}
	if n.wires == nil {
		n.wires = make(map[string]*wire)
	}
	n.wires[w.addr()] = w
	return w
}

func (w *wire) addr() string { return net.JoinHostPort(w.ip.String(), fmt.Sprint(wirePort)) }

func (w *wire) set(cut bool) {
	w.net.mu.Lock()
	defer w.net.mu.Unlock()
	w.cut = cut
}

// peer returns who is at addr, or nil if nothing gets there.
func (w *wire) peer(addr string) *wire {
	w.net.mu.Lock()
	defer w.net.mu.Unlock()
	if p := w.net.wires[addr]; p != nil && !p.cut && !w.cut {
		return p
	}
	return nil
}

func (w *wire) FinalAdvertiseAddr(string, int) (net.IP, int, error) { return w.ip, wirePort, nil }

func (w *wire) WriteTo(b []byte, addr string) (time.Time, error) {
	now := time.Now()
	if p := w.peer(addr); p != nil {
		packet := &memberlist.Packet{Buf: append([]byte(nil), b...), From: &net.UDPAddr{IP: w.ip, Port: wirePort}, Timestamp: now}
		select {
		case p.packets <- packet:
		default: // lost, as on a real network
		}
	}
	return now, nil
}

func (w *wire) DialTimeout(addr string, _ time.Duration) (net.Conn, error) {
	p := w.peer(addr)
	if p == nil {
		return nil, errCut
	}
	here, there := net.Pipe()
	select {
	case p.streams <- there:
		return here, nil
	default:
		return nil, errCut
	}
}

func (w *wire) PacketCh() <-chan *memberlist.Packet { return w.packets }
func (w *wire) StreamCh() <-chan net.Conn           { return w.streams }

func (w *wire) Shutdown() error {
	w.set(true)
	return nil
}
