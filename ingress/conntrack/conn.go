package conntrack

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// readSize is the size of the buffer for what the kernel lists, in bytes. It
// sends up to half as much at a time.
const readSize = 64 << 10

// patience is how long the kernel may take for one answer, which it gives at once.
const patience = 10 * time.Second

// Conn asks the connection tracking of a network namespace. One goroutine at a
// time may use it.
type Conn struct {
	nl  *netlink.Conn
	raw syscall.RawConn
	buf []byte
	// flow is the one that was read last: one for all, as there may be very many.
	flow Flow
}

// Dial connects to the network namespace of the calling thread.
func Dial() (*Conn, error) {
	nl, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("open conntrack: %w", err)
	}
	raw, err := nl.SyscallConn()
	if err != nil {
		nl.Close()
		return nil, fmt.Errorf("open conntrack: %w", err)
	}
	return &Conn{nl: nl, raw: raw, buf: make([]byte, readSize)}, nil
}

// Close ends the connection.
func (c *Conn) Close() error { return c.nl.Close() }

// Each calls do for each flow that matches. The flow is good until do returns,
// see Keep; do must not use the connection.
func (c *Conn) Each(f Filter, do func(*Flow)) error {
	matches := f.matcher()
	matching := func(flow *Flow) {
		if matches(flow) {
			do(flow)
		}
	}
	for _, q := range f.questions() {
		attributes, err := f.attributes(q)
		if err != nil {
			return fmt.Errorf("list flows: %w", err)
		}
		err = c.list(attributes, q.family, matching)
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
			// The kernel knows of filters, but not of this one; so it is for all questions.
			return c.list(nil, unix.AF_UNSPEC, matching)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// list calls do for each flow that the kernel lists when asked with the attributes.
func (c *Conn) list(attributes []byte, family uint8, do func(*Flow)) error {
	request, err := c.nl.Send(message(messageGet, family, netlink.Dump, attributes))
	for done := false; err == nil && !done; {
		var b []byte
		if b, err = c.read(); err == nil {
			done, err = c.each(b, request.Header.Sequence, do)
		}
	}
	if err != nil {
		return fmt.Errorf("list flows: %w", err)
	}
	return nil
}

// each calls do for each flow in b, which holds messages, and reports whether
// these are the last. It passes over answers to other requests.
func (c *Conn) each(b []byte, sequence uint32, do func(*Flow)) (done bool, err error) {
	for len(b) >= messageHeader {
		n := int(binary.NativeEndian.Uint32(b))
		if n < messageHeader || n > len(b) {
			return false, fmt.Errorf("a message of %d bytes in %d: %w", n, len(b), unix.EBADMSG)
		}
		kind, answers, data := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint32(b[8:]), b[messageHeader:n]
		b = b[min(align(n), len(b)):]
		if answers != sequence {
			continue
		}
		switch kind {
		case unix.NLMSG_ERROR, unix.NLMSG_DONE:
			return true, errno(data)
		case unix.NFNL_SUBSYS_CTNETLINK<<8 | messageNew:
			if c.flow.parse(data) {
				do(&c.flow)
			}
		}
	}
	return false, nil
}

// errno is the error that a message begins with, nil if none.
func errno(data []byte) error {
	if len(data) < 4 {
		return nil
	}
	if n := int32(binary.NativeEndian.Uint32(data)); n < 0 {
		return unix.Errno(-n)
	}
	return nil
}

// read returns the next messages. They lie in the connection's buffer.
func (c *Conn) read() ([]byte, error) {
	if err := c.nl.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	var n int
	var failed error
	err := c.raw.Read(func(fd uintptr) bool {
		n, failed = unix.Read(int(fd), c.buf)
		return !errors.Is(failed, unix.EAGAIN) && !errors.Is(failed, unix.EINTR)
	})
	return c.buf[:max(n, 0)], cmp.Or(err, failed)
}

// Delete has the kernel forget a flow, so that its next packet begins a new
// one. It returns unix.ENOENT if it has ended meanwhile.
func (c *Conn) Delete(f Flow) error {
	attributes := slices.Concat(padded(f.key.original), padded(f.key.zone), padded(f.key.id))
	if err := c.nl.SetDeadline(time.Now().Add(patience)); err != nil {
		return fmt.Errorf("delete the flow to %s: %w", f.Server, err)
	}
	if _, err := c.nl.Execute(message(messageDelete, f.key.family, netlink.Acknowledge, attributes)); err != nil {
		return fmt.Errorf("delete the flow to %s: %w", f.Server, err)
	}
	return nil
}

// padded is an attribute that another can stand after.
func padded(a []byte) []byte { return append(slices.Clone(a), make([]byte, align(len(a))-len(a))...) }

func message(kind uint16, family uint8, flags netlink.HeaderFlags, attributes []byte) netlink.Message {
	return netlink.Message{
		Header: netlink.Header{
			Type:  netlink.HeaderType(unix.NFNL_SUBSYS_CTNETLINK<<8 | kind),
			Flags: netlink.Request | flags,
		},
		Data: append([]byte{family, unix.NFNETLINK_V0, 0, 0}, attributes...),
	}
}
