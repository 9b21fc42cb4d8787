package ruleset

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// ErrNoZones says that the kernel was built without conntrack zones.
var ErrNoZones = errors.New("the kernel has no conntrack zones")

// NewZones returns the table that puts what comes in by the overlay into the
// conntrack zone of the node it came in by: two connections from one source
// port through two nodes then differ. Only the original direction is in the
// zone, as a task's reply does not say which node it is for. Where two
// replies would be the same, the kernel's NAT chooses another source port.
//
// The zone is the last two bytes of the frame's source MAC, which are the
// node's index. So the table never changes, and it is not part of the mesh's,
// which is replaced at times: a packet that missed its zone would begin a
// connection anew.
func NewZones(fam nftables.TableFamily, n Names) *Table {
	index := &expr.Payload{DestRegister: reg(0), Base: expr.PayloadBaseLLHeader, Offset: 10, Len: 2}
	host := &expr.Byteorder{SourceRegister: reg(0), DestRegister: reg(0), Op: expr.ByteorderNtoh, Len: 2, Size: 2}
	encoded := append(encode(fam, append(iif(n.Overlay), index, host)), setOriginalZone())
	return &Table{
		ID: ID{Family: fam, Name: Zones}, Sets: make(map[string]*Set),
		Chains: map[string]*Chain{"zone": {
			Type: nftables.ChainTypeFilter, Hook: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw,
			Rules: []Rule{{Tag: tag("keep ingress nodes apart", encoded), encoded: encoded}},
		}},
	}
}

// setOriginalZone is `ct original zone set` from the first register, which
// holds 16 bits in the host's byte order. The library leaves out the direction.
func setOriginalZone() []byte {
	const original = 0
	b, err := attributes(func(e *netlink.AttributeEncoder) {
		e.String(unix.NFTA_EXPR_NAME, "ct")
		nested(e, unix.NFTA_EXPR_DATA, func(e *netlink.AttributeEncoder) {
			e.Uint32(unix.NFTA_CT_KEY, unix.NFT_CT_ZONE)
			e.Uint32(unix.NFTA_CT_SREG, reg(0))
			e.Uint8(unix.NFTA_CT_DIRECTION, original)
		})
	})
	if err != nil {
		panic(fmt.Sprintf("ruleset: encode a zone: %v", err)) // it is always the same
	}
	return b
}

// rebuildEncoded replaces or creates a table that has no sets, and whose rules are encoded.
func rebuildEncoded(t *Table, create bool) error {
	tx := transaction{fam: t.Family}
	table := func(e *netlink.AttributeEncoder) { e.String(unix.NFTA_TABLE_NAME, t.Name) }
	tx.add(unix.NFT_MSG_NEWTABLE, netlink.Create, table)
	if !create {
		tx.add(unix.NFT_MSG_DELTABLE, 0, table) // it is there, by the first message at the latest
		tx.add(unix.NFT_MSG_NEWTABLE, netlink.Create, table)
	}
	for name, c := range t.Chains {
		tx.add(unix.NFT_MSG_NEWCHAIN, netlink.Create, func(e *netlink.AttributeEncoder) {
			e.String(unix.NFTA_CHAIN_TABLE, t.Name)
			e.String(unix.NFTA_CHAIN_NAME, name)
			nested(e, unix.NFTA_CHAIN_HOOK, func(e *netlink.AttributeEncoder) {
				e.Uint32(unix.NFTA_HOOK_HOOKNUM, uint32(*c.Hook))
				e.Uint32(unix.NFTA_HOOK_PRIORITY, uint32(*c.Priority))
			})
			e.String(unix.NFTA_CHAIN_TYPE, string(c.Type))
		})
		for _, r := range c.Rules {
			tx.add(unix.NFT_MSG_NEWRULE, netlink.Create|netlink.Append, func(e *netlink.AttributeEncoder) {
				e.String(unix.NFTA_RULE_TABLE, t.Name)
				e.String(unix.NFTA_RULE_CHAIN, name)
				nested(e, unix.NFTA_RULE_EXPRESSIONS, func(e *netlink.AttributeEncoder) {
					for _, b := range r.encoded {
						e.Bytes(unix.NLA_F_NESTED|unix.NFTA_LIST_ELEM, b)
					}
				})
				e.Bytes(unix.NFTA_RULE_USERDATA, userdata.AppendString(nil, userdata.TypeComment, r.Tag))
			})
		}
	}
	err := tx.commit()
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = ErrNoZones
	}
	if err != nil {
		return fmt.Errorf("replace nftables table %s: %w", t.Name, err)
	}
	return nil
}
