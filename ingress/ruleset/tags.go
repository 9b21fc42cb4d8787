package ruleset

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// ruleTags returns the tags of a table's rules, in order, by chain. The
// library would also decode what the rules do, and cannot for those it cannot write.
func ruleTags(id ID) (map[string][]string, error) {
	rules, err := ask(id.Family, unix.NFT_MSG_GETRULE, netlink.Request|netlink.Dump, func(e *netlink.AttributeEncoder) {
		e.String(unix.NFTA_RULE_TABLE, id.Name)
	})
	if err != nil {
		return nil, err
	}
	tags := make(map[string][]string)
	for _, r := range rules {
		if len(r.Data) < headerLen {
			continue
		}
		attrs, err := netlink.NewAttributeDecoder(r.Data[headerLen:])
		if err != nil {
			return nil, err
		}
		var chain, tag string
		for attrs.Next() {
			switch attrs.Type() {
			case unix.NFTA_RULE_CHAIN:
				chain = attrs.String()
			case unix.NFTA_RULE_USERDATA:
				tag, _ = userdata.GetString(attrs.Bytes(), userdata.TypeComment)
			}
		}
		if err := attrs.Err(); err != nil {
			return nil, err
		}
		tags[chain] = append(tags[chain], tag)
	}
	return tags, nil
}

// ask sends one request and returns the answers.
func ask(
	fam nftables.TableFamily, kind uint16, flags netlink.HeaderFlags, fill func(*netlink.AttributeEncoder),
) ([]netlink.Message, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	defer c.Close()
	if err := bigBuffers(c); err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	request, err := message(fam, kind, flags, fill)
	if err != nil {
		return nil, err
	}
	return c.Execute(request)
}
