package raftstore

import (
	"io"

	"github.com/hashicorp/raft"

	"github.com/muster/muster/raftstore/transport"
)

// named is raft's network transport, told whom it is to find at an address: a
// manager that was set up anew at its old address is not the member that voted
// there, and what it answers must not count as that one's.
type named struct{ *raft.NetworkTransport }

var _ Transport = named{}

// AppendEntriesPipeline implements raft.Transport.
func (t named) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	return t.NetworkTransport.AppendEntriesPipeline(id, transport.Named(id, target))
}

// AppendEntries implements raft.Transport.
func (t named) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	return t.NetworkTransport.AppendEntries(id, transport.Named(id, target), args, resp)
}

// RequestVote implements raft.Transport.
func (t named) RequestVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return t.NetworkTransport.RequestVote(id, transport.Named(id, target), args, resp)
}

// RequestPreVote implements raft.WithPreVote.
func (t named) RequestPreVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return t.NetworkTransport.RequestPreVote(id, transport.Named(id, target), args, resp)
}

// InstallSnapshot implements raft.Transport.
func (t named) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	return t.NetworkTransport.InstallSnapshot(id, transport.Named(id, target), args, resp, data)
}

// TimeoutNow implements raft.Transport.
func (t named) TimeoutNow(id raft.ServerID, target raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return t.NetworkTransport.TimeoutNow(id, transport.Named(id, target), args, resp)
}
