package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/muster/muster/cli/daemon/node"
	"github.com/muster/muster/dispatcher/listen"
	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/dispatcher/rpcerror"
	"github.com/muster/muster/ingress"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	nodepb "github.com/muster/muster/proto/node/v1"
)

// Tokens are what nodes of each role join by.
type Tokens struct{ Worker, Manager string }

// Node returns the machine that the cluster knows by an id, or nil.
func (c *Cluster) Node(id string) *Node {
	for _, n := range c.Nodes {
		if n.ID == id {
			return n
		}
	}
	return nil
}

// Local returns a client of the node's daemon, as its commands init, join and
// leave are one.
func (n *Node) Local() nodepb.LocalServiceClient {
	return nodepb.NewLocalServiceClient(user{n.cluster, n, changeTimeout})
}

// Found makes the node the first manager of a cluster, whose tokens the others
// join by from now on.
func (n *Node) Found(ctx context.Context, r *nodepb.InitClusterRequest) error {
	resp, err := n.Local().InitCluster(ctx, r)
	if err != nil {
		return err
	}
	n.cluster.Tokens = Tokens{Worker: resp.GetWorkerToken(), Manager: resp.GetManagerToken()}
	n.ID, n.role = resp.GetNodeId(), clusterpb.NodeRole_NODE_ROLE_MANAGER
	return nil
}

// Join makes the node a member by a token. It asks m1 unless another manager
// is named.
func (n *Node) Join(ctx context.Context, r *nodepb.JoinClusterRequest) error {
	if r.GetRemoteAddr() == "" {
		r.RemoteAddr = n.cluster.Nodes["m1"].ControlAddr()
	}
	resp, err := n.Local().JoinCluster(ctx, r)
	if err == nil {
		n.ID, n.role = resp.GetNodeId(), resp.GetRole()
	}
	return err
}

// ForceNewCluster makes the node, a manager whose quorum is lost for good, the
// only one.
func (n *Node) ForceNewCluster(ctx context.Context) error {
	_, err := n.Local().InitCluster(ctx, &nodepb.InitClusterRequest{ForceNewCluster: true})
	return err
}

// Leave makes the node leave its cluster.
func (n *Node) Leave(ctx context.Context, force bool) error {
	_, err := n.Local().LeaveCluster(ctx, &nodepb.LeaveClusterRequest{Force: force})
	if err == nil {
		n.ID, n.role = "", clusterpb.NodeRole_NODE_ROLE_UNSPECIFIED
	}
	return err
}

// ImageUsers asks, as the node's daemon does, why an image has to stay. The
// daemon must be up.
func (n *Node) ImageUsers(ctx context.Context, r *dispatchpb.FindImageUsersRequest) (*dispatchpb.FindImageUsersResponse, error) {
	return node.ImageUsers(ctx, n.current().node, r)
}

// Credentials are what the node proves itself by, as its disk holds them.
func (n *Node) Credentials() (*mtls.Credentials, error) {
	return mtls.Load(filepath.Join(n.dir, "identity"))
}

// DialRaft opens a raft connection to another manager, as whoever has the
// credentials, and waits until the other side has closed it or a second is over:
// it returns whether it was kept open.
func (n *Node) DialRaft(ctx context.Context, to *Node, as *mtls.Credentials) (kept bool) {
	outside := n.cluster.network.host(n.Name, n.addr)
	conn, err := listen.DialRaft(ctx, to.ID, to.ControlAddr(), outside.Dial, func() *mtls.Credentials { return as })
	if err != nil {
		return false
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return false
	}
	_, err = conn.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// Near makes the machine reach another network by itself.
func (n *Node) Near(other ingress.Nearby) {
	w := n.cluster.network
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nears[n.Name] = append(w.nears[n.Name], other)
}

// Connect opens a connection to another node's control port, as whoever has
// the credentials; as nobody when they are nil.
func (n *Node) Connect(to *Node, as *mtls.Credentials) (*grpc.ClientConn, error) {
	secure := credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{listen.ProtocolGRPC},
		InsecureSkipVerify: true, // who is in no cluster yet knows no root
	})
	if as != nil {
		secure = mtls.ClientCredentials(func() *mtls.Credentials { return as }, mtls.Peer{})
	}
	outside := n.cluster.network.host(n.Name, n.addr)
	return grpc.NewClient("passthrough:"+to.ControlAddr(), append(rpcerror.DialOptions(),
		grpc.WithTransportCredentials(secure), grpc.WithContextDialer(outside.Dial))...)
}
