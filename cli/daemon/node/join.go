package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/muster/muster/dispatcher/mtls"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	memberpb "github.com/muster/muster/proto/member/v1"
	nodepb "github.com/muster/muster/proto/node/v1"
)

// join makes this node a member by a join token.
func (n *Node) join(ctx context.Context, r *nodepb.JoinClusterRequest) (*nodepb.JoinClusterResponse, error) {
	end, err := n.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if err := n.mustBeAlone(); err != nil {
		return nil, err
	}
	s, err := n.joinSettings(r)
	if err != nil {
		return nil, err
	}
	// A port that is taken must be found before the cluster knows this node.
	if err := n.probe(s); err != nil {
		return nil, err
	}
	remote := s.Managers[0]
	credentials, subnets, err := mtls.Join(ctx, remote, r.GetToken(), grpc.WithContextDialer(n.cfg.Network.Dial))
	if err != nil {
		return nil, err
	}
	if err = mustBeApart(n.cfg.Network, subnets); err == nil {
		err = n.become(ctx, s, credentials, nil)
	}
	if err != nil {
		n.takeBack(ctx, remote, credentials)
		return nil, err
	}
	id := credentials.Identity
	if a := r.GetAvailability(); a != clusterpb.NodeSpec_AVAILABILITY_UNSPECIFIED && a != clusterpb.NodeSpec_AVAILABILITY_ACTIVE {
		if err := n.introduce(ctx, a); err != nil {
			return nil, fmt.Errorf("this node has joined, but its availability is not set (%w): use \"muster node update --availability\" on a manager", err)
		}
	}
	return &nodepb.JoinClusterResponse{NodeId: id.NodeID, Role: id.Role}, nil
}

func (n *Node) joinSettings(r *nodepb.JoinClusterRequest) (s settings, err error) {
	h, err := n.cfg.Network.Host()
	if err != nil {
		return s, err
	}
	if s, err = addresses(h, r.GetAdvertiseAddr(), r.GetListenAddr(), r.GetDataPathAddr()); err != nil {
		return s, err
	}
	s.Managers = []string{withPort(r.GetRemoteAddr())}
	return s, nil
}

// probe finds out whether the control port is free.
func (n *Node) probe(s settings) error {
	port, err := n.cfg.Network.Listen(s.Listen.String())
	if err != nil {
		return explainListen(s, err)
	}
	return port.Close()
}

func explainListen(s settings, err error) error {
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return fmt.Errorf("cannot listen on %s: this host has no IPv6: choose another address with --listen-addr: %w", s.Listen, errdefs.ErrFailedPrecondition)
	}
	return fmt.Errorf("cannot listen on %s (%w): free the port, or choose another with --listen-addr: %w", s.Listen, err, errdefs.ErrFailedPrecondition)
}

// takeBack has the cluster forget a node that it gave a certificate to and
// that then could not become a member.
func (n *Node) takeBack(ctx context.Context, manager string, credentials *mtls.Credentials) {
	ctx = context.WithoutCancel(ctx)
	connect := connector{n.cfg.Network, func() *mtls.Credentials { return credentials }}
	err := connect.forget(ctx, func() []string { return []string{manager} })
	if err != nil {
		n.log.WarnContext(ctx, "the cluster still lists this node, which did not join: remove it with muster node rm",
			"id", credentials.Identity.NodeID, "err", err)
	}
}

// introduceTimeout bounds telling the managers of the availability.
const introduceTimeout = 10 * time.Second

// introduce tells the managers which availability this node begins with.
func (n *Node) introduce(ctx context.Context, a clusterpb.NodeSpec_Availability) error {
	ctx, cancel := context.WithTimeout(ctx, introduceTimeout)
	defer cancel()
	return n.member.Load().ask(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := memberpb.NewMemberServiceClient(conn).Introduce(ctx, &memberpb.IntroduceRequest{Availability: a})
		return err
	})
}
