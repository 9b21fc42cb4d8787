package state

import (
	"errors"
	"fmt"
	"iter"

	raftpb "github.com/muster/muster/proto/raft/v1"
)

// items yields every object in the order in which snapshots hold them.
func (s *State) items() iter.Seq[*raftpb.SnapshotItem] {
	return func(yield func(*raftpb.SnapshotItem) bool) {
		if s.cluster != nil && !yield(&raftpb.SnapshotItem{Kind: &raftpb.SnapshotItem_Cluster{Cluster: s.cluster}}) {
			return
		}
		if s.secrets != nil && !yield(&raftpb.SnapshotItem{Kind: &raftpb.SnapshotItem_Secrets{Secrets: s.secrets}}) {
			return
		}
		for n := range s.Nodes() {
			if !yield(&raftpb.SnapshotItem{Kind: &raftpb.SnapshotItem_Node{Node: n}}) {
				return
			}
		}
		for svc := range s.Services() {
			if !yield(&raftpb.SnapshotItem{Kind: &raftpb.SnapshotItem_Service{Service: svc}}) {
				return
			}
		}
		for t := range s.Tasks() {
			if !yield(&raftpb.SnapshotItem{Kind: &raftpb.SnapshotItem_Task{Task: t}}) {
				return
			}
		}
		for r := range s.requests.all() {
			if !yield(&raftpb.SnapshotItem{Kind: &raftpb.SnapshotItem_Request{Request: r}}) {
				return
			}
		}
	}
}

// restore puts one object back as it was.
func (tx *tx) restore(item *raftpb.SnapshotItem) error {
	switch k := item.GetKind().(type) {
	case *raftpb.SnapshotItem_Cluster:
		if tx.cluster != nil {
			return errors.New("a second cluster")
		}
		tx.cluster = k.Cluster
	case *raftpb.SnapshotItem_Secrets:
		if tx.secrets != nil {
			return errors.New("a second set of secrets")
		}
		tx.secrets = k.Secrets
	case *raftpb.SnapshotItem_Node:
		return restoreRow(&tx.nodes, "node", k.Node)
	case *raftpb.SnapshotItem_Service:
		return restoreRow(&tx.services, "service", k.Service)
	case *raftpb.SnapshotItem_Task:
		tx.shareSpec(k.Task) // services come before tasks
		return restoreRow(&tx.tasks, "task", k.Task)
	case *raftpb.SnapshotItem_Request:
		return restoreRow(&tx.requests, "request", k.Request)
	default:
		// Dropping it would make this replica differ from the others.
		return errors.New("an object of a kind that this version of muster does not know")
	}
	return nil
}

func restoreRow[T any](x *tableTx[T], what string, v T) error {
	key := x.base.def.key(v)
	if key == "" {
		return fmt.Errorf("a %s without id", what)
	}
	if _, exists := x.get(key); exists {
		return fmt.Errorf("%s %s is there twice", what, key)
	}
	x.put(v)
	return nil
}

// Refs names every object.
func (s *State) Refs() []Ref {
	var refs []Ref
	if s.cluster != nil {
		refs = append(refs, Ref{Kind: KindCluster})
	}
	if s.secrets != nil {
		refs = append(refs, Ref{Kind: KindSecrets})
	}
	for n := range s.Nodes() {
		refs = append(refs, Ref{Kind: KindNode, ID: n.GetId()})
	}
	for svc := range s.Services() {
		refs = append(refs, Ref{Kind: KindService, ID: svc.GetId()})
	}
	for t := range s.Tasks() {
		refs = append(refs, taskRef(t))
	}
	return refs
}
