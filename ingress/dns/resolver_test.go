package dns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/muster/muster/ingress/dns/names"
	"github.com/muster/muster/ingress/namespace"
)

// two tells a resolver of two tasks in networks of their own.
func two(n *node) (front, back string) {
	front, back = n.netns("front"), n.netns("back")
	n.change(names.Update{
		Whole: true, Index: 1,
		Networks: []names.Network{{ID: "f"}, {ID: "b"}},
		Services: []names.Service{service("f", "web", "10.1.0.2"), service("b", "db", "10.2.0.2")},
		Clients:  []names.Client{{ID: "front", Netns: front, Networks: []string{"f"}}, {ID: "back", Netns: back, Networks: []string{"b"}, Internal: true}},
	})
	return front, back
}

// TestNames: each task finds the names of its own networks at 127.0.0.11, over
// both protocols, and what is others' to answer by the node's servers, or not
// at all.
func TestNames(t *testing.T) {
	n := newNode(t)
	n.server(n.home, "127.0.0.1:53", "192.0.2.9")
	n.resolver()
	front, back := two(n)
	for _, network := range []string{"udp", "tcp"} {
		for _, tt := range []struct{ netns, name, want string }{
			{front, "web.", "NOERROR 10.1.0.2"},
			{back, "db.", "NOERROR 10.2.0.2"},
			{front, "db.", "NOERROR 192.0.2.9"}, // whatever is called so elsewhere
			{front, "example.com.", "NOERROR 192.0.2.9"},
			{back, "web.", "REFUSED"},
			{back, "example.com.", "REFUSED"},
		} {
			if got := n.ask(n.connect(tt.netns, network), tt.name); got != tt.want {
				t.Errorf("%s over %s: %s, want %s", tt.name, network, got, tt.want)
			}
		}
	}
	web, db := n.connect(front, "udp"), n.connect(back, "tcp")
	n.change(names.Update{Index: 2, Services: []names.Service{service("f", "web", "10.1.0.3")}, GoneServices: []names.Key{{Network: "b", Name: "db"}}})
	if got, want := n.ask(web, "web."), "NOERROR 10.1.0.3"; got != want {
		t.Errorf("after the change: %s, want %s", got, want)
	}
	if got, want := n.ask(db, "db."), "REFUSED"; got != want {
		t.Errorf("after the end of db: %s, want %s", got, want)
	}
}

// TestTaskServesNames: a task may serve DNS itself, on all addresses, before and
// after the resolver comes, and may ask a server of its own.
func TestTaskServesNames(t *testing.T) {
	n := newNode(t)
	early, late := n.netns("early"), n.netns("late")
	n.server(early, "0.0.0.0:53", "192.0.2.1")
	n.resolver()
	n.change(names.Update{
		Whole: true, Index: 1, Networks: []names.Network{{ID: "f"}}, Services: []names.Service{service("f", "web", "10.1.0.2")},
		Clients: []names.Client{
			{ID: "early", Netns: early, Networks: []string{"f"}, Upstreams: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53")}},
			{ID: "late", Netns: late, Networks: []string{"f"}, Upstreams: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53")}},
		},
	})
	n.server(late, "0.0.0.0:53", "192.0.2.2")
	for netns, own := range map[string]string{early: "NOERROR 192.0.2.1", late: "NOERROR 192.0.2.2"} {
		for _, network := range []string{"udp", "tcp"} {
			conn := n.connect(netns, network)
			if got, want := n.ask(conn, "web."), "NOERROR 10.1.0.2"; got != want {
				t.Errorf("web over %s: %s, want %s", network, got, want)
			}
			if got := n.ask(conn, "example.com."); got != own {
				t.Errorf("the task's own server over %s: %s, want %s", network, got, own)
			}
		}
	}
}

// TestNamespaceEnds: the resolver keeps no namespace that its task has let go of,
// also while no daemon tells it to, and finds one that comes in its place.
func TestNamespaceEnds(t *testing.T) {
	for name, daemon := range map[string]bool{"told": true, "without a daemon": false} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			n.resolver()
			front, back := two(n)
			tcp := n.connect(back, "tcp")
			n.ask(tcp, "db.")
			n.link(front, back)
			if daemon {
				n.change(names.Update{Index: 2, GoneClients: []string{"back"}})
			} else {
				n.stop()
			}
			_ = tcp.Close() // ours, in the namespace
			if err := namespace.Delete(back); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the end of the namespace", func() bool { return !n.linked(front) })
			if !daemon {
				return
			}
			n.netns("back")
			n.change(names.Update{Index: 3, Clients: []names.Client{{ID: "back", Netns: back, Networks: []string{"b"}}}})
			if got, want := n.ask(n.connect(back, "udp"), "db."), "NOERROR 10.2.0.2"; got != want {
				t.Errorf("in the new namespace: %s, want %s", got, want)
			}
		})
	}
}

// TestNamespaceIsReplaced: another namespace at the same path is found without
// anybody's word, and until it is there the daemon hears of it.
func TestNamespaceIsReplaced(t *testing.T) {
	n := newNode(t)
	n.resolver()
	front, _ := two(n)
	if err := namespace.Delete(front); err != nil {
		t.Fatal(err)
	}
	n.until("trouble", func(_ uint64, trouble map[string]string) bool { return trouble["front"] != "" })
	n.netns("front")
	n.until("the end of trouble", func(_ uint64, trouble map[string]string) bool { return len(trouble) == 0 })
	if got, want := n.ask(n.connect(front, "udp"), "web."), "NOERROR 10.1.0.2"; got != want {
		t.Errorf("in the new namespace: %s, want %s", got, want)
	}
}

// TestNewsWithoutResolver: what changes while there is none is known to the next.
func TestNewsWithoutResolver(t *testing.T) {
	n := newNode(t)
	cmd := n.resolver()
	front, _ := two(n)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	for i := range uint64(2 * maxBehind) {
		u := names.Update{Index: 2 + i, Services: []names.Service{service("f", "web", "10.1.0.3")}}
		if err := n.feed.Change(&u); err != nil {
			t.Fatal(err)
		}
	}
	n.resolver()
	n.until("the newest index", func(index uint64, _ map[string]string) bool { return index == 2*maxBehind+1 })
	if got, want := n.ask(n.connect(front, "udp"), "web."), "NOERROR 10.1.0.3"; got != want {
		t.Errorf("after the restart: %s, want %s", got, want)
	}
}

// TestDaemonRestarts: names stay while there is no daemon, and the next one's are taken.
func TestDaemonRestarts(t *testing.T) {
	n := newNode(t)
	n.resolver()
	front, _ := two(n)
	n.stop()
	conn := n.connect(front, "udp")
	if got, want := n.ask(conn, "web."), "NOERROR 10.1.0.2"; got != want {
		t.Errorf("without a daemon: %s, want %s", got, want)
	}
	n.index = 0
	n.daemon()
	n.change(names.Update{
		Whole: true, Index: 1, Networks: []names.Network{{ID: "f"}}, Services: []names.Service{service("f", "web", "10.1.0.4")},
		Clients: []names.Client{{ID: "front", Netns: front, Networks: []string{"f"}}},
	})
	began := time.Now()
	if got, want := n.ask(conn, "web."), "NOERROR 10.1.0.4"; got != want || time.Since(began) > time.Second {
		t.Errorf("with the next daemon: %s after %s, want %s", got, time.Since(began), want)
	}
}

// TestAskedEarly: what is asked before the table is known is answered when it is.
func TestAskedEarly(t *testing.T) {
	n := newNode(t)
	n.stop() // this test is the daemon
	n.resolver()
	task := n.netns("task")
	var daemon net.Conn
	eventually(t, "the resolver", func() bool {
		daemon, _ = net.Dial("unix", n.socket())
		return daemon != nil
	})
	defer daemon.Close()
	var h hello
	if err := read(daemon, &h); err != nil || h.Format != Format {
		t.Fatalf("greeted with %v, %v", h, err)
	}
	whole := cluster(partSize+1, names.Client{ID: "task", Netns: task})
	all := parts(whole)
	if len(all) != 3 || !all[0].More || !all[1].More || all[2].More {
		t.Fatalf("%d parts", len(all))
	}
	if err := errors.Join(write(daemon, all[0]), write(daemon, all[1])); err != nil {
		t.Fatal(err)
	}
	var tcp net.Conn
	eventually(t, "the task's door", func() bool {
		tcp, _ = dial(t.Context(), task, "tcp", "127.0.0.11:53")
		return tcp != nil
	})
	defer tcp.Close()
	udp := n.connect(task, "udp")
	early := new(dns.Msg)
	early.SetQuestion(fmt.Sprintf("svc%d.", partSize), dns.TypeA)
	if err := udp.WriteMsg(early); err != nil {
		t.Fatal(err)
	}
	_ = udp.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if m, err := udp.ReadMsg(); err == nil {
		t.Fatalf("answered by half a table: %v", m)
	}
	if err := write(daemon, all[2]); err != nil {
		t.Fatal(err)
	}
	_ = udp.SetReadDeadline(time.Now().Add(5 * time.Second))
	if m, err := udp.ReadMsg(); err != nil || m.Id != early.Id || len(m.Answer) != 1 {
		t.Errorf("answered %v, %v", m, err)
	}
	var a applied
	if err := read(daemon, &a); err != nil || a.Updates != 1 || a.Index != 1 {
		t.Errorf("the daemon hears %+v, %v", a, err)
	}
}
