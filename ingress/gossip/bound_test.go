package gossip

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// encrypted begins a message of so many bytes that nobody can decrypt.
func encrypted(n uint32) []byte {
	const encryptMsg = 10
	return binary.BigEndian.AppendUint32([]byte{encryptMsg}, n)
}

// TestStrangersTakeLittleMemory: who has no key opens connections, as many as
// are taken, and on each sends most of a message as large as memberlist takes.
func TestStrangersTakeLittleMemory(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	g, err := New(Config{
		ID: "a", Keys: [][]byte{key(1)}, BindAddr: "127.0.0.1", BindPort: port, Advertise: "127.0.0.1",
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	select {
	case <-g.Changed(): // it listens, and is alive by its own view
	case err := <-ended:
		t.Fatal(err)
	}

	const size, strangers = 16 << 20, 32
	before := inUse()
	data := make([]byte, 1<<20)
	var sent sync.WaitGroup
	for i := range strangers {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i))}}
		conn, err := d.DialContext(ctx, "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		sent.Go(func() {
			_, err := conn.Write(encrypted(size + 1))
			for range size / len(data) {
				if err != nil {
					return // refused
				}
				_, err = conn.Write(data)
			}
		})
	}
	sent.Wait()
	if got := inUse() - before; got > 100<<20 {
		t.Errorf("%d strangers take %d MiB", strangers, got>>20)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// inUse is the memory that is in use.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// from is a connection that comes from an address.
type from struct {
	net.Conn
	addr net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.addr }

// TestStreamsAreFew: those of one address leave room for the others, and one
// that is closed for another.
func TestStreamsAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(wires).add()
		b := bound(w, func() int { return 1 })
		var far []net.Conn
		come := func(last byte) (taken net.Conn) {
			here, there := net.Pipe()
			far = append(far, there)
			w.streams <- from{here, &net.TCPAddr{IP: net.IPv4(192, 0, 2, last), Port: 5000 + len(far)}}
			synctest.Wait()
			select {
			case taken = <-b.StreamCh():
			default:
			}
			return taken
		}
		var open []net.Conn
		for i := range maxStreamsEach {
			if open = append(open, come(1)); open[i] == nil {
				t.Fatalf("connection %d is not taken", i)
			}
		}
		if come(1) != nil {
			t.Error("one more of that address is taken")
		}
		for i := len(open); i < maxStreams; i++ {
			if open = append(open, come(byte(2+i/maxStreamsEach))); open[i] == nil {
				t.Fatalf("connection %d, from elsewhere, is not taken", i)
			}
		}
		if come(200) != nil {
			t.Error("one more than there may be is taken")
		}
		if err := open[0].Close(); err != nil {
			t.Error(err)
		}
		last := come(200)
		if last == nil {
			t.Error("none is taken in the place of one that was closed")
		}
		for _, c := range append(append(open[1:], far...), last) {
			_ = c.Close()
		}
		if err := b.Shutdown(); err != nil {
			t.Error(err)
		}
	})
}

// TestMessagesGrowWithTheCluster: what a connection brings is bounded by how
// many nodes there are.
func TestMessagesGrowWithTheCluster(t *testing.T) {
	for _, nodes := range []int{1, 1000} {
		synctest.Test(t, func(t *testing.T) {
			w := new(wires).add()
			b := bound(w, func() int { return nodes })
			here, there := net.Pipe()
			conn := b.limit(here, func() {})
			go func() {
				_, _ = there.Write(make([]byte, 1<<20))
			}()
			got, buf := 0, make([]byte, 1000)
			for {
				n, err := conn.Read(buf)
				if got += n; err != nil {
					break
				}
			}
			if want := maxMessage + nodes*maxMessageEach; got != want {
				t.Errorf("%d bytes are read among %d nodes, want %d", got, nodes, want)
			}
			_, _ = conn.Close(), there.Close()
			if err := b.Shutdown(); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second) // the writer ends
		})
	}
}
