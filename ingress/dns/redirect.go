package dns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nlenc"
	"golang.org/x/sys/unix"
)

// redirectTable is the table in the network namespace of each task that leads
// what is asked at 127.0.0.11:53 to the port we listen at, and gives answers
// the port that was asked. It changes ports and keeps no connection, so the
// task's other packets are not tracked for it.
//
// Without it we would have to take port 53 ourselves, and a task that serves
// DNS, on all addresses as most do, could not start.
const redirectTable = "muster_dns"

// loopback is the index of the loopback device of each network namespace.
const loopback = 1

// redirect makes the table, in the network namespace of the calling thread, if
// it is not there. It stays there when the resolver goes.
func redirect() error {
	there, err := redirects()
	if there || err != nil {
		return err
	}
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("redirect port %d: %w", askedPort, err)
	}
	t := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: redirectTable})
	// Connection tracking, where a task has it, sees port 53 in both directions:
	// what it has seen going out is not looked at again coming in, and answers are
	// changed before it sees them.
	asked := c.AddChain(&nftables.Chain{
		Table: t, Name: "asked", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw,
	})
	answered := c.AddChain(&nftables.Chain{
		Table: t, Name: "answered", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityRaw,
	})
	const source, destination = 12, 16 // in the IPv4 header
	for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
		onLoopback := []expr.Any{
			&expr.Meta{Key: expr.MetaKeyIIF, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(loopback)},
		}
		c.AddRule(&nftables.Rule{Table: t, Chain: asked, Exprs: append(onLoopback, rewrite(protocol, destination, 2, askedPort, listenedPort)...)})
		c.AddRule(&nftables.Rule{Table: t, Chain: answered, Exprs: rewrite(protocol, source, 0, listenedPort, askedPort)})
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("redirect port %d with nftables: %w", askedPort, err)
	}
	return nil
}

// redirects reports whether the table is there. The library takes 0.4 ms to say
// so, this 25 µs, and a resolver that starts anew asks for each task of a node.
func redirects() (bool, error) {
	fail := func(err error) (bool, error) {
		return false, fmt.Errorf("look for nftables table %s: %w", redirectTable, err)
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = unix.Close(fd) }()
	name, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: unix.NFTA_TABLE_NAME, Data: nlenc.Bytes(redirectTable)}})
	if err != nil {
		return fail(err)
	}
	ask := netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETTABLE, Flags: netlink.Request},
		Data:   append([]byte{unix.AF_INET, unix.NFNETLINK_V0, 0, 0}, name...),
	}
	ask.Header.Length = uint32(unix.SizeofNlMsghdr + len(ask.Data))
	raw, err := ask.MarshalBinary()
	if err != nil {
		return fail(err)
	}
	if err := unix.Sendto(fd, raw, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fail(err)
	}
	buf := make([]byte, os.Getpagesize())
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil || n < unix.SizeofNlMsghdr+4 {
		return fail(errors.Join(err, io.ErrUnexpectedEOF))
	}
	if binary.NativeEndian.Uint16(buf[4:]) != unix.NLMSG_ERROR {
		return true, nil
	}
	if errno := unix.Errno(-int32(binary.NativeEndian.Uint32(buf[unix.SizeofNlMsghdr:]))); errno != unix.ENOENT {
		return fail(errno)
	}
	return false, nil
}

// rewrite changes a port of packets from or to us: the address is at offset addr
// of the network header, the port at offset port of the transport header.
func rewrite(protocol byte, addr, port uint32, from, to uint16) []expr.Any {
	checksum := uint32(6) // of UDP
	if protocol == unix.IPPROTO_TCP {
		checksum = 16
	}
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: addr, Len: 4},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: listenedAddr[:]},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: port, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, from)},
		&expr.Immediate{Register: 1, Data: binary.BigEndian.AppendUint16(nil, to)},
		&expr.Payload{
			OperationType: expr.PayloadWrite, SourceRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: port, Len: 2,
			CsumType: expr.CsumTypeInet, CsumOffset: checksum,
		},
	}
}
