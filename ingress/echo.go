package ingress

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

const (
	// echoTries is how often an echo is asked for, and echoWait how long each
	// time: packets get lost, and kernels limit how many errors they send.
	echoTries = 3
	echoWait  = 400 * time.Millisecond
)

// echo is a packet that is to be answered.
type echo struct {
	to netip.Addr
	// mark chooses the way, by policy routing.
	mark uint32
	// size is that of the IP packet, in bytes. It is not fragmented here.
	size int
}

// answered sends the echoes, all of one family, from the network namespace of
// the calling thread and reports which were answered: by a reply, or by a
// kernel that has no task there, whose word also came back all the way.
func answered(ctx context.Context, echoes []echo) ([]bool, error) {
	got := make([]bool, len(echoes))
	if len(echoes) == 0 {
		return got, nil
	}
	fam := echoOver(echoes[0].to)
	packets, err := new(net.ListenConfig).ListenPacket(ctx, fam.network, fam.any)
	if err != nil {
		return nil, fmt.Errorf("open a socket for ICMP: %w", err)
	}
	defer packets.Close()
	conn, ok := packets.(*net.IPConn)
	if !ok {
		return nil, fmt.Errorf("open a socket for ICMP: got a %T", packets)
	}
	id := rand.IntN(1 << 16) //nolint:gosec // it tells our answers from others', and keeps no secret
	for range echoTries {
		for i, e := range echoes {
			if got[i] {
				continue
			}
			if err := fam.send(conn, e, id, i); err != nil {
				return nil, err
			}
		}
		if err := fam.collect(conn, id, got); err != nil {
			return nil, err
		}
		if !slices.Contains(got, false) {
			break
		}
	}
	return got, nil
}

// echoFamily is what differs between ICMP and ICMPv6.
type echoFamily struct {
	network, any           string
	protocol, header       int // of ICMP, and bytes of the IP header
	noHost                 int // the code of a route that is unreachable
	request                icmp.Type
	level, option, noSplit int // do not split packets, and do not remember what the path takes
}

func echoOver(to netip.Addr) echoFamily {
	if to.Is4() {
		return echoFamily{
			"ip4:icmp", "0.0.0.0", unix.IPPROTO_ICMP, ipv4.HeaderLen, 1,
			ipv4.ICMPTypeEcho, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE,
		}
	}
	return echoFamily{
		"ip6:ipv6-icmp", "::", unix.IPPROTO_ICMPV6, ipv6.HeaderLen, 0,
		ipv6.ICMPTypeEchoRequest, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE,
	}
}

const icmpHeader = 8 // bytes of an echo before its data

func (f echoFamily) send(conn *net.IPConn, e echo, id, seq int) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("set up a socket for ICMP: %w", err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(e.mark)),
			unix.SetsockoptInt(int(fd), f.level, f.option, f.noSplit),
		)
	})
	if err := errors.Join(err, failed); err != nil {
		return fmt.Errorf("set up a socket for ICMP: %w", err)
	}
	data := make([]byte, max(0, e.size-f.header-icmpHeader))
	msg, err := (&icmp.Message{Type: f.request, Body: &icmp.Echo{ID: id, Seq: seq, Data: data}}).Marshal(nil)
	if err != nil {
		return fmt.Errorf("make an echo: %w", err)
	}
	_, err = conn.WriteTo(msg, &net.IPAddr{IP: e.to.AsSlice()})
	if lost(err) {
		return nil // that there is no way is what is asked about
	}
	return err
}

// lost reports whether the kernel has no way for a packet.
func lost(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) && slices.Contains([]syscall.Errno{
		unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EMSGSIZE, unix.EPERM, unix.ENOBUFS, unix.EINVAL, unix.EACCES, unix.EADDRNOTAVAIL,
	}, errno)
}

// collect notes answers until all have come or the time is up.
func (f echoFamily) collect(conn net.PacketConn, id int, got []bool) error {
	if err := conn.SetReadDeadline(time.Now().Add(echoWait)); err != nil {
		return fmt.Errorf("set up a socket for ICMP: %w", err)
	}
	buf := make([]byte, 64<<10)
	for slices.Contains(got, false) {
		n, _, err := conn.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read ICMP: %w", err)
		}
		if i, ok := f.answer(buf[:n], id); ok && i < len(got) {
			got[i] = true
		}
	}
	return nil
}

// answer returns which echo of id a message answers.
func (f echoFamily) answer(b []byte, id int) (seq int, ok bool) {
	msg, err := icmp.ParseMessage(f.protocol, b)
	if err != nil {
		return 0, false
	}
	switch body := msg.Body.(type) {
	case *icmp.Echo:
		isReply := msg.Type == ipv4.ICMPTypeEchoReply || msg.Type == ipv6.ICMPTypeEchoReply
		return body.Seq, isReply && body.ID == id
	case *icmp.DstUnreach:
		if msg.Code != f.noHost {
			return 0, false // some firewall's
		}
		// The start of our own packet: its header, then type, code, checksum, id and number.
		if len(body.Data) < f.header+icmpHeader {
			return 0, false
		}
		own := body.Data[f.header:]
		return int(binary.BigEndian.Uint16(own[6:])), int(binary.BigEndian.Uint16(own[4:])) == id
	}
	return 0, false
}
