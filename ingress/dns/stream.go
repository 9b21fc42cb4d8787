package dns

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// idleFor is how long a connection may be silent, and how long its client may
	// take to accept an answer.
	idleFor = 10 * time.Second
	// lastWords is how long a question may take that is on its way when the
	// resolver ends.
	lastWords = 300 * time.Millisecond
)

// streams answers over TCP.
type streams struct {
	resolver *resolver
	ending   atomic.Bool
	open     atomic.Int64
	serving  sync.WaitGroup
}

// serve answers a connection on a goroutine of its own, until it ends or its
// door is closed. A client that has too many loses the new one.
func (s *streams) serve(d *door, conn net.Conn) {
	if n := s.open.Add(1); n > maxAllConns || d.busy() > maxConns {
		s.open.Add(-1)
		d.forget(conn)
		return
	}
	s.serving.Go(func() {
		defer s.open.Add(-1)
		defer d.forget(conn)
		for s.once(d.client, conn) && !s.ending.Load() {
		}
	})
}

// once answers one question, and reports whether there may be more.
func (s *streams) once(client string, conn net.Conn) bool {
	packet, err := readFrame16(conn, s.patience())
	if err != nil {
		return false
	}
	answered := make(chan []byte, 1)
	s.resolver.answer(client, packet, true, func(raw []byte) { answered <- raw })
	raw := <-answered
	if raw == nil {
		return false
	}
	_ = conn.SetWriteDeadline(time.Now().Add(s.patience()))
	_, err = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(raw))), raw...))
	return err == nil
}

func (s *streams) patience() time.Duration {
	if s.ending.Load() {
		return lastWords
	}
	return idleFor
}

// readFrame16 reads a message after its length.
func readFrame16(conn net.Conn, patience time.Duration) ([]byte, error) {
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	packet := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(conn, packet)
	return packet, err
}
