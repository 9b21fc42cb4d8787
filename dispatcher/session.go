package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"

	"github.com/muster/muster/internal/text"
	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

type stream = grpc.BidiStreamingServer[dispatchpb.SessionRequest, dispatchpb.SessionResponse]

// session is one node's connection. Its own goroutine does all sending, so a
// node that reads slowly delays only itself.
type session struct {
	nodeID string
	by     daemon
	kicked chan struct{}
	kick   func()
	wake   chan struct{}
	// lives receives whenever the node said something.
	lives chan struct{}

	mu  sync.Mutex
	out outbox
	due due // the plan may hold news for this node
	// working: the sender is finding out what the news are, or sending them.
	working bool
	// sent is the index of the last assignments sent, acked the highest index
	// the node acknowledged in this session.
	sent, acked uint64
	// awaited are the desired indexes of tasks that wait for the low-water mark.
	awaited []uint64
	// goodbye is closed once the node's good-bye is recorded; nil when it said none.
	goodbye <-chan struct{}
	// stopping: the node's machine shuts down.
	stopping bool
	// lowWaterSent is the last low-water mark the node was told.
	lowWaterSent uint64
}

// outbox is what a session has to send beside assignments.
type outbox struct {
	heartbeats int
	recorded   uint64
	logs       []*dispatchpb.LogSubscription
}

func newSession(nodeID string, by daemon) *session {
	kicked := make(chan struct{})
	return &session{
		nodeID: nodeID, by: by, kicked: kicked, kick: sync.OnceFunc(func() { close(kicked) }),
		wake: make(chan struct{}, 1), lives: make(chan struct{}, 1), due: due{tasks: true, shared: true},
	}
}

// post adds to what is to be sent.
func (s *session) post(f func(*outbox)) {
	s.mu.Lock()
	f(&s.out)
	s.mu.Unlock()
	wake(s.wake)
}

// serve runs a node's session until it ends.
func (t *term) serve(str stream, nodeID string) error {
	ctx := str.Context()
	in := make(chan *dispatchpb.SessionRequest)
	ended := make(chan error, 1)
	// Recv has no timeout of its own: this goroutine ends when serve returns,
	// which ends the stream.
	t.sessions.Go(func() { ended <- receive(str, in) })

	reg, err := t.awaitRegister(in, ended)
	switch {
	case err != nil:
		return err
	case reg == nil:
		return str.Send(redirect(t.cfg.Leader()))
	}
	by := daemon{call.From(ctx).Addr, reg.GetInstance()}
	if err := t.alone(ctx, nodeID, by); err != nil {
		return err
	}
	if err := t.maySay(nodeID, reg.GetDescription()); err != nil {
		return err
	}
	if err := t.register(ctx, nodeID, reg, by); err != nil {
		return err
	}

	s := newSession(nodeID, by)
	t.nodes.admit(s, connected(reg.GetDescription(), by, time.Now()))
	defer t.nodes.dismiss(s)
	t.log.DebugContext(ctx, "node connected", "node", nodeID)
	// The reader must not wait for the sender: heartbeats go on arriving while
	// a slow node takes its time to read.
	stop, handled := make(chan struct{}), make(chan struct{})
	t.sessions.Go(func() {
		defer close(handled)
		for {
			select {
			case msg := <-in:
				t.handle(s, msg)
			case <-stop:
				return
			}
		}
	})
	sent := make(chan error, 1)
	t.sessions.Go(func() { sent <- t.send(str, s, ended) })
	err = t.awaitSender(s, sent)
	close(stop)
	<-handled // what was received is dealt with before the node is told
	if err != nil {
		return err
	}
	return t.awaitGoodbye(ctx, s)
}

// awaitGoodbye waits until the good-bye is recorded, if there was one: the end
// of the session tells the node that it is.
func (t *term) awaitGoodbye(ctx context.Context, s *session) error {
	s.mu.Lock()
	recorded := s.goodbye
	s.mu.Unlock()
	if recorded == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	select {
	case <-recorded:
		return nil
	case <-t.done:
	case <-ctx.Done():
	}
	return fmt.Errorf("record the good-bye of node %s: another manager leads, or no quorum of them answers: %w", s.nodeID, errdefs.ErrUnavailable)
}

// farewell is how long a node may take to read what it is told at the end.
const farewell = time.Second

// awaitSender waits until the session is over. A send to a node that does not
// read waits for ever, unless the stream ends: returning ends it.
func (t *term) awaitSender(s *session, sent <-chan error) error {
	select {
	case err := <-sent:
		return err
	case <-t.done:
	case <-s.kicked:
	}
	grace := time.NewTimer(farewell)
	defer grace.Stop()
	select {
	case err := <-sent:
		return err
	case <-grace.C:
		return fmt.Errorf("node %s does not read what it is told: %w", s.nodeID, errdefs.ErrUnavailable)
	}
}

// awaitRegister returns the first message of a session, or nil when the term
// ended before it came.
func (t *term) awaitRegister(in <-chan *dispatchpb.SessionRequest, ended <-chan error) (*dispatchpb.Register, error) {
	timeout := time.NewTimer(registerTimeout)
	defer timeout.Stop()
	select {
	case <-t.done:
		return nil, nil //nolint:nilnil // no register is what the caller asks about
	case err := <-ended:
		if err == nil {
			err = fmt.Errorf("the node ended its session before it registered: %w", errdefs.ErrFailedPrecondition)
		}
		return nil, err
	case <-timeout.C:
		return nil, fmt.Errorf("wait for the node to register: %w", errdefs.ErrUnavailable)
	case msg := <-in:
		reg := msg.GetRegister()
		if reg == nil {
			return nil, fmt.Errorf("a session begins with register: %w", errdefs.ErrFailedPrecondition)
		}
		return reg, call.CheckRequired(reg)
	}
}

// receive passes messages on until the stream ends.
func receive(str stream, in chan<- *dispatchpb.SessionRequest) error {
	for {
		msg, err := str.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		text.CleanMessage(msg) // the node may be anybody's by now
		select {
		case in <- msg:
		case <-str.Context().Done():
			return str.Context().Err()
		}
	}
}

// handle takes one message of the worker. It never waits for the network or
// for raft, so that heartbeats behind it are seen in time.
func (t *term) handle(s *session, msg *dispatchpb.SessionRequest) {
	// Whatever the node says, it lives.
	t.nodes.heard(s.nodeID)
	wake(s.lives)
	switch k := msg.GetKind().(type) {
	case *dispatchpb.SessionRequest_Heartbeat:
		s.post(func(o *outbox) { o.heartbeats++ })
	case *dispatchpb.SessionRequest_Acknowledge:
		t.nodes.acknowledge(s, k.Acknowledge.GetIndex())
	case *dispatchpb.SessionRequest_Statuses:
		t.statuses.put(t.cfg.Store.State(), s, k.Statuses.GetSequence(), k.Statuses.GetReports())
	case *dispatchpb.SessionRequest_Images:
		t.statuses.putNode(images(s.nodeID, k.Images.GetImages()))
	case *dispatchpb.SessionRequest_Description:
		t.describe(s, k.Description)
	case *dispatchpb.SessionRequest_Goodbye:
		t.nodes.goodbye(s)
	case *dispatchpb.SessionRequest_Register:
		s.kick() // a session has one register; the worker lost track
	}
}

// describe takes what the node says of itself by now.
func (t *term) describe(s *session, d *clusterpb.NodeDescription) {
	if err := t.maySay(s.nodeID, d); err != nil {
		s.kick() // it learns why when it registers again
		return
	}
	if n, ok := t.cfg.Store.State().Node(s.nodeID); ok {
		t.statuses.putNode(described(n, d, time.Now()))
	}
	s.mu.Lock()
	s.stopping = d.GetStopping()
	s.mu.Unlock()
}
