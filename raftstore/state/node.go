package state

import (
	"cmp"
	"iter"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/proto/spec"
)

// maxNodeIndex is the highest Node.index: overlay link addresses are derived
// from 15 bits, less the two /24 that clouds use (ingress.MaxNodeIndex).
const maxNodeIndex = 32254

const nodeByIndex = 0

// KindNode is of nodes.
const KindNode Kind = "node"

func nodeKind() *kind[*clusterpb.Node] {
	return &kind[*clusterpb.Node]{
		name: KindNode,
		key:  (*clusterpb.Node).GetId,
		indexes: []func(*clusterpb.Node) []string{
			nodeByIndex: func(n *clusterpb.Node) []string { return []string{nodeIndexKey(n.GetIndex())} },
		},
		item: func(n *clusterpb.Node) *raftpb.SnapshotItem {
			return &raftpb.SnapshotItem{Kind: &raftpb.SnapshotItem_Node{Node: n}}
		},
		object:  (*raftpb.SnapshotItem).GetNode,
		answers: true,
		setBack: func(old *clusterpb.Node, by time.Duration) *clusterpb.Node {
			n := shallow(old)
			if n.GetStatus() != nil {
				n.Status = shallow(n.GetStatus())
				earlier(by, &n.Status.Since)
			}
			return n
		},
	}
}

func nodeIndexKey(index uint32) string { return strconv.FormatUint(uint64(index), 10) }

// Node returns the node with that id.
func (s *State) Node(id string) (*clusterpb.Node, bool) { return s.nodes.get(id) }

// Nodes yields every node, ordered by id.
func (s *State) Nodes() iter.Seq[*clusterpb.Node] { return s.nodes.all() }

// PutNode creates the node at version 0, or replaces spec, role and raft_addr
// of the version named.
func PutNode(p *raftpb.PutNode) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_PutNode{PutNode: p}}
}

// ObserveNode records what was seen of a node; unset fields stay.
func ObserveNode(o *raftpb.ObserveNode) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_ObserveNode{ObserveNode: o}}
}

// DeleteNode removes a node, revokes its certificate, which is remembered until
// it expires, and orphans its tasks.
func DeleteNode(id string, expiresAt *timestamppb.Timestamp) *raftpb.Change {
	return &raftpb.Change{Kind: &raftpb.Change_DeleteNode{DeleteNode: &raftpb.DeleteNode{Id: id, ExpiresAt: expiresAt}}}
}

// ForgetNode removes a node and revokes its certificate for as long as one may
// live that was renewed just now.
func ForgetNode(s *State, id string, now time.Time) *raftpb.Change {
	return DeleteNode(id, timestamppb.New(now.Add(spec.LongestCertExpiry(s.Cluster()))))
}

// putNode creates the node at version 0, or replaces spec, role and raft_addr
// at the version named. Observations do not move a node's version, so that
// who edits a spec is not disturbed by them.
func (tx *tx) putNode(p *raftpb.PutNode) error {
	if p.GetId() == "" {
		return refuse(invalid, "a node needs an id")
	}
	old, exists := tx.nodes.get(p.GetId())
	if err := checkVersion("node "+p.GetId(), old.GetVersion(), p.GetVersion()); err != nil {
		return err
	}
	if !exists {
		var err error
		if old, err = tx.newNode(p.GetId()); err != nil {
			return err
		}
	}
	n := shallow(old)
	n.Spec, n.Role, n.RaftAddr = p.GetSpec(), p.GetRole(), p.GetRaftAddr()
	n.Version = tx.index
	n.UpdatedAt = timestamppb.New(tx.now)
	set(tx, &tx.nodes, n)
	return nil
}

// newNode returns what a new node has from the start.
func (tx *tx) newNode(id string) (*clusterpb.Node, error) {
	if tx.revoked(id) {
		return nil, refuse(precondition, "node %s was removed from the cluster: it can only join anew", id)
	}
	index, err := tx.nextNodeIndex()
	if err != nil {
		return nil, err
	}
	if c := tx.cluster.one(); c != nil {
		c := shallow(c)
		c.LastNodeIndex = index
		set(tx, &tx.cluster, c)
	}
	return &clusterpb.Node{Id: id, CreatedAt: timestamppb.New(tx.now), Index: index}, nil
}

// nextNodeIndex goes up to the end before it gives an index a second time:
// routes and links of a removed node may linger on nodes that were away.
func (tx *tx) nextNodeIndex() (uint32, error) {
	last := tx.cluster.one().GetLastNodeIndex()
	for i := last + 1; i <= maxNodeIndex; i++ {
		if !tx.nodeIndexUsed(i) {
			return i, nil
		}
	}
	for i := uint32(1); i <= last; i++ {
		if !tx.nodeIndexUsed(i) {
			return i, nil
		}
	}
	return 0, refuse(exhausted, "the cluster has %d nodes, which is the most it can have", maxNodeIndex)
}

func (tx *tx) nodeIndexUsed(index uint32) bool {
	return tx.nodes.has(nodeByIndex, nodeIndexKey(index))
}

// observeNode records what was seen of a node; what is unset stays. It is
// skipped when the node is gone or nothing differs.
func (tx *tx) observeNode(o *raftpb.ObserveNode) error {
	old, ok := tx.nodes.get(o.GetId())
	if !ok {
		return nil
	}
	n := shallow(old)
	if o.GetDescription() != nil {
		n.Description = o.GetDescription()
	}
	if o.GetStatus() != nil {
		n.Status = tx.nodeStatus(old.GetStatus(), o.GetStatus())
	}
	if o.GetImages() != nil {
		n.Images = o.GetImages().GetImages()
	}
	if o.GetRaftAddr() != "" {
		n.RaftAddr = o.GetRaftAddr()
	}
	if proto.Equal(old, n) {
		return nil
	}
	n.UpdatedAt = timestamppb.New(tx.now)
	set(tx, &tx.nodes, n)
	return nil
}

// nodeStatus fills in what the writer left out: since is the time of the last
// change of state, and the address stays that of the last session, since a node
// that is away for a moment still meets the constraints on it.
func (tx *tx) nodeStatus(old, next *clusterpb.NodeStatus) *clusterpb.NodeStatus {
	if next.GetSince() != nil && next.GetAddr() != "" {
		return next
	}
	next = shallow(next)
	next.Addr = cmp.Or(next.GetAddr(), old.GetAddr())
	if next.GetSince() != nil {
		return next
	}
	next.Since = timestamppb.New(tx.now)
	if old.GetSince() != nil && old.GetState() == next.GetState() {
		next.Since = old.GetSince()
	}
	return next
}

// deleteNode removes a node, revokes its certificate, and orphans its tasks that
// have not ended.
func (tx *tx) deleteNode(d *raftpb.DeleteNode) error {
	n, ok := tx.nodes.get(d.GetId())
	if !ok {
		return refuse(notFound, "node %s is gone", d.GetId())
	}
	remove(tx, &tx.nodes, n)
	tx.revoke(n.GetId(), d.GetExpiresAt())
	outdateGossipKeys(tx)
	tx.orphanTasks(n)
	return nil
}
