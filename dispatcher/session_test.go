package dispatcher_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/lifecycle"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

// wire is a session as it is spoken, without the rules that an agent keeps to.
type wire struct {
	dispatchpb.DispatcherService_SessionClient
	t *testing.T
}

// speak opens a session of the node with a manager. It ends with the test.
func (c *cluster) speak(id, addr string) *wire {
	c.t.Helper()
	conn, err := c.network.Dialer(id)(c.t.Context(), addr)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.stops = append(c.stops, func() { cancel(); _ = conn.Close() })
	str, err := dispatchpb.NewDispatcherServiceClient(conn).Session(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return &wire{str, c.t}
}

func (w *wire) say(msg *dispatchpb.SessionRequest) {
	w.t.Helper()
	if err := w.Send(msg); err != nil && !errors.Is(err, io.EOF) {
		w.t.Fatal(err)
	}
}

func (w *wire) register(hostname string, images ...string) {
	w.t.Helper()
	reg := &dispatchpb.Register{Description: &clusterpb.NodeDescription{Hostname: hostname}}
	for _, name := range images {
		reg.Images = append(reg.Images, &clusterpb.NodeImage{Name: name})
	}
	w.say(&dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Register{Register: reg}})
}

func (w *wire) beat() {
	w.t.Helper()
	w.say(&dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Heartbeat{Heartbeat: &dispatchpb.Heartbeat{}}})
}

// until reads on to a message that is, or the end of the session.
func (w *wire) until(is func(*dispatchpb.SessionResponse) bool) (*dispatchpb.SessionResponse, error) {
	for {
		msg, err := w.Recv()
		if err != nil || is(msg) {
			return msg, err
		}
	}
}

// ended returns why the session ended.
func (w *wire) ended() error {
	_, err := w.until(func(*dispatchpb.SessionResponse) bool { return false })
	return err
}

func isRegistered(m *dispatchpb.SessionResponse) bool { return m.GetRegistered() != nil }

func known(id string) *raftpb.Change {
	return state.PutNode(&raftpb.PutNode{Id: id, Spec: &clusterpb.NodeSpec{}, Role: clusterpb.NodeRole_NODE_ROLE_WORKER})
}

func TestHowSessionsAreRefused(t *testing.T) {
	tests := map[string]struct {
		node  string
		begin func(*wire)
		after time.Duration // it is refused
		is    func(error) bool
	}{
		"it does not register first": {"n1", (*wire).beat, 0, errdefs.IsFailedPrecondition},
		"it says nothing":            {"n1", func(*wire) {}, 5 * time.Second, errdefs.IsUnavailable},
		"it ends before": {"n1", func(w *wire) {
			if err := w.CloseSend(); err != nil {
				w.t.Error(err)
			}
		}, 0, errdefs.IsFailedPrecondition},
		"it is not of the cluster": {"n9", func(w *wire) { w.register("n9") }, 0, errdefs.IsPermissionDenied},
		"it registers twice":       {"n1", func(w *wire) { w.register("n1"); w.register("n1") }, 0, errdefs.IsUnavailable},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			run(t, func(c *cluster) {
				c.propose(known("n1"))
				w, start := c.speak(tt.node, "m1"), time.Now()
				tt.begin(w)
				if err := w.ended(); !tt.is(err) {
					t.Errorf("error %v", err)
				}
				if d := time.Since(start); d < tt.after || d > tt.after+time.Second {
					t.Errorf("refused after %v, want %v", d, tt.after)
				}
				if c.servers["m1"].Connected(tt.node) {
					t.Error("it counts as connected")
				}
			})
		})
	}
}

func TestManagerThatDoesNotLeadNamesTheLeader(t *testing.T) {
	run(t, func(c *cluster) {
		c.propose(known("n1"))
		msg, err := c.speak("n1", "m2").Recv()
		if err != nil || msg.GetRedirect().GetLeaderAddr() != "m1" {
			t.Errorf("%v, %v, want a redirect to m1", msg, err)
		}
	})
}

// Leadership that ends in the middle of a session sends the node on.
func TestDeposedLeaderSendsItsNodesOn(t *testing.T) {
	run(t, func(c *cluster) {
		c.propose(known("n1"))
		w := c.speak("n1", "m1")
		w.register("n1")
		if _, err := w.until(isRegistered); err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		c.leader = "m2"
		c.mu.Unlock()
		go c.depose()
		msg, err := w.until(func(m *dispatchpb.SessionResponse) bool { return m.GetRedirect() != nil })
		if err != nil || msg.GetRedirect().GetLeaderAddr() != "m2" {
			t.Errorf("%v, %v, want a redirect to m2", msg, err)
		}
		synctest.Wait()
	})
}

func TestRegisteredNodeIsToldThePeriodOfTheCluster(t *testing.T) {
	run(t, func(c *cluster) {
		c.propose(known("n1"))
		w := c.speak("n1", "m1")
		w.register("n1")
		msg, err := w.until(isRegistered)
		if err != nil || msg.GetRegistered().GetHeartbeatPeriod().AsDuration() != time.Second || msg.GetRegistered().GetSessionId() == "" {
			t.Fatalf("%v, %v, want a period of a second", msg, err)
		}
		for range 3 {
			w.beat()
			if _, err := w.until(func(m *dispatchpb.SessionResponse) bool { return m.GetHeartbeat() != nil }); err != nil {
				t.Fatalf("a heartbeat is not answered: %v", err)
			}
		}
	})
}

// A daemon that restarts may be back before the leader noticed that it was
// gone: the new session counts, and the end of the old one takes nothing away.
func TestNewSessionOfANodeReplacesTheOld(t *testing.T) {
	run(t, func(c *cluster) {
		c.propose(known("n1"))
		first := c.speak("n1", "m1")
		first.register("n1")
		if _, err := first.until(isRegistered); err != nil {
			t.Fatal(err)
		}
		second := c.speak("n1", "m1")
		second.register("n1")
		if err := first.ended(); !errdefs.IsUnavailable(err) {
			t.Errorf("the old session ended with %v", err)
		}
		if _, err := second.until(isRegistered); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			time.Sleep(time.Second)
			second.beat()
		}
		if !c.servers["m1"].Connected("n1") || c.state("n1") != clusterpb.NodeStatus_STATE_READY {
			t.Errorf("connected: %t, state %s", c.servers["m1"].Connected("n1"), c.state("n1"))
		}
	})
}

// Nodes reconnect all the time; only news are worth a log entry.
func TestRegistrationIsWrittenDownWhenItIsNews(t *testing.T) {
	run(t, func(c *cluster) {
		c.propose(known("n1"))
		for i, step := range []struct {
			hostname string
			images   []string
			news     bool
		}{
			{"n1", []string{"web"}, true},
			{"n1", []string{"web"}, false},
			{"n1", []string{"web", "db"}, true},
			{"n1", nil, true},
			{"other", nil, true},
			{"other", nil, false},
		} {
			before := c.store.State().Index
			w := c.speak("n1", "m1")
			w.register(step.hostname, step.images...)
			if _, err := w.until(isRegistered); err != nil {
				t.Fatal(err)
			}
			if news := c.store.State().Index > before; news != step.news {
				t.Errorf("registration %d was written down: %t, want %t", i, news, step.news)
			}
			n, _ := c.store.State().Node("n1")
			if n.GetDescription().GetHostname() != step.hostname || len(n.GetImages()) != len(step.images) {
				t.Errorf("after registration %d the node is %v", i, n)
			}
		}
	})
}

func TestImagesOfANodeAreWrittenDown(t *testing.T) {
	run(t, func(c *cluster) {
		w, _ := c.join("n1")
		w.Say(&dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Images{Images: &dispatchpb.ReportImages{
			Images: []*clusterpb.NodeImage{{Name: "web"}},
		}}})
		c.until("the image", func() bool {
			n, _ := c.store.State().Node("n1")
			return len(n.GetImages()) == 1 && n.GetImages()[0].GetName() == "web"
		})
		if s := c.state("n1"); s != clusterpb.NodeStatus_STATE_READY {
			t.Errorf("the node is %s", s)
		}
	})
}

// TestWhatANodeSaysIsData: a node that may be anybody's by now steers no
// terminal of those who look at it.
func TestWhatANodeSaysIsData(t *testing.T) {
	run(t, func(c *cluster) {
		c.propose(known("n1"))
		w := c.speak("n1", "m1")
		w.register("n1\x1b[2J", "web\x07")
		if _, err := w.until(isRegistered); err != nil {
			t.Fatal(err)
		}
		n, _ := c.store.State().Node("n1")
		if got := n.GetDescription().GetHostname(); got != "n1\ufffd[2J" {
			t.Errorf("the host name is %q", got)
		}
		if got := n.GetImages()[0].GetName(); got != "web\ufffd" {
			t.Errorf("the image is %q", got)
		}
	})
}

// TestTroublesOfANode: a connected node that cannot do its work is unwell, in
// its own words, from the registration on or later; what only warns leaves it
// ready. It keeps its lease and the time since which it is what it is.
func TestTroublesOfANode(t *testing.T) {
	run(t, func(c *cluster) {
		c.propose(known("n1"))
		w := c.speak("n1", "m1")
		w.say(&dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Register{Register: &dispatchpb.Register{
			Description: &clusterpb.NodeDescription{Hostname: "n1", Troubles: []string{"containerd: refused"}},
		}}})
		if _, err := w.until(isRegistered); err != nil {
			t.Fatal(err)
		}
		n, _ := c.store.State().Node("n1")
		if s := n.GetStatus(); s.GetState() != clusterpb.NodeStatus_STATE_UNWELL || s.GetMessage() != "containerd: refused" || s.GetAddr() == "" {
			t.Errorf("registered with a trouble it is %v", s)
		}
		for _, step := range []struct {
			troubles, warnings []string
			state              clusterpb.NodeStatus_State
			message            string
			since              bool // it is what it was
		}{
			{[]string{"disk: slow"}, nil, clusterpb.NodeStatus_STATE_UNWELL, "disk: slow", true},
			{[]string{"a", "b"}, []string{"c", "d", "e"}, clusterpb.NodeStatus_STATE_UNWELL, "a; b; c; and 2 more", true},
			{nil, nil, clusterpb.NodeStatus_STATE_READY, "", false},
			{nil, []string{"firewall: drops"}, clusterpb.NodeStatus_STATE_READY, "firewall: drops", true},
			{[]string{"a"}, nil, clusterpb.NodeStatus_STATE_UNWELL, "a", false},
		} {
			before, _ := c.store.State().Node("n1")
			time.Sleep(time.Second) // of the fake clock
			d := &clusterpb.NodeDescription{Hostname: "n1", Troubles: step.troubles, Warnings: step.warnings}
			w.say(&dispatchpb.SessionRequest{Kind: &dispatchpb.SessionRequest_Description{Description: d}})
			synctest.Wait()
			c.until("the description", func() bool {
				n, _ = c.store.State().Node("n1")
				return n.GetStatus().GetMessage() == step.message
			})
			if s := n.GetStatus(); s.GetState() != step.state || s.GetAddr() != before.GetStatus().GetAddr() {
				t.Errorf("with %v it is %v", d, s)
			}
			if same := n.GetStatus().GetSince().AsTime().Equal(before.GetStatus().GetSince().AsTime()); same != step.since {
				t.Errorf("with %v it is so since %v, before %v", d, n.GetStatus().GetSince().AsTime(), before.GetStatus().GetSince().AsTime())
			}
		}
		// A lease like any other's.
		c.until("the end of its lease", c.down("n1"))
	})
}

// TestNodeThatDoesNotRead holds up neither the end of a term nor the next one:
// a send to it waits for ever.
func TestNodeThatDoesNotRead(t *testing.T) {
	run(t, func(c *cluster) {
		c.propose(known("n1"))
		w := c.speak("n1", "m1")
		w.register("n1")
		c.until("the registration", func() bool { return c.state("n1") == clusterpb.NodeStatus_STATE_READY })
		spec := &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: "web", Env: []string{"A=" + strings.Repeat("x", 4096)}}}}
		for i := range 500 { // 2 MiB, more than any window
			id := fmt.Sprintf("t%d", i)
			c.propose(
				state.CreateTask(&clusterpb.Task{Id: id, ServiceId: "s", Slot: uint32(i + 1), Desired: lifecycle.Running, Spec: spec}),
				state.AssignTask(id, "n1", nil),
			)
		}
		synctest.Wait()
		began := time.Now()
		c.depose()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the term ended after %s", took)
		}
		c.lead("m1")
		if _, stop := c.join("n2"); stop == nil {
			t.Error("nobody is served in the next term")
		}
	})
}
