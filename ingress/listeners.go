package ingress

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/muster/muster/ingress/namespace"
)

const (
	// The kernel's numbers (linux/inet_diag.h, net/tcp_states.h).
	diagRequest = 56 // bytes of inet_diag_req_v2
	diagMessage = 72 // bytes of inet_diag_msg at least
	tcpListen   = 10
)

// listening returns where TCP sockets of the calling thread's network
// namespace listen; the unspecified address is all of them.
func listening() (at []netip.AddrPort, err error) {
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		req := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
		body := make([]byte, diagRequest)
		body[0], body[1] = family, unix.IPPROTO_TCP
		binary.NativeEndian.PutUint32(body[4:], 1<<tcpListen)
		req.AddRawData(body)
		messages, err := whole(func() ([][]byte, error) {
			return req.Execute(unix.NETLINK_SOCK_DIAG, nl.SOCK_DIAG_BY_FAMILY)
		})
		if err != nil {
			return nil, fmt.Errorf("list listening sockets: %w", err)
		}
		for _, m := range messages {
			if len(m) < diagMessage {
				continue
			}
			port := binary.BigEndian.Uint16(m[4:])
			addr := netip.AddrFrom4([4]byte(m[8:12]))
			if family == unix.AF_INET6 {
				addr = netip.AddrFrom16([16]byte(m[8:24]))
			}
			at = append(at, netip.AddrPortFrom(addr, port))
		}
	}
	return at, nil
}

// Silent returns those of the ports on which nobody in the task's network
// namespace listens for TCP. A listener on its loopback addresses alone is
// nobody for those who come from outside.
func (p *Plane) Silent(_ context.Context, taskID string, ports []uint16) (silent []uint16, err error) {
	var sockets []netip.AddrPort
	err = namespace.In(p.netns(taskID), func() (err error) {
		sockets, err = listening()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look who listens in task %s: %w", taskID, err)
	}
	for _, port := range ports {
		if !slices.ContainsFunc(sockets, func(s netip.AddrPort) bool { return s.Port() == port && !s.Addr().Unmap().IsLoopback() }) {
			silent = append(silent, port)
		}
	}
	return silent, nil
}

// Shadowed returns which published ports this machine has a use of its own for,
// or nil: those on which it listens for the cluster, which are not published
// here, and TCP ports of other listeners, whose new connections go to tasks.
func (p *Plane) Shadowed(context.Context) error {
	w := p.want.Load()
	if w == nil {
		return nil
	}
	taken, err := takenPorts(p.cfg.Netns, w)
	if err != nil {
		return err
	}
	var lines []string
	if own := w.contested(); len(own) > 0 {
		lines = append(lines, strings.Join(own, ", ")+
			": this node listens there for the cluster, and a service publishes it: the service is not reached by this node")
	}
	if len(taken) > 0 {
		lines = append(lines, strings.Join(taken, ", ")+
			": a process of this machine listens there, and a service publishes it: new connections go to the service")
	}
	if len(lines) == 0 {
		return nil
	}
	return errors.New(strings.Join(lines, "; "))
}

// contested returns the published ports on which the node listens for the
// cluster.
func (w *Want) contested() (ports []string) {
	for _, p := range w.Ports {
		if p.isPublished() && w.owns(p) {
			ports = append(ports, portKey{p.Protocol, p.Published}.String())
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// takenPorts returns the published TCP ports on which somebody of the network
// namespace listens.
func takenPorts(netns string, w *Want) (ports []string, err error) {
	var sockets []netip.AddrPort
	err = namespace.In(netns, func() (err error) {
		sockets, err = listening()
		return err
	})
	if err != nil {
		return nil, err
	}
	for key := range published(w, false) {
		isTaken := slices.ContainsFunc(sockets, func(s netip.AddrPort) bool { return s.Port() == key.port && !s.Addr().Unmap().IsLoopback() })
		if key.proto == unix.IPPROTO_TCP && isTaken {
			ports = append(ports, key.String())
		}
	}
	slices.Sort(ports)
	return ports, nil
}
