package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/dispatcher/mtls"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	memberpb "github.com/muster/muster/proto/member/v1"
	nodepb "github.com/muster/muster/proto/node/v1"
	"github.com/muster/muster/proto/spec"
)

// joinCluster makes this node a member by a join token.
func (d *Daemon) joinCluster(ctx context.Context, r *nodepb.JoinClusterRequest) (*nodepb.JoinClusterResponse, error) {
	d.changing.Lock()
	defer d.changing.Unlock()
	if err := d.mustBeAlone(); err != nil {
		return nil, err
	}
	h, err := thisHost()
	if err != nil {
		return nil, err
	}
	s, err := addresses(h, r.GetAdvertiseAddr(), r.GetListenAddr(), r.GetDataPathAddr())
	if err != nil {
		return nil, err
	}
	remote := r.GetRemoteAddr()
	if _, _, err := net.SplitHostPort(remote); err != nil {
		remote = net.JoinHostPort(remote, strconv.Itoa(spec.DefaultControlPort))
	}
	s.Managers = []string{remote}
	// A port that is taken must be found before the cluster knows this node.
	probe, err := net.Listen("tcp", s.Listen.String())
	if err != nil {
		return nil, explainListen(s, err)
	}
	if err := probe.Close(); err != nil {
		return nil, err
	}
	credentials, err := mtls.Join(ctx, remote, r.GetToken())
	if err != nil {
		return nil, err
	}
	if err := d.become(ctx, s, credentials, nil); err != nil {
		d.takeBack(ctx, remote, credentials)
		return nil, err
	}
	id := credentials.Identity
	if a := r.GetAvailability(); a != clusterpb.NodeSpec_AVAILABILITY_UNSPECIFIED && a != clusterpb.NodeSpec_AVAILABILITY_ACTIVE {
		if err := d.introduce(ctx, a); err != nil {
			return nil, fmt.Errorf("this node has joined, but its availability is not set (%w): use \"muster node update --availability\" on a manager", err)
		}
	}
	return &nodepb.JoinClusterResponse{NodeId: id.NodeID, Role: id.Role}, nil
}

// takeBack has the cluster forget a node that it gave a certificate to and
// that then could not become a member.
func (d *Daemon) takeBack(ctx context.Context, manager string, credentials *mtls.Credentials) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forgetTimeout)
	defer cancel()
	conn, err := dial(manager, func() *mtls.Credentials { return credentials }, mtls.AnyManager())
	if err == nil {
		err = untilServed(ctx, func() error {
			_, err := memberpb.NewMemberServiceClient(conn).Leave(ctx, &memberpb.LeaveRequest{})
			return err
		})
		err = errors.Join(err, conn.Close())
	}
	if err != nil {
		d.log.WarnContext(ctx, "the cluster still lists this node, which did not join: remove it with muster node rm",
			"id", credentials.Identity.NodeID, "err", err)
	}
}

// introduceTimeout bounds telling the managers of the availability.
const introduceTimeout = 10 * time.Second

// introduce tells the managers which availability this node begins with.
func (d *Daemon) introduce(ctx context.Context, a clusterpb.NodeSpec_Availability) error {
	ctx, cancel := context.WithTimeout(ctx, introduceTimeout)
	defer cancel()
	conn, err := d.member.Load().dialManager()
	if err != nil {
		return err
	}
	defer conn.Close()
	return untilServed(ctx, func() error {
		_, err := memberpb.NewMemberServiceClient(conn).Introduce(ctx, &memberpb.IntroduceRequest{Availability: a})
		return err
	})
}

// mustBeAlone refuses to found or join when this node is a member already.
func (d *Daemon) mustBeAlone() error {
	if m := d.member.Load(); m != nil {
		return fmt.Errorf("this node is part of cluster %s already: run \"muster swarm leave\" first: %w",
			m.identity().ClusterID, errdefs.ErrFailedPrecondition)
	}
	return nil
}

func explainListen(s settings, err error) error {
	return fmt.Errorf("cannot listen on %s (%w): free the port, or choose another with --listen-addr: %w", s.Listen, err, errdefs.ErrFailedPrecondition)
}
