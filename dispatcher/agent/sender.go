package agent

import (
	"fmt"
	"log/slog"
	"sync"

	"google.golang.org/grpc"

	"github.com/muster/muster/internal/text"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

// sender sends in a goroutine of its own: flow control may hold a message
// back, and reading must go on meanwhile, or both sides would wait for each
// other. What waits is bounded by what a handler has to say.
type sender struct {
	stream client
	log    *slog.Logger
	due    chan struct{}
	quit   chan struct{}
	done   chan struct{}

	mu    sync.Mutex
	queue []*dispatchpb.SessionRequest
	last  bool // nothing follows the queue
}

func newSender(stream client, log *slog.Logger) *sender {
	s := &sender{stream: stream, log: log, due: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	go s.run()
	return s
}

// put queues messages.
func (s *sender) put(msgs ...*dispatchpb.SessionRequest) {
	s.mu.Lock()
	s.queue = append(s.queue, msgs...)
	s.mu.Unlock()
	s.wake()
}

// closeSend ends this side of the stream once the queue is sent.
func (s *sender) closeSend() {
	s.mu.Lock()
	s.last = true
	s.mu.Unlock()
	s.wake()
}

func (s *sender) wake() {
	select {
	case s.due <- struct{}{}:
	default:
	}
}

// stop ends the goroutine and waits for it. The caller ended the stream, which
// frees a Send that still waits.
func (s *sender) stop() {
	close(s.quit)
	<-s.done
}

// send sends a message. One that cannot be is dropped: it could not be sent in
// the next session either, and would end each of them.
func (s *sender) send(msg *dispatchpb.SessionRequest) error {
	text.CleanMessage(msg)
	var encoded grpc.PreparedMsg
	if err := encoded.Encode(s.stream, msg); err != nil {
		s.log.Error("a message to the manager is dropped: it cannot be sent", "kind", fmt.Sprintf("%T", msg.GetKind()), "err", err)
		return nil
	}
	return s.stream.SendMsg(&encoded)
}

func (s *sender) run() {
	defer close(s.done)
	for {
		select {
		case <-s.quit:
			return
		case <-s.due:
		}
		s.mu.Lock()
		queue, last := s.queue, s.last
		s.queue = nil
		s.mu.Unlock()
		for _, msg := range queue {
			if s.send(msg) != nil {
				return // the stream ended; the reader learns why
			}
		}
		if last {
			_ = s.stream.CloseSend()
			return
		}
	}
}
