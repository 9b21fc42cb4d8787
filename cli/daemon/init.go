package daemon

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/manager/allocator/ipam"
	"github.com/muster/muster/manager/ca"
	"github.com/muster/muster/manager/gossipkeys"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/id"
	"github.com/muster/muster/proto/jointoken"
	nodepb "github.com/muster/muster/proto/node/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/spec"
	"github.com/muster/muster/raftstore/state"
)

// founding is everything that a new cluster begins with.
type founding struct {
	settings    settings
	credentials *mtls.Credentials
	cluster     *clusterpb.Cluster
	secrets     *clusterpb.ClusterSecrets
	node        *clusterpb.Node
}

// changes put the cluster into an empty state.
func (f *founding) changes() []*raftpb.Change {
	return []*raftpb.Change{
		state.PutCluster(f.cluster), state.PutClusterSecrets(f.secrets), state.PutNode(f.node),
	}
}

// found decides what a new cluster is like, from what the user asks and what
// the host has. It changes nothing.
func found(r *nodepb.InitClusterRequest, h host) (*founding, error) {
	s, err := addresses(h, r.GetAdvertiseAddr(), r.GetListenAddr(), r.GetDataPathAddr())
	if err != nil {
		return nil, err
	}
	clusterSpec := r.GetSpec()
	if clusterSpec == nil {
		clusterSpec = &clusterpb.ClusterSpec{}
	}
	if err := spec.ValidateCluster(clusterSpec); err != nil {
		return nil, err
	}
	clusterID, nodeID := id.New(), id.New()
	subnets, err := ingressSubnets(r.GetDefaultAddrPool(), clusterID, h)
	if err != nil {
		return nil, err
	}
	port, err := dataPathPort(r.GetDataPathPort())
	if err != nil {
		return nil, err
	}
	rootCert, rootKey, err := ca.NewRoot(clusterID)
	if err != nil {
		return nil, fmt.Errorf("make the cluster's root certificate: %w", err)
	}
	signer, err := ca.NewSigner(clusterID, rootCert, rootKey)
	if err != nil {
		return nil, err
	}
	credentials, err := signer.Issue(nodeID, clusterpb.NodeRole_NODE_ROLE_MANAGER, spec.CertExpiry(clusterSpec))
	if err != nil {
		return nil, fmt.Errorf("make this node's certificate: %w", err)
	}
	now := timestamppb.New(time.Now())
	return &founding{
		settings:    s,
		credentials: credentials,
		cluster: &clusterpb.Cluster{
			Id: clusterID, CreatedAt: now, Spec: clusterSpec, RootCa: rootCert,
			IngressSubnets: subnets, DataPathPort: port,
		},
		secrets: &clusterpb.ClusterSecrets{
			RootCaKey:     rootKey,
			WorkerSecret:  jointoken.NewSecret(),
			ManagerSecret: jointoken.NewSecret(),
			GossipKeys:    gossipkeys.First(),
			GossipKeysAt:  now,
		},
		node: &clusterpb.Node{
			Id:       nodeID,
			Role:     clusterpb.NodeRole_NODE_ROLE_MANAGER,
			RaftAddr: s.Advertise.String(),
			Spec:     &clusterpb.NodeSpec{Availability: r.GetAvailability()},
		},
	}, nil
}

// addresses resolves what init and join are told about addresses.
func addresses(h host, advertise, listen, dataPath string) (s settings, err error) {
	if s.Listen, err = h.listening(listen); err != nil {
		return s, fmt.Errorf("--listen-addr: %w", err)
	}
	if s.Advertise, err = h.advertised(advertise, s.Listen.Port()); err != nil {
		return s, fmt.Errorf("--advertise-addr: %w", err)
	}
	if listen == "" {
		// Who advertises another port and says nothing of listening means it.
		s.Listen = netip.AddrPortFrom(s.Listen.Addr(), s.Advertise.Port())
	}
	s.DataPath, err = h.tunnelEnd(s.Advertise.Addr(), dataPath)
	return s, err
}

// tunnelEnd is the address that the traffic between tasks leaves from. It must
// be this host's own, while the one that others reach may be a router's.
func (h host) tunnelEnd(advertised netip.Addr, dataPath string) (netip.Addr, error) {
	if dataPath == "" {
		if !h.has(advertised) {
			return netip.Addr{}, fmt.Errorf(
				"--advertise-addr %s is on no interface of this host: correct it, or if others reach this host by it, name its own address with --data-path-addr: %w",
				advertised, errdefs.ErrInvalidArgument)
		}
		return advertised, nil
	}
	addr, err := h.lookup(dataPath)
	if err != nil {
		return addr, fmt.Errorf("--data-path-addr: %w", err)
	}
	if !h.has(addr) {
		return addr, fmt.Errorf("--data-path-addr %s is on no interface of this host: %w", addr, errdefs.ErrInvalidArgument)
	}
	return addr, nil
}

func dataPathPort(n uint32) (uint32, error) {
	switch {
	case n == 0:
		return spec.DefaultDataPathPort, nil
	case n < 1024 || n > 49151:
		return 0, fmt.Errorf("--data-path-port %d: use 1024 to 49151: %w", n, errdefs.ErrInvalidArgument)
	}
	return n, nil
}

// ingressBits is the size of the network of published ports: 65,533 tasks.
const ingressBits = 16

// ingressSubnets cuts the network of published ports from the pool, beside
// what this host uses: task addresses must be nobody else's. IPv6 tasks get
// addresses that are unique to the cluster (RFC 4193).
func ingressSubnets(pool, clusterID string, h host) ([]string, error) {
	if pool == "" {
		pool = spec.DefaultAddrPool
	}
	prefix, err := netip.ParsePrefix(pool)
	if err != nil || !prefix.Addr().Is4() || prefix != prefix.Masked() {
		return nil, fmt.Errorf("--default-addr-pool %q: use an IPv4 prefix such as %s: %w", pool, spec.DefaultAddrPool, errdefs.ErrInvalidArgument)
	}
	subnet, err := ipam.Cut(prefix, max(ingressBits, prefix.Bits()), h.prefixes)
	if err != nil {
		return nil, fmt.Errorf("--default-addr-pool: %w", err)
	}
	return []string{subnet.String(), uniqueLocal(clusterID).String()}, nil
}

func uniqueLocal(clusterID string) netip.Prefix {
	sum := sha256.Sum256([]byte(clusterID))
	addr := [16]byte{0: 0xfd}
	copy(addr[1:6], sum[:]) // the 40 bits of the global id
	return netip.PrefixFrom(netip.AddrFrom16(addr), 64)
}

// initCluster makes this node the first manager of a new cluster.
func (d *Daemon) initCluster(ctx context.Context, r *nodepb.InitClusterRequest) (*nodepb.InitClusterResponse, error) {
	d.changing.Lock()
	defer d.changing.Unlock()
	if r.GetForceNewCluster() {
		return d.forceNewCluster(ctx)
	}
	if err := d.mustBeAlone(); err != nil {
		return nil, err
	}
	h, err := thisHost()
	if err != nil {
		return nil, err
	}
	f, err := found(r, h)
	if err != nil {
		return nil, err
	}
	if err := d.become(ctx, f.settings, f.credentials, f); err != nil {
		return nil, err
	}
	return initResponse(f.settings, f.node.GetId(), f.cluster.GetRootCa(), f.secrets)
}

// initResponse tells how others join.
func initResponse(s settings, nodeID string, root []byte, secrets *clusterpb.ClusterSecrets) (*nodepb.InitClusterResponse, error) {
	worker, err := jointoken.Make(root, secrets.GetWorkerSecret())
	if err != nil {
		return nil, err
	}
	manager, err := jointoken.Make(root, secrets.GetManagerSecret())
	if err != nil {
		return nil, err
	}
	return &nodepb.InitClusterResponse{
		NodeId: nodeID, WorkerToken: worker, ManagerToken: manager, ControlAddr: s.Advertise.String(),
	}, nil
}
