package dispatchertest

import (
	"context"
	"hash/fnv"
	"maps"
	"net/netip"
	"sync"

	"google.golang.org/grpc"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

// Worker is a agent.Handler that keeps what it was sent and says what it is
// told to say. It acknowledges every index at once unless Hold is set.
type Worker struct {
	NodeID string
	due    chan struct{}

	mu       sync.Mutex
	say      []*dispatchpb.SessionRequest
	hold     bool
	index    uint64
	lowWater uint64
	recorded uint64
	sessions int
	tasks    map[string]*clusterpb.Task
	messages []*dispatchpb.Assignments
	logs     []*dispatchpb.LogSubscription
	slow     chan struct{}
}

// NewWorker returns a handler for the node.
func NewWorker(nodeID string) *Worker {
	return &Worker{NodeID: nodeID, due: make(chan struct{}, 1), tasks: make(map[string]*clusterpb.Task)}
}

// Register implements agent.Handler.
func (w *Worker) Register(context.Context) (*dispatchpb.Register, error) {
	return &dispatchpb.Register{Description: &clusterpb.NodeDescription{
		Hostname: w.NodeID, DataAddr: dataAddr(w.NodeID), ControlAddr: w.NodeID + ":2377",
	}}, nil
}

// dataAddr is another address for each node.
func dataAddr(nodeID string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(nodeID)) // never fails
	sum := h.Sum(nil)
	return netip.AddrFrom4([4]byte{10, sum[1], sum[2], sum[3]}).String()
}

// Connected implements agent.Handler.
func (w *Worker) Connected(context.Context, grpc.ClientConnInterface) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sessions++
}

// Outgoing implements agent.Handler.
func (w *Worker) Outgoing() []*dispatchpb.SessionRequest {
	w.mu.Lock()
	defer w.mu.Unlock()
	say := w.say
	w.say = nil
	return say
}

// Due implements agent.Handler.
func (w *Worker) Due() <-chan struct{} { return w.due }

// Say sends a message.
func (w *Worker) Say(msg *dispatchpb.SessionRequest) {
	w.mu.Lock()
	w.say = append(w.say, msg)
	w.mu.Unlock()
	select {
	case w.due <- struct{}{}:
	default:
	}
}

// Report reports one task's state.
func (w *Worker) Report(sequence uint64, taskID string, state clusterpb.TaskState) {
	w.Say(&dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Statuses{Statuses: &dispatchpb.ReportStatuses{
		Sequence: sequence,
		Reports:  []*dispatchpb.TaskReport{{TaskId: taskID, Status: &clusterpb.TaskStatus{State: state}}},
	}}})
}

// Assignments implements agent.Handler.
func (w *Worker) Assignments(a *dispatchpb.Assignments) error {
	w.mu.Lock()
	slow := w.slow
	w.mu.Unlock()
	if slow != nil {
		<-slow
	}
	w.mu.Lock()
	if a.GetFull() {
		w.tasks = make(map[string]*clusterpb.Task)
	}
	for _, t := range a.GetTasks() {
		w.tasks[t.GetTask().GetId()] = t.GetTask()
	}
	for _, id := range a.GetGoneTasks() {
		delete(w.tasks, id)
	}
	w.index, w.lowWater = a.GetIndex(), a.GetLowWaterMark()
	w.messages = append(w.messages, a)
	hold := w.hold
	w.mu.Unlock()
	if !hold {
		w.Acknowledge()
	}
	return nil
}

// Acknowledge says that the last index is in the node's kernel.
func (w *Worker) Acknowledge() {
	w.mu.Lock()
	index := w.index
	w.mu.Unlock()
	w.Say(&dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Acknowledge{Acknowledge: &dispatchpb.Acknowledge{Index: index}}})
}

// Hold stops or resumes acknowledging.
func (w *Worker) Hold(hold bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hold = hold
}

// Slow makes the node take no message until the returned function is called.
func (w *Worker) Slow() (resume func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := make(chan struct{})
	w.slow = c
	return func() {
		w.mu.Lock()
		w.slow = nil
		w.mu.Unlock()
		close(c)
	}
}

// Recorded implements agent.Handler.
func (w *Worker) Recorded(sequence uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.recorded = sequence
}

// Logs implements agent.Handler.
func (w *Worker) Logs(sub *dispatchpb.LogSubscription) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logs = append(w.logs, sub)
}

// View is what a Worker was told so far.
type View struct {
	Index, LowWaterMark, Recorded uint64
	Sessions                      int
	Tasks                         map[string]*clusterpb.Task
	Messages                      []*dispatchpb.Assignments
	Logs                          []*dispatchpb.LogSubscription
}

// View returns what the node was told so far.
func (w *Worker) View() View {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := View{Index: w.index, LowWaterMark: w.lowWater, Recorded: w.recorded, Sessions: w.sessions, Tasks: make(map[string]*clusterpb.Task)}
	maps.Copy(v.Tasks, w.tasks)
	v.Messages = append(v.Messages, w.messages...)
	v.Logs = append(v.Logs, w.logs...)
	return v
}
