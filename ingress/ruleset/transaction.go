package ruleset

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// transaction is a list of messages that the kernel acts on together or not
// at all. It is for what the library cannot say; all else is left to the library.
type transaction struct {
	fam      nftables.TableFamily
	messages []netlink.Message
	err      error // of the first message that cannot be encoded
}

// add queues a message.
func (t *transaction) add(kind uint16, flags netlink.HeaderFlags, fill func(*netlink.AttributeEncoder)) {
	m, err := message(t.fam, kind, netlink.Request|flags, fill)
	if t.err == nil {
		t.err = err
	}
	t.messages = append(t.messages, m)
}

// commit sends all of it. Only the last message asks for an answer: errors
// are answered unasked, and come first.
func (t *transaction) commit() error {
	if t.err != nil {
		return t.err
	}
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	defer c.Close()
	t.messages[len(t.messages)-1].Header.Flags |= netlink.Acknowledge
	all := append([]netlink.Message{edge(unix.NFNL_MSG_BATCH_BEGIN)}, t.messages...)
	if _, err := c.SendMessages(append(all, edge(unix.NFNL_MSG_BATCH_END))); err != nil {
		return fmt.Errorf("send to nftables: %w", err)
	}
	_, err = c.Receive()
	return err
}

// edge is the message that begins or ends a transaction.
func edge(kind netlink.HeaderType) netlink.Message {
	return netlink.Message{
		Header: netlink.Header{Type: kind, Flags: netlink.Request},
		Data:   header(nftables.TableFamilyUnspecified, unix.NFNL_SUBSYS_NFTABLES),
	}
}

// message is one message; fill encodes its attributes.
func message(
	fam nftables.TableFamily, kind uint16, flags netlink.HeaderFlags, fill func(*netlink.AttributeEncoder),
) (netlink.Message, error) {
	data, err := attributes(fill)
	if err != nil {
		return netlink.Message{}, fmt.Errorf("encode nftables message %d: %w", kind, err)
	}
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind), Flags: flags},
		Data:   append(header(fam, 0), data...),
	}, nil
}

// headerLen is the length of the kernel's struct nfgenmsg, which comes before the attributes.
const headerLen = 4

func header(fam nftables.TableFamily, resource uint16) []byte {
	return binary.BigEndian.AppendUint16([]byte{byte(fam), unix.NFNETLINK_V0}, resource)
}

func attributes(fill func(*netlink.AttributeEncoder)) ([]byte, error) {
	e := netlink.NewAttributeEncoder()
	e.ByteOrder = binary.BigEndian
	fill(e)
	return e.Encode()
}

// nested encodes attributes within one.
func nested(e *netlink.AttributeEncoder, kind uint16, fill func(*netlink.AttributeEncoder)) {
	e.Nested(kind, func(e *netlink.AttributeEncoder) error {
		fill(e)
		return nil
	})
}
