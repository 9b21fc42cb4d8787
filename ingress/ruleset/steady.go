package ruleset

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// steadyTries is how often a list is asked for that changes while the kernel gives it.
const steadyTries = 10

// steadyChains lists chains of one moment. The kernel gives those of all tables
// in parts and goes on by counting: where others delete some meanwhile it passes
// over as many, which may be ours. It says so in a flag that the library does
// not look at, so the number of the ruleset is compared, before and after.
func steadyChains(list func() ([]*nftables.Chain, error)) ([]*nftables.Chain, error) {
	before, err := generation()
	if err != nil {
		return nil, err
	}
	for range steadyTries {
		chains, err := list()
		if err != nil {
			return nil, fmt.Errorf("list nftables chains: %w", err)
		}
		after, err := generation()
		if err != nil {
			return nil, err
		}
		if after == before {
			return chains, nil
		}
		before = after
	}
	return nil, fmt.Errorf("list nftables chains: others changed some each of %d times: %w", steadyTries, unix.EAGAIN)
}

// generation is the number of the ruleset of the calling thread's network
// namespace, which each transaction changes.
func generation() (uint32, error) {
	answers, err := ask(nftables.TableFamilyUnspecified, unix.NFT_MSG_GETGEN, netlink.Request, func(*netlink.AttributeEncoder) {})
	if err != nil {
		return 0, fmt.Errorf("ask for the generation of nftables: %w", err)
	}
	for _, m := range answers {
		if len(m.Data) < headerLen {
			continue
		}
		attributes, err := netlink.UnmarshalAttributes(m.Data[headerLen:])
		if err != nil {
			return 0, fmt.Errorf("ask for the generation of nftables: %w", err)
		}
		for _, a := range attributes {
			if a.Type == unix.NFTA_GEN_ID && len(a.Data) == 4 {
				return binary.BigEndian.Uint32(a.Data), nil
			}
		}
	}
	return 0, fmt.Errorf("ask for the generation of nftables: %d messages without it: %w", len(answers), unix.EBADMSG)
}
