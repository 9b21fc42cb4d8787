package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"google.golang.org/grpc"

	"github.com/muster/muster/dispatcher/agent"
	"github.com/muster/muster/dispatcher/listen"
	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/dispatcher/rpcerror"
	"github.com/muster/muster/proto/call"
	nodepb "github.com/muster/muster/proto/node/v1"
)

// connector opens connections to the control ports of other nodes.
type connector struct {
	network     Network
	credentials func() *mtls.Credentials
}

// to prepares a connection to the control port at addr, which must be that of
// a node that want describes; it is made by the first call. Errors come as
// their errdefs kinds.
func (c connector) to(addr string, want mtls.Peer) (*grpc.ClientConn, error) {
	return c.client(addr, want, rpcerror.DialOptions()...)
}

// forwarding is a connection to a manager that hands calls on as they are.
func (c connector) forwarding(addr string) (*grpc.ClientConn, error) {
	return c.client(addr, mtls.AnyManager())
}

// raft opens a raft stream to the manager of that id at addr.
func (c connector) raft(ctx context.Context, nodeID, addr string) (net.Conn, error) {
	return listen.DialRaft(ctx, nodeID, addr, c.network.Dial, c.credentials)
}

func (c connector) client(addr string, want mtls.Peer, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("passthrough:"+addr, append(opts,
		grpc.WithContextDialer(c.network.Dial),
		grpc.WithTransportCredentials(mtls.ClientCredentials(c.credentials, want)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(call.MaxMessage)),
		agent.KeepaliveParams(),
	)...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return conn, nil
}

// peers keeps one connection to each node that this one asks for content.
type peers struct {
	network Network

	mu          sync.Mutex
	credentials func() *mtls.Credentials // nil while in no cluster
	conns       map[string]*grpc.ClientConn
}

// use makes connections from now on with these credentials.
func (p *peers) use(credentials func() *mtls.Credentials) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.credentials, p.conns = credentials, make(map[string]*grpc.ClientConn)
}

// close ends every connection.
func (p *peers) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, c := range p.conns {
		errs = append(errs, c.Close())
	}
	p.credentials, p.conns = nil, nil
	return errors.Join(errs...)
}

// node returns a client of the node at addr, for content it holds.
func (p *peers) node(addr string) (nodepb.PeerServiceClient, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.credentials == nil {
		return nil, errors.New("this node is in no cluster")
	}
	conn, ok := p.conns[addr]
	if !ok {
		var err error
		if conn, err = (connector{p.network, p.credentials}).to(addr, mtls.Peer{}); err != nil {
			return nil, err
		}
		p.conns[addr] = conn
	}
	return nodepb.NewPeerServiceClient(conn), nil
}
