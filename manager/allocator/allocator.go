// Package allocator owns addresses: it says which networks a task attaches to,
// and gives it addresses that are free there.
//
// It is made anew from each state that is planned on. There is nothing in it
// that could leak, and a new leader knows all that the last one knew.
package allocator

import (
	"net/netip"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/network"
	"github.com/muster/muster/raftstore/state"
)

// Allocator knows which addresses are free. It is of one pass and not safe for
// concurrent use.
type Allocator struct {
	networks map[string]*addresses
}

// New returns what the state leaves free in each of its networks.
func New(s *state.State) *Allocator {
	a := &Allocator{networks: make(map[string]*addresses)}
	for n := range s.Networks() {
		a.networks[n.GetId()] = newAddresses(n)
	}
	for t := range s.Tasks() {
		for _, at := range t.GetAttachments() {
			if in := a.networks[at.GetNetworkId()]; in != nil {
				in.count(t, at.GetAddresses())
			}
		}
	}
	return a
}

// Attach takes addresses for a task in all of its networks. An error says, in
// words for the task's status, which network has none to give; then none is taken.
func (a *Allocator) Attach(t *clusterpb.Task) ([]*clusterpb.Attachment, error) {
	return a.take(a.networksOf(t))
}

// networksOf returns the networks that a task attaches to: that of published
// ports, through which tasks reach each other and the outside as well.
func (a *Allocator) networksOf(*clusterpb.Task) []string {
	if a.networks[network.Ingress] == nil {
		return nil
	}
	return []string{network.Ingress}
}

func (a *Allocator) take(networks []string) (list []*clusterpb.Attachment, err error) {
	for _, id := range networks {
		if err := a.networks[id].check(); err != nil {
			return nil, err
		}
	}
	for _, id := range networks {
		list = append(list, &clusterpb.Attachment{NetworkId: id, Addresses: texts(a.networks[id].next())})
	}
	return list, nil
}

func texts(addrs []netip.Addr) (list []string) {
	for _, a := range addrs {
		list = append(list, a.String())
	}
	return list
}
