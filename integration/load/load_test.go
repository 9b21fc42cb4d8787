package load

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

func TestCountsEveryFailure(t *testing.T) {
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch n.Add(1) {
		case 3:
			w.WriteHeader(http.StatusBadGateway)
		case 5:
			panic(http.ErrAbortHandler) // the connection breaks off
		case 7:
			time.Sleep(2 * time.Second) // longer than the client waits
		}
	}))
	defer s.Close()
	for name, keepAlive := range map[string]bool{"kept alive": true, "a connection each": false} {
		t.Run(name, func(t *testing.T) {
			n.Store(0)
			g := Start(Config{URLs: []string{s.URL}, KeepAlive: keepAlive, Timeout: time.Second})
			for g.Requests() < 20 {
				time.Sleep(time.Millisecond)
			}
			r := g.Stop()
			// A kept-alive connection that is closed without an answer is asked again, and counted.
			failures, closed := uint64(3), uint64(0)
			if keepAlive {
				failures, closed = 2, 1
			}
			if r.Failures != failures || r.Closed != closed {
				t.Errorf("%s: want %d failures and %d closed", r, failures, closed)
			}
			if r.Slowest < time.Second {
				t.Errorf("%s: the one that timed out took a second", r)
			}
		})
	}
}

func TestRefusedIsAFailure(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	g := Start(Config{URLs: []string{s.URL}, Pause: time.Millisecond})
	for g.Requests() < 3 {
		time.Sleep(time.Millisecond)
	}
	if r := g.Stop(); r.Failures != r.Requests {
		t.Errorf("%s: all were refused", r)
	}
}
