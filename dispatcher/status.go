package dispatcher

import (
	"context"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

const (
	// maxBatch is how many changes go into one log entry.
	maxBatch = 500
	// maxBatchBytes keeps log entries small where statuses carry long outputs.
	maxBatchBytes = 512 << 10
)

// statusQueue gathers what workers report while the last batch is being
// committed: under load batches grow, when idle a report goes out at once. It
// keeps the newest status of each task that a node has, so it is bounded by their
// number, whatever nodes say and however long a commit takes.
type statusQueue struct {
	due chan struct{}

	mu    sync.Mutex
	tasks map[reportKey]*clusterpb.TaskStatus
	nodes map[string]*raftpb.ObserveNode
	// upTo is the sequence up to which a session's reports are queued.
	upTo map[*session]uint64
	// written is closed once what is queued is written down.
	written chan struct{}
}

// taken is what was in the queue.
type taken struct {
	changes []*raftpb.Change
	upTo    map[*session]uint64
	written chan struct{}
}

// reportKey keeps what nodes say apart: one that speaks of another's task must
// not stand in for the node that has it.
type reportKey struct{ taskID, nodeID string }

func newStatusQueue() *statusQueue {
	q := &statusQueue{due: make(chan struct{}, 1)}
	q.reset()
	return q
}

func (q *statusQueue) reset() {
	q.tasks = make(map[reportKey]*clusterpb.TaskStatus)
	q.nodes = make(map[string]*raftpb.ObserveNode)
	q.upTo = make(map[*session]uint64)
	q.written = make(chan struct{})
}

// put queues what a session reported of tasks that st knows its node to have.
func (q *statusQueue) put(st *state.State, s *session, sequence uint64, reports []*dispatchpb.TaskReport) {
	q.mu.Lock()
	for _, rep := range reports {
		if task, ok := st.Task(rep.GetTaskId()); !ok || !news(task, s.nodeID, rep.GetStatus()) {
			continue
		}
		key := reportKey{taskID: rep.GetTaskId(), nodeID: s.nodeID}
		old, ok := q.tasks[key]
		if !ok || lifecycle.Advances(old.GetState(), rep.GetStatus().GetState()) {
			q.tasks[key] = rep.GetStatus()
		}
	}
	q.upTo[s] = max(q.upTo[s], sequence)
	q.mu.Unlock()
	wake(q.due)
}

// putNode queues what was seen of a node; set fields replace earlier ones.
// All news of nodes go this way, so they are written down in order. The
// channel is closed once they are.
func (q *statusQueue) putNode(o *raftpb.ObserveNode) (written <-chan struct{}) {
	q.mu.Lock()
	written = q.written
	if old := q.nodes[o.GetId()]; old != nil {
		if o.GetDescription() != nil {
			old.Description = o.GetDescription()
		}
		if o.GetStatus() != nil {
			old.Status = o.GetStatus()
		}
		if o.GetImages() != nil {
			old.Images = o.GetImages()
		}
	} else {
		q.nodes[o.GetId()] = o
	}
	q.mu.Unlock()
	wake(q.due)
	return written
}

// take empties the queue. st tells which tasks a node may speak of.
func (q *statusQueue) take(st *state.State) taken {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := taken{upTo: q.upTo, written: q.written}
	for key, status := range q.tasks {
		if task, ok := st.Task(key.taskID); ok && news(task, key.nodeID, status) {
			t.changes = append(t.changes, state.ObserveTask(key.taskID, status))
		}
	}
	for _, o := range q.nodes {
		t.changes = append(t.changes, state.ObserveNode(o))
	}
	q.reset()
	return t
}

// news reports whether a report is to be written down: it is by the task's
// own node, about what a node can know, and not behind what is known.
func news(t *clusterpb.Task, nodeID string, status *clusterpb.TaskStatus) bool {
	return t.GetNodeId() == nodeID && lifecycle.Reportable(status.GetState()) && lifecycle.Advances(t.GetStatus().GetState(), status.GetState())
}

// batches cuts changes into log entries.
func batches(changes []*raftpb.Change) (cut [][]*raftpb.Change) {
	start, size := 0, 0
	for i, c := range changes {
		n := proto.Size(c)
		if i > start && (i-start >= maxBatch || size+n > maxBatchBytes) {
			cut = append(cut, changes[start:i])
			start, size = i, 0
		}
		size += n
	}
	if start < len(changes) {
		cut = append(cut, changes[start:])
	}
	return cut
}

// statusLoop writes reports down and tells the workers once they are.
func (t *term) statusLoop(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.statuses.due:
		}
		batch := t.statuses.take(t.cfg.Store.State())
		for _, entry := range batches(batch.changes) {
			if !t.record(ctx, entry) {
				return nil
			}
		}
		for s, sequence := range batch.upTo {
			s.post(func(o *outbox) { o.recorded = max(o.recorded, sequence) })
		}
		close(batch.written)
	}
}

// record commits one batch, trying again for as long as this manager leads.
func (t *term) record(ctx context.Context, batch []*raftpb.Change) (ok bool) {
	retry := newBackOff()
	for {
		try, cancel := context.WithTimeout(ctx, registerTimeout)
		err := t.cfg.Store.Propose(try, batch...)
		cancel()
		if err == nil {
			return true
		}
		if ctx.Err() == nil && !errdefs.IsUnavailable(err) {
			// Refused for good: trying again would hold up everyone's reports.
			t.log.ErrorContext(ctx, "write statuses down: refused, dropped", "count", len(batch), "err", err)
			return true
		}
		d := retry.NextBackOff()
		t.log.WarnContext(ctx, "write statuses down: will retry", "count", len(batch), "in", d, "err", err)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(d):
		}
	}
}
