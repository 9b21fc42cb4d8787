// Package network holds the rules about networks: which one published ports
// lead into, and which of its addresses a task answers them on.
package network

import clusterpb "github.com/muster/muster/proto/cluster/v1"

// Ingress is id and name of the network that published ports lead into. A
// cluster has it from its founding, so that every part knows it without
// looking it up.
const Ingress = "ingress"

// Answering returns the addresses on which a task answers its published ports,
// IPv4 then IPv6: those in the network that they lead into. There are none
// when it is not attached to that.
func Answering(attachments []*clusterpb.Attachment) []string {
	for _, a := range attachments {
		if a.GetNetworkId() == Ingress {
			return a.GetAddresses()
		}
	}
	return nil
}

// Addresses returns the addresses in all networks.
func Addresses(attachments []*clusterpb.Attachment) []string {
	if len(attachments) == 1 {
		return attachments[0].GetAddresses()
	}
	var all []string
	for _, a := range attachments {
		all = append(all, a.GetAddresses()...)
	}
	return all
}
