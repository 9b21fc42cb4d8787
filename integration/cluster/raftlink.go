package cluster

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/muster/muster/raftstore"
)

// raftTimeout bounds one call between managers.
const raftTimeout = time.Second

var errRaftClosed = errors.New("the transport is closed")

// raftLink carries raft between managers in memory. Unlike raft's own it
// drops answers too: what a manager says after it was cut off or killed
// reaches nobody, though it was asked before.
type raftLink struct {
	network *network
	nodeID  string
	in      chan raft.RPC
	closed  chan struct{}
	close   func()
}

var _ raftstore.Transport = (*raftLink)(nil)

// raft returns the transport of a manager's new life.
func (n *network) raft(nodeID string) *raftLink {
	closed := make(chan struct{})
	l := &raftLink{
		network: n, nodeID: nodeID, in: make(chan raft.RPC, 16), closed: closed,
		close: sync.OnceFunc(func() { close(closed) }),
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rafts[nodeID] = l
	return l
}

// call sends a command and returns the answer.
func (l *raftLink) call(target raft.ServerAddress, command any, data io.Reader) (any, error) {
	quit := make(chan struct{})
	timeout := time.AfterFunc(raftTimeout, func() { close(quit) })
	defer timeout.Stop()
	to := nodeOf(string(target))
	if err := l.network.pass(l.nodeID, to, quit); err != nil {
		return nil, err
	}
	time.Sleep(latency)
	l.network.mu.Lock()
	peer := l.network.rafts[to]
	l.network.mu.Unlock()
	if peer == nil {
		return nil, fmt.Errorf("dial %s: connection refused", target)
	}
	answer := make(chan raft.RPCResponse, 1)
	select {
	case peer.in <- raft.RPC{Command: command, Reader: data, RespChan: answer}:
	case <-peer.closed:
		return nil, errReset
	case <-l.closed:
		return nil, errRaftClosed
	case <-quit:
		return nil, errReset
	}
	select {
	case r := <-answer:
		time.Sleep(latency)
		return r.Response, errors.Join(r.Error, l.arrived(peer, quit))
	case <-peer.closed:
		return nil, errReset
	case <-l.closed:
		return nil, errRaftClosed
	case <-quit:
		return nil, errReset
	}
}

// arrived waits for the answer of a peer to get through, if it does.
func (l *raftLink) arrived(peer *raftLink, quit <-chan struct{}) error {
	if err := l.network.pass(peer.nodeID, l.nodeID, quit); err != nil {
		return err
	}
	for _, e := range []*raftLink{l, peer} {
		select {
		case <-e.closed:
			return errReset
		default:
		}
	}
	return nil
}

func ask[T any](l *raftLink, target raft.ServerAddress, command any, data io.Reader, resp *T) error {
	r, err := l.call(target, command, data)
	if err != nil {
		return err
	}
	answer, ok := r.(*T)
	if !ok {
		return fmt.Errorf("unexpected answer %T", r)
	}
	*resp = *answer
	return nil
}

// AppendEntries implements raft.Transport.
func (l *raftLink) AppendEntries(_ raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	return ask(l, target, args, nil, resp)
}

// RequestVote implements raft.Transport.
func (l *raftLink) RequestVote(_ raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return ask(l, target, args, nil, resp)
}

// RequestPreVote implements raft.WithPreVote.
func (l *raftLink) RequestPreVote(_ raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return ask(l, target, args, nil, resp)
}

// InstallSnapshot implements raft.Transport.
func (l *raftLink) InstallSnapshot(_ raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	return ask(l, target, args, data, resp)
}

// TimeoutNow implements raft.Transport.
func (l *raftLink) TimeoutNow(_ raft.ServerID, target raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return ask(l, target, args, nil, resp)
}

// AppendEntriesPipeline implements raft.Transport: entries go one call at a
// time.
func (*raftLink) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// Consumer implements raft.Transport.
func (l *raftLink) Consumer() <-chan raft.RPC { return l.in }

// LocalAddr implements raft.Transport.
func (l *raftLink) LocalAddr() raft.ServerAddress { return raft.ServerAddress(addrOf(l.nodeID)) }

// EncodePeer implements raft.Transport.
func (*raftLink) EncodePeer(_ raft.ServerID, addr raft.ServerAddress) []byte { return []byte(addr) }

// DecodePeer implements raft.Transport.
func (*raftLink) DecodePeer(b []byte) raft.ServerAddress { return raft.ServerAddress(b) }

// SetHeartbeatHandler implements raft.Transport: heartbeats have no way of
// their own.
func (*raftLink) SetHeartbeatHandler(func(raft.RPC)) {}

// Close implements raft.WithClose. It is also how the process dies.
func (l *raftLink) Close() error {
	l.close()
	return nil
}
