package dispatchertest

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	logspb "github.com/muster/muster/proto/logs/v1"
)

// Manager is a leader made of memory, for tests of workers: it sends each node
// the assignments the test sets, always in full, and keeps what nodes report.
// Register it on Network.Serve for both of its services.
type Manager struct {
	dispatchpb.UnimplementedDispatcherServiceServer
	logspb.UnimplementedLogsServiceServer

	mu       sync.Mutex
	index    uint64
	lowWater uint64
	sets     map[string]*dispatchpb.Assignments
	sessions map[string]*managerSession
	statuses map[string][]*clusterpb.TaskStatus
	acked    map[string]uint64
	left     map[string]bool
	silent   bool
	logs     []*logspb.PublishLogsRequest
}

type managerSession struct {
	out  chan *dispatchpb.SessionResponse
	done <-chan struct{}
}

// NewManager returns a manager that knows of no tasks.
func NewManager() *Manager {
	return &Manager{
		index: 10, sets: make(map[string]*dispatchpb.Assignments), sessions: make(map[string]*managerSession),
		statuses: make(map[string][]*clusterpb.TaskStatus), acked: make(map[string]uint64), left: make(map[string]bool),
	}
}

// Register adds the manager's services to a server.
func (m *Manager) Register(s *grpc.Server) {
	dispatchpb.RegisterDispatcherServiceServer(s, m)
	logspb.RegisterLogsServiceServer(s, m)
}

// Session implements the wire.
func (m *Manager) Session(stream grpc.BidiStreamingServer[dispatchpb.SessionRequest, dispatchpb.SessionResponse]) error {
	nodeID, err := call.Node(stream.Context())
	if err != nil {
		return err
	}
	if _, err := stream.Recv(); err != nil {
		return err
	}
	s := &managerSession{out: make(chan *dispatchpb.SessionResponse, 64), done: stream.Context().Done()}
	s.out <- &dispatchpb.SessionResponse{Kind: &dispatchpb.SessionResponse_Registered{
		Registered: &dispatchpb.Registered{SessionId: nodeID, HeartbeatPeriod: durationpb.New(time.Second)},
	}}
	m.mu.Lock()
	m.sessions[nodeID] = s
	m.left[nodeID] = false
	set := m.sets[nodeID]
	if set == nil {
		set = &dispatchpb.Assignments{Index: m.index, Full: true, Settings: &dispatchpb.Settings{}}
	}
	s.out <- assignments(set)
	m.mu.Unlock()

	received := make(chan error, 1)
	go func() { received <- m.receive(stream, nodeID, s) }()
	for {
		select {
		case msg := <-s.out:
			if err := stream.Send(msg); err != nil {
				return err
			}
		case err := <-received:
			m.mu.Lock()
			if m.sessions[nodeID] == s {
				delete(m.sessions, nodeID)
			}
			m.mu.Unlock()
			return err
		}
	}
}

func assignments(a *dispatchpb.Assignments) *dispatchpb.SessionResponse {
	return &dispatchpb.SessionResponse{Kind: &dispatchpb.SessionResponse_Assignments{Assignments: a}}
}

func (m *Manager) receive(stream grpc.BidiStreamingServer[dispatchpb.SessionRequest, dispatchpb.SessionResponse], nodeID string, s *managerSession) error {
	for {
		msg, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if reply := m.handle(nodeID, msg); reply != nil {
			select {
			case s.out <- reply:
			case <-s.done:
				return stream.Context().Err()
			}
		}
	}
}

func (m *Manager) handle(nodeID string, msg *dispatchpb.SessionRequest) *dispatchpb.SessionResponse {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch k := msg.GetKind().(type) {
	case *dispatchpb.SessionRequest_Heartbeat:
		if !m.silent {
			return &dispatchpb.SessionResponse{Kind: &dispatchpb.SessionResponse_Heartbeat{Heartbeat: &dispatchpb.Heartbeat{}}}
		}
	case *dispatchpb.SessionRequest_Acknowledge:
		m.acked[nodeID] = k.Acknowledge.GetIndex()
	case *dispatchpb.SessionRequest_Goodbye:
		m.left[nodeID] = true
	case *dispatchpb.SessionRequest_Statuses:
		for _, r := range k.Statuses.GetReports() {
			m.statuses[r.GetTaskId()] = append(m.statuses[r.GetTaskId()], r.GetStatus())
			if set := m.sets[nodeID]; set != nil {
				set = proto.CloneOf(set)
				for _, t := range set.GetTasks() {
					if t.GetTask().GetId() == r.GetTaskId() {
						t.Task.Status = r.GetStatus()
					}
				}
				m.sets[nodeID] = set
			}
		}
		return &dispatchpb.SessionResponse{Kind: &dispatchpb.SessionResponse_Recorded{
			Recorded: &dispatchpb.StatusesRecorded{Sequence: k.Statuses.GetSequence()},
		}}
	case *dispatchpb.SessionRequest_Images, *dispatchpb.SessionRequest_Register:
	}
	return nil
}

// Assign sets what the node should be, which the manager completes with an
// index and a low-water mark, and sends it if the node is connected. It returns the
// index.
func (m *Manager) Assign(nodeID string, a *dispatchpb.Assignments) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.index++
	a = proto.CloneOf(a)
	a.Index, a.Full, a.LowWaterMark = m.index, true, m.lowWater
	for _, t := range a.GetTasks() {
		known := m.statuses[t.GetTask().GetId()]
		if n := len(known); n > 0 && t.GetTask().GetStatus() == nil {
			t.Task.Status = known[n-1]
		}
	}
	m.sets[nodeID] = a
	m.push(nodeID, assignments(a))
	return m.index
}

// RaiseLowWaterMark tells every connected node the low-water mark, with a difference that
// changes nothing else.
func (m *Manager) RaiseLowWaterMark(lowWater uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lowWater = lowWater
	for nodeID, set := range m.sets {
		m.push(nodeID, assignments(&dispatchpb.Assignments{
			Index: set.GetIndex(), Base: set.GetIndex(), LowWaterMark: lowWater, Settings: set.GetSettings(),
		}))
	}
}

// AskLogs sends a log subscription to a node.
func (m *Manager) AskLogs(nodeID string, sub *dispatchpb.LogSubscription) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sessions[nodeID] == nil {
		return fmt.Errorf("node %s is not connected: %w", nodeID, errdefs.ErrUnavailable)
	}
	m.push(nodeID, &dispatchpb.SessionResponse{Kind: &dispatchpb.SessionResponse_Logs{Logs: sub}})
	return nil
}

func (m *Manager) push(nodeID string, msg *dispatchpb.SessionResponse) {
	if s := m.sessions[nodeID]; s != nil {
		s.out <- msg
	}
}

// PublishLogs keeps what nodes publish.
func (m *Manager) PublishLogs(stream grpc.ClientStreamingServer[logspb.PublishLogsRequest, logspb.PublishLogsResponse]) error {
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&logspb.PublishLogsResponse{})
		}
		if err != nil {
			return err
		}
		m.mu.Lock()
		m.logs = append(m.logs, req)
		m.mu.Unlock()
	}
}

// Published returns what nodes have published.
func (m *Manager) Published() []*logspb.PublishLogsRequest {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]*logspb.PublishLogsRequest(nil), m.logs...)
}

// Silence makes the manager echo no heartbeat, or echo them again.
func (m *Manager) Silence(silent bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.silent = silent
}

// Reports returns every status that was reported of a task, in order.
func (m *Manager) Reports(taskID string) []*clusterpb.TaskStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]*clusterpb.TaskStatus(nil), m.statuses[taskID]...)
}

// Status returns the last status that was reported of a task, or nil.
func (m *Manager) Status(taskID string) *clusterpb.TaskStatus {
	if all := m.Reports(taskID); len(all) > 0 {
		return all[len(all)-1]
	}
	return nil
}

// Acked returns the last index the node acknowledged.
func (m *Manager) Acked(nodeID string) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.acked[nodeID]
}

// Connected reports whether the node has a session, and SaidGoodbye whether it
// announced the end of its last one.
func (m *Manager) Connected(nodeID string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sessions[nodeID] != nil
}

// SaidGoodbye reports whether the node announced the end of its last session.
func (m *Manager) SaidGoodbye(nodeID string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.left[nodeID]
}
