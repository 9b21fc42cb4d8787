package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

func check(interval, timeout, startPeriod, startInterval time.Duration, retries uint32) *clusterpb.HealthCheck {
	return &clusterpb.HealthCheck{
		Test: []string{"CMD-SHELL", "probe"}, Retries: retries,
		Interval: durationpb.New(interval), Timeout: durationpb.New(timeout),
		StartPeriod: durationpb.New(startPeriod), StartInterval: durationpb.New(startInterval),
	}
}

// TestTracker feeds one result a second, written + or -, and reads the state
// after each: s(tarting), h(ealthy), u(nhealthy).
func TestTracker(t *testing.T) {
	tests := map[string]struct {
		startPeriod time.Duration
		retries     uint32
		results     string
		want        string
	}{
		"first success":                  {0, 3, "+", "h"},
		"retries in a row":               {0, 3, "---", "ssu"},
		"a success resets the count":     {0, 3, "--+--+---", "sshhhhhhu"},
		"one retry":                      {0, 1, "-", "u"},
		"retries unset count as one":     {0, 0, "-", "u"},
		"forgiven in the start period":   {5 * time.Second, 2, "------", "ssssss"},
		"counted after the start period": {3 * time.Second, 2, "-----", "ssssu"},
		"a success ends the period":      {60 * time.Second, 2, "-+--", "shhu"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Unix(1000, 0)
			tr := NewTracker(check(time.Second, time.Second, tt.startPeriod, time.Second, tt.retries), start)
			var got strings.Builder
			for i, c := range tt.results {
				at := start.Add(time.Duration(i) * time.Second)
				r := Result{Start: at, End: at}
				if c == '-' {
					r.ExitCode = 1
				}
				s := tr.Next(r)
				got.WriteByte(map[clusterpb.HealthStatus_State]byte{
					clusterpb.HealthStatus_STATE_STARTING:  's',
					clusterpb.HealthStatus_STATE_HEALTHY:   'h',
					clusterpb.HealthStatus_STATE_UNHEALTHY: 'u',
				}[s])
			}
			if got.String() != tt.want {
				t.Errorf("results %q give %q, want %q", tt.results, got.String(), tt.want)
			}
		})
	}
}

func TestTrackerKeepsTheLastFive(t *testing.T) {
	tr := NewTracker(check(time.Second, time.Second, 0, time.Second, 100), time.Now())
	for i := range 8 {
		tr.Next(Result{Start: time.Now(), ExitCode: int32(i + 1), Output: strings.Repeat("x", 5000)})
	}
	s := tr.Status()
	var codes []int32
	for _, r := range s.GetLog() {
		codes = append(codes, r.GetExitCode())
	}
	if d := cmp.Diff([]int32{4, 5, 6, 7, 8}, codes); d != "" {
		t.Errorf("log (-want +got):\n%s", d)
	}
	if n := len(s.GetLog()[0].GetOutput()); n != 4096 {
		t.Errorf("output of %d bytes, want 4096", n)
	}
	if s.GetFailingStreak() != 8 {
		t.Errorf("failing streak %d, want 8", s.GetFailingStreak())
	}
}

// TestCheckerKeepsTime runs the loop on a fake clock and notes when checks ran.
func TestCheckerKeepsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var at []time.Duration
		var states []clusterpb.HealthStatus_State
		c := &Checker{
			TaskID: "a", Check: check(30*time.Second, 10*time.Second, 12*time.Second, 5*time.Second, 2),
			Exec: func(ctx context.Context, _ string, argv []string) (int32, string, error) {
				if d := cmp.Diff([]string{"/bin/sh", "-c", "probe"}, argv); d != "" {
					t.Errorf("argv (-want +got):\n%s", d)
				}
				at = append(at, time.Since(start))
				if len(at) == 4 {
					<-ctx.Done() // hangs until the timeout
				}
				return 1, "no", nil
			},
		}
		tr := NewTracker(c.Check, start)
		c.Run(t.Context(), tr, func(tr *Tracker) { states = append(states, tr.Status().GetState()) })
		// 5 s and 10 s in the start period, its end at 12 s, then by interval.
		want := []time.Duration{5 * time.Second, 10 * time.Second, 12 * time.Second, 42 * time.Second}
		if d := cmp.Diff(want, at); d != "" {
			t.Errorf("checks ran at (-want +got):\n%s", d)
		}
		if last := states[len(states)-1]; last != clusterpb.HealthStatus_STATE_UNHEALTHY {
			t.Errorf("ended %v, want unhealthy", last)
		}
		if want := "health check exceeded timeout (10s)"; last(tr) != want {
			t.Errorf("last output %q, want %q", last(tr), want)
		}
	})
}

// TestCheckThatLeavesSomethingBehind: it answered, and what goes on of it does
// not count, however long freeing it takes.
func TestCheckThatLeavesSomethingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := &Checker{
			TaskID: "a", Check: check(time.Second, 3*time.Second, 0, 0, 1),
			Exec: func(ctx context.Context, _ string, _ []string) (int32, string, error) {
				<-ctx.Done()
				return 0, "well", nil
			},
		}
		tr := NewTracker(c.Check, time.Now())
		c.Run(ctx, tr, func(tr *Tracker) {
			if tr.Status().GetState() != clusterpb.HealthStatus_STATE_HEALTHY || last(tr) != "well" {
				t.Errorf("it is %v", tr.Status())
			}
			cancel()
		})
	})
}

func TestCheckerStopsWithoutBlame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := &Checker{
			Check: check(time.Second, time.Minute, 0, time.Second, 1),
			Exec: func(ctx context.Context, _ string, _ []string) (int32, string, error) {
				cancel()
				<-ctx.Done()
				return 0, "", ctx.Err()
			},
		}
		c.Run(ctx, NewTracker(c.Check, time.Now()), func(*Tracker) { t.Error("a check cut off by the stop counted") })
	})
}

// TestCheckerWaitsForTheRuntime has a runtime that is away for a while.
func TestCheckerWaitsForTheRuntime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := &Checker{
			Check: check(time.Second, time.Second, 0, time.Second, 1),
			Exec: func(context.Context, string, []string) (int32, string, error) {
				if n++; n < 10 {
					return 0, "", fmt.Errorf("containerd restarts: %w", errdefs.ErrUnavailable)
				}
				return 1, "sick", nil
			},
		}
		tr := NewTracker(c.Check, time.Now())
		c.Run(t.Context(), tr, func(*Tracker) {})
		if n != 10 || last(tr) != "sick" {
			t.Errorf("ended after %d checks with %q, want 10 and sick", n, last(tr))
		}
	})
}

// TestNetworkChecks calls a real server on loopback.
func TestNetworkChecks(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
		case "/long":
			w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
		case "/moved":
			http.Redirect(w, r, "/broken", http.StatusFound)
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer srv.Close()
	host, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		check *clusterpb.HealthCheck
		addrs []string
		want  int32
	}{
		"http healthy":      {&clusterpb.HealthCheck{Http: port + "/ok"}, []string{host}, 0},
		"http redirect":     {&clusterpb.HealthCheck{Http: port + "/moved"}, []string{host}, 0},
		"http without end":  {&clusterpb.HealthCheck{Http: port + "/long"}, []string{host}, 1},
		"http unavailable":  {&clusterpb.HealthCheck{Http: port + "/broken"}, []string{host}, 1},
		"http without path": {&clusterpb.HealthCheck{Http: port}, []string{host}, 1},
		"http refused":      {&clusterpb.HealthCheck{Http: "1/ok"}, []string{host}, 1},
		"tcp refused":       {&clusterpb.HealthCheck{Tcp: 1}, []string{host}, 1},
		"no address":        {&clusterpb.HealthCheck{Tcp: 1}, nil, -1},
		"bad test":          {&clusterpb.HealthCheck{Test: []string{"RUN"}}, nil, -1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.check.Timeout = durationpb.New(5 * time.Second)
			c := &Checker{Check: tt.check, Addresses: tt.addrs}
			if r, _ := c.once(t.Context()); r.ExitCode != tt.want {
				t.Errorf("exit code %d (%s), want %d", r.ExitCode, r.Output, tt.want)
			}
		})
	}
	t.Run("tcp connects", func(t *testing.T) {
		c := &Checker{Check: &clusterpb.HealthCheck{Tcp: 7, Timeout: durationpb.New(time.Second)}, Addresses: []string{"10.0.0.1"}}
		var called string
		c.Dial = func(_ context.Context, _, addr string) (net.Conn, error) {
			called = addr
			a, _ := net.Pipe()
			return a, nil
		}
		if r, _ := c.once(t.Context()); r.ExitCode != 0 || called != "10.0.0.1:7" {
			t.Errorf("exit code %d after calling %q, want 0 after 10.0.0.1:7", r.ExitCode, called)
		}
	})
	t.Run("exec that cannot run", func(t *testing.T) {
		c := &Checker{Check: check(time.Second, time.Second, 0, time.Second, 1)}
		c.Exec = func(context.Context, string, []string) (int32, string, error) {
			return 0, "", errors.New("no such file")
		}
		if r, _ := c.once(t.Context()); r.ExitCode != -1 || r.Output != "no such file" {
			t.Errorf("got %d %q, want -1 and the reason", r.ExitCode, r.Output)
		}
	})
}

// last is the output of the last check.
func last(t *Tracker) string {
	log := t.Status().GetLog()
	if len(log) == 0 {
		return ""
	}
	return log[len(log)-1].GetOutput()
}

// TestHTTPCheckStaysWithItsTask: a target that leads elsewhere, as an old record
// may hold, makes the node call nobody but the task.
func TestHTTPCheckStaysWithItsTask(t *testing.T) {
	for target, want := range map[string]string{
		"80@evil.example:90/x": "", "evil.example:80": "", "80/../x": "192.0.2.1:80", "80/@evil.example:90": "192.0.2.1:80",
	} {
		dialed := ""
		c := &Checker{
			TaskID: "t", Check: &clusterpb.HealthCheck{Http: target, Timeout: durationpb.New(time.Second)}, Addresses: []string{"192.0.2.1"},
			Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
				dialed = addr
				return nil, errdefs.ErrUnavailable
			},
		}
		r, _ := c.once(t.Context())
		if dialed != want || want == "" && !strings.Contains(r.Output, "use PORT[/PATH]") {
			t.Errorf("%s: it called %q, want %q; %q", target, dialed, want, r.Output)
		}
	}
}
