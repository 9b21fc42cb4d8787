package daemon

import (
	"errors"
	"fmt"
	"sync"

	"google.golang.org/grpc"

	"github.com/muster/muster/dispatcher/agent"
	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/dispatcher/rpcerror"
	nodepb "github.com/muster/muster/proto/node/v1"
)

// peers keeps one connection to each node that this one talks to.
type peers struct {
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
		if conn, err = dial(addr, p.credentials, mtls.Peer{}); err != nil {
			return nil, err
		}
		p.conns[addr] = conn
	}
	return nodepb.NewPeerServiceClient(conn), nil
}

// dial prepares a connection to the control port at addr; it is made by the
// first call. The other side must be what want says. Errors come as their
// errdefs kinds, unless the connection hands calls on.
func dial(addr string, credentials func() *mtls.Credentials, want mtls.Peer) (*grpc.ClientConn, error) {
	return dialWith(addr, credentials, want, rpcerror.DialOptions()...)
}

// dialRaw is dial for a connection that hands calls on as they are.
func dialRaw(addr string, credentials func() *mtls.Credentials, want mtls.Peer) (*grpc.ClientConn, error) {
	return dialWith(addr, credentials, want)
}

func dialWith(addr string, credentials func() *mtls.Credentials, want mtls.Peer, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("passthrough:"+addr, append(opts,
		grpc.WithTransportCredentials(mtls.ClientCredentials(credentials, want)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		agent.KeepaliveParams(),
	)...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return conn, nil
}
