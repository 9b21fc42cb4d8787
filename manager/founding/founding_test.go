package founding

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/network"
	"github.com/muster/muster/raftstore/storetest"
)

func TestFoundingIsWhole(t *testing.T) {
	f, err := New(Request{
		ControlAddr: "192.0.2.1:2377", Availability: clusterpb.NodeSpec_AVAILABILITY_DRAIN,
		InUse: []netip.Prefix{netip.MustParsePrefix("10.128.0.0/16")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if id := f.Credentials.Identity; id.NodeID != f.Node.GetId() || id.ClusterID != f.Cluster.GetId() || id.Role != clusterpb.NodeRole_NODE_ROLE_MANAGER {
		t.Errorf("the first manager's certificate says %+v", id)
	}
	if got := f.Node; got.GetRaftAddr() != "192.0.2.1:2377" || got.GetSpec().GetAvailability() != clusterpb.NodeSpec_AVAILABILITY_DRAIN {
		t.Errorf("the first manager is %v", got)
	}
	if got := f.Network.GetSubnets(); len(got) != 2 || got[0] != "10.129.0.0/16" || !strings.HasPrefix(got[1], "fd") {
		t.Errorf("tasks have addresses of %v", got)
	}
	if got := f.Cluster.GetDataPathPort(); got != 4789 {
		t.Errorf("data path port %d", got)
	}
	s := storetest.State(t, f.Changes()...)
	if n, ok := s.Network(network.Ingress); !ok || n.GetSpec().GetName() != "ingress" {
		t.Errorf("published ports lead into %v", n)
	}
	if now := storetest.Start(); !s.Cluster().GetCreatedAt().AsTime().Equal(now) || !s.Secrets().GetGossipKeysAt().AsTime().Equal(now) {
		t.Errorf("founded at %v, keys made at %v", s.Cluster().GetCreatedAt(), s.Secrets().GetGossipKeysAt())
	}
	if s := s.Secrets(); s.GetWorkerSecret() == s.GetManagerSecret() || len(s.GetRootCaKey()) == 0 || len(s.GetGossipKeys()) == 0 {
		t.Error("a secret is missing, or used twice")
	}
}

// TestFoundingAvoids the networks of the host and those it has routes to, but not
// a route that covers the whole pool.
func TestFoundingAvoids(t *testing.T) {
	prefixes := func(list ...string) (all []netip.Prefix) {
		for _, p := range list {
			all = append(all, netip.MustParsePrefix(p))
		}
		return all
	}
	tests := map[string]struct {
		inUse, routed []netip.Prefix
		want          string // "": refused
	}{
		"nothing":               {nil, nil, "10.128.0.0/16"},
		"a network":             {prefixes("10.128.4.0/24"), nil, "10.129.0.0/16"},
		"a route":               {prefixes("10.128.4.0/24"), prefixes("10.129.0.0/18"), "10.130.0.0/16"},
		"a route to everything": {prefixes("10.128.4.0/24"), prefixes("10.0.0.0/8"), "10.129.0.0/16"},
		"a network of all":      {prefixes("10.0.0.0/8"), nil, ""},
	}
	for name, tt := range tests {
		f, err := New(Request{InUse: tt.inUse, Routed: tt.routed})
		if refused := errdefs.IsResourceExhausted(err); refused != (tt.want == "") || err != nil && !refused {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && f.Network.GetSubnets()[0] != tt.want {
			t.Errorf("%s: %v, want %s", name, f.Network.GetSubnets(), tt.want)
		}
	}
}

func TestFoundingRefuses(t *testing.T) {
	tests := map[string]struct {
		request Request
		want    string
	}{
		"port of a service":  {Request{DataPathPort: 80}, "--data-path-port 80: use 1024 to 49151"},
		"ephemeral port":     {Request{DataPathPort: 50000}, "--data-path-port 50000: use 1024 to 49151"},
		"pool that is none":  {Request{AddrPool: "10.0.0.0"}, `--default-addr-pool "10.0.0.0": use an IPv4 prefix`},
		"pool of IPv6":       {Request{AddrPool: "fd00::/8"}, `--default-addr-pool "fd00::/8": use an IPv4 prefix`},
		"pool with host bit": {Request{AddrPool: "10.0.0.1/8"}, `--default-addr-pool "10.0.0.1/8": use an IPv4 prefix`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := New(tt.request)
			if !errdefs.IsInvalidArgument(err) || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
}

func TestTokensOpenTheirRoles(t *testing.T) {
	f, err := New(Request{ControlAddr: "192.0.2.1:2377"})
	if err != nil {
		t.Fatal(err)
	}
	worker, manager, err := Tokens(f.Cluster.GetRootCa(), f.Cluster)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(worker, f.Cluster.GetWorkerSecret()) || !strings.HasSuffix(manager, f.Cluster.GetManagerSecret()) {
		t.Errorf("tokens %s and %s", worker, manager)
	}
}
