package raftstore

import (
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Raft keeps a few connections to each member open, and waits this long for
// an answer. Heartbeats have their own and do not queue behind entries.
const (
	poolSize   = 3
	rpcTimeout = 10 * time.Second
)

// maxAppend is how many bytes of entries a message has at most, if they are
// several: a member that fell behind must get it within rpcTimeout.
const maxAppend = 4 << 20

// link is the transport with an ear to it: what members answer to heartbeats
// tells how far their logs go and when they were last there, and who sends
// heartbeats leads. Raft itself does not tell the former, nor the latter while
// the disk hangs.
type link struct {
	Transport
	handOvers gate
	// stall silences a leader whose disk hangs, so that others elect one.
	stall *stall

	mu     sync.Mutex
	heard  map[raft.ServerID]contact
	leader leader
}

// contact is what is known of a member that answered.
type contact struct {
	at time.Time
	// lastLog is the last index in the member's log.
	lastLog uint64
}

// leader is the member that sent a heartbeat of the latest term.
type leader struct {
	term     uint64
	id, addr string
}

func newLink(c Config, rc *raft.Config) *link {
	l := &link{Transport: c.Transport, heard: make(map[raft.ServerID]contact)}
	if l.Transport == nil {
		l.Transport = named{raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream:  c.Stream,
			MaxPool: poolSize,
			// No pipelining. Raft's sender waits for ever to hand a request to a
			// pipeline whose reader has given up, because the member answered with a
			// newer term or refused entries: it sends that member nothing any more,
			// and raft never stops.
			MaxRPCsInFlight: 1,
			Timeout:         rpcTimeout,
			Logger:          rc.Logger,
		})}
	}
	return l
}

// AppendEntries implements raft.Transport.
func (l *link) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if hangs, _ := l.stall.now(); hangs {
		return errStalled
	}
	if fit := fitting(args.Entries, maxAppend); len(fit) < len(args.Entries) {
		// Raft takes for sent what args say after the call, and sends the rest next.
		args.Entries = fit
	}
	err := l.Transport.AppendEntries(id, target, args, resp)
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.heard[id] = contact{at: time.Now(), lastLog: resp.LastLog}
	}
	return err
}

// fitting returns the first entries that take limit bytes at most, one at least.
func fitting(entries []*raft.Log, limit int) []*raft.Log {
	for i, e := range entries {
		if limit -= sizeOf(e); limit < 0 && i > 0 {
			return entries[:i]
		}
	}
	return entries
}

// SetHeartbeatHandler implements raft.Transport. Heartbeats do not queue behind
// other requests, but the first one of a term waits until that is on the disk.
func (l *link) SetHeartbeatHandler(handle func(raft.RPC)) {
	l.Transport.SetHeartbeatHandler(func(rpc raft.RPC) {
		if a, ok := rpc.Command.(*raft.AppendEntriesRequest); ok {
			l.follow(leader{a.Term, string(a.ID), string(l.DecodePeer(a.Addr))})
		}
		handle(rpc)
	})
}

func (l *link) follow(next leader) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if next.term > l.leader.term {
		l.leader = next
	}
}

// leads returns who leads as of a later term than that, if anybody does.
func (l *link) leads(after uint64) (id, addr string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leader.id, l.leader.addr, l.leader.term > after
}

// AppendEntriesPipeline implements raft.Transport: there are none, see newLink.
// Nor would a leader whose disk hangs be silent on them.
func (*link) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// TimeoutNow implements raft.Transport: it asks a member to take the lead. Raft
// does not wait for it when it stops, so the store does.
func (l *link) TimeoutNow(id raft.ServerID, target raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	if !l.handOvers.enter() {
		return errors.New("the store is closed")
	}
	defer l.handOvers.leave()
	return l.Transport.TimeoutNow(id, target, args, resp)
}

func (l *link) contact(id string) contact {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heard[raft.ServerID(id)]
}

func (l *link) forget(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.heard, raft.ServerID(id))
}
