package dispatcher

import (
	"context"
	"fmt"
	"maps"
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
	// maxStatus is how long in bytes the status of a task may be, beside
	// maxStatusPort for each of its ports.
	maxStatus, maxStatusPort = 64 << 10, 32
)

// statusQueue gathers what workers report while the last batch is being
// committed: under load batches grow, when idle a report goes out at once. It
// keeps the newest status of each task that a node has, so it is bounded by their
// number, whatever nodes say and however long a commit takes. What of it is
// more than its node's allowance stays, and newer replaces it.
type statusQueue struct {
	due chan struct{}

	mu    sync.Mutex
	tasks map[reportKey]*clusterpb.TaskStatus
	nodes map[string]*nodeNews
	// upTo is the sequence up to which a session's reports are queued.
	upTo map[*session]uint64
	// spent are the allowances that are not full.
	spent map[string]*allowance
}

// nodeNews is what was seen of a node and is not written down.
type nodeNews struct {
	seen    *raftpb.ObserveNode
	written chan struct{} // closed once it is
	held    bool          // it waits for its node's allowance
}

// taken is what was in the queue and may be written down.
type taken struct {
	changes []*raftpb.Change
	upTo    map[*session]uint64
	written []chan struct{}
	// held are the nodes of which something stayed, and again is how long until
	// some of that may be written down.
	held  map[string]struct{}
	again time.Duration
}

// reportKey keeps what nodes say apart: one that speaks of another's task must
// not stand in for the node that has it.
type reportKey struct{ taskID, nodeID string }

func newStatusQueue() *statusQueue {
	return &statusQueue{
		due: make(chan struct{}, 1), tasks: make(map[reportKey]*clusterpb.TaskStatus), nodes: make(map[string]*nodeNews),
		upTo: make(map[*session]uint64), spent: make(map[string]*allowance),
	}
}

// put queues what a session reported of tasks that st knows its node to have.
func (q *statusQueue) put(st *state.State, s *session, sequence uint64, reports []*dispatchpb.TaskReport) {
	q.mu.Lock()
	for _, rep := range reports {
		task, ok := st.Task(rep.GetTaskId())
		if !ok || !news(task, s.nodeID, rep.GetStatus()) {
			continue
		}
		key := reportKey{taskID: rep.GetTaskId(), nodeID: s.nodeID}
		old, ok := q.tasks[key]
		if !ok || lifecycle.Advances(old.GetState(), rep.GetStatus().GetState()) {
			q.tasks[key] = bounded(task, rep.GetStatus())
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
	defer q.mu.Unlock()
	defer wake(q.due)
	n := q.nodes[o.GetId()]
	if n == nil {
		n = &nodeNews{seen: o, written: make(chan struct{})}
		q.nodes[o.GetId()] = n
		return n.written
	}
	if o.GetDescription() != nil {
		n.seen.Description = o.GetDescription()
	}
	if o.GetStatus() != nil {
		n.seen.Status = o.GetStatus()
	}
	if o.GetImages() != nil {
		n.seen.Images = o.GetImages()
	}
	return n.written
}

// leave drops the sequence of a session that has ended: nobody is to be told.
func (q *statusQueue) leave(s *session) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.upTo, s)
}

// drop drops what is held of nodes that are about to be declared down: it is
// older than that.
func (q *statusQueue) drop(ids []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, id := range ids {
		if n := q.nodes[id]; n != nil && n.held {
			delete(q.nodes, id)
		}
	}
}

// take takes what may be written down. st tells which tasks a node may speak of.
func (q *statusQueue) take(st *state.State, now time.Time) taken {
	q.mu.Lock()
	defer q.mu.Unlock()
	maps.DeleteFunc(q.spent, func(_ string, a *allowance) bool { return a.full.Before(now) })
	t := taken{upTo: make(map[*session]uint64), held: make(map[string]struct{})}
	bytes := make(map[string]int) // of each node's news
	for key, status := range q.tasks {
		task, ok := st.Task(key.taskID)
		if ok && news(task, key.nodeID, status) {
			if status.GetState() == task.GetStatus().GetState() {
				if q.hold(key.nodeID, now, &t) {
					continue
				}
				bytes[key.nodeID] += proto.Size(status)
			}
			t.changes = append(t.changes, state.ObserveTask(key.taskID, status))
		}
		delete(q.tasks, key)
	}
	for id, n := range q.nodes {
		if n.held = q.hold(id, now, &t); n.held {
			continue
		}
		bytes[id] += proto.Size(n.seen)
		t.changes = append(t.changes, state.ObserveNode(n.seen))
		t.written = append(t.written, n.written)
		delete(q.nodes, id)
	}
	for s, sequence := range q.upTo {
		if _, held := t.held[s.nodeID]; !held {
			t.upTo[s] = sequence
			delete(q.upTo, s)
		}
	}
	for id, n := range bytes {
		q.spend(id, now, n)
	}
	return t
}

// hold reports whether a node's news have to wait, and notes so in t.
func (q *statusQueue) hold(nodeID string, now time.Time, t *taken) bool {
	a := q.spent[nodeID]
	if a == nil {
		return false
	}
	wait := a.wait(now)
	if wait <= 0 {
		return false
	}
	if len(t.held) == 0 || wait < t.again {
		t.again = wait
	}
	t.held[nodeID] = struct{}{}
	return true
}

func (q *statusQueue) spend(nodeID string, now time.Time, bytes int) {
	if q.spent[nodeID] == nil {
		q.spent[nodeID] = &allowance{}
	}
	q.spent[nodeID].spend(now, bytes)
}

// news reports whether a report is to be written down: it is by the task's
// own node, about what a node can know, and not behind what is known.
func news(t *clusterpb.Task, nodeID string, status *clusterpb.TaskStatus) bool {
	return t.GetNodeId() == nodeID && lifecycle.Reportable(status.GetState()) && lifecycle.Advances(t.GetStatus().GetState(), status.GetState())
}

// bounded is a status, or what counts of it when a node says more of a task than
// there can be to say: managers keep it for as long as the task.
func bounded(t *clusterpb.Task, status *clusterpb.TaskStatus) *clusterpb.TaskStatus {
	size, limit := proto.Size(status), maxStatus+maxStatusPort*len(t.GetPorts())
	if size <= limit {
		return status
	}
	return &clusterpb.TaskStatus{
		State: status.GetState(), At: status.GetAt(),
		Err: fmt.Sprintf("its node says %d KiB of it, of which managers keep %d at most", size>>10, limit>>10),
	}
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
	var again <-chan time.Time
	told := make(map[string]time.Time) // of which nodes it was said, and when
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.statuses.due:
		case <-again:
		}
		batch := t.statuses.take(t.cfg.Store.State(), time.Now())
		for _, entry := range batches(batch.changes) {
			if !t.record(ctx, entry) {
				return nil
			}
		}
		for s, sequence := range batch.upTo {
			s.post(func(o *outbox) { o.recorded = max(o.recorded, sequence) })
		}
		for _, written := range batch.written {
			close(written)
		}
		again = nil
		if len(batch.held) > 0 {
			t.tellHeld(ctx, batch.held, told)
			again = time.After(batch.again)
		}
	}
}

// tellHeld says once a minute of each node that it has more news than are
// written down as they come.
func (t *term) tellHeld(ctx context.Context, held map[string]struct{}, told map[string]time.Time) {
	now := time.Now()
	maps.DeleteFunc(told, func(_ string, at time.Time) bool { return now.Sub(at) >= time.Minute })
	for id := range held {
		if _, ok := told[id]; !ok {
			told[id] = now
			t.log.WarnContext(ctx, "a node says something new all the time: only the newest is written down, every now and then", "node", id)
		}
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
