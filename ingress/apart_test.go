package ingress

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
)

// TestFamiliesFailApart: where the kernel refuses one family, the other
// follows every change; and once nothing is in the way all is made.
func TestFamiliesFailApart(t *testing.T) {
	l := newLab(t, 2, false)
	l.apply()
	l.publish(8001, l.task(1, "a"))
	l.apply()
	release := l.takeTable(0, "ip6 muster")
	l.publish(8002, l.task(1, "b"))
	l.applyNode(1, false)
	plane := l.nodes[0].plane
	want := l.want(0)
	want.Index = 9
	plane.Set(want)
	for range 2 {
		if err := plane.apply(t.Context(), true); err == nil || plane.Index() == 9 {
			t.Errorf("apply with the table of IPv6 in another's hands: %v, and acknowledged", err)
		}
	}
	if got := l.get(l.client, "tcp", "10.77.0.101:8002"); !strings.HasPrefix(got, "b saw") {
		t.Errorf("over IPv4: %q", got)
	}
	release()
	if err := plane.apply(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if got := l.get(l.client, "tcp", "[fd77::101]:8002"); !strings.HasPrefix(got, "b saw") {
		t.Errorf("over IPv6, once it may: %q", got)
	}
}

// takeTable takes a table of a node's for a process that lets nobody else change it.
func (l *lab) takeTable(i int, table string) (release func()) {
	l.t.Helper()
	netns := l.nodes[i].netns
	cmd := nsenter(netns, "nft", "-i")
	orders, err := cmd.StdinPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	answers, err := cmd.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	fmt.Fprintf(orders, "delete table %[1]s\nadd table %[1]s { flags owner; }\nlist table %[1]s\n", table)
	for lines := bufio.NewScanner(answers); lines.Scan() && !strings.Contains(lines.Text(), "flags owner"); {
	}
	return func() { // the table goes with its owner
		orders.Close()
		io.Copy(io.Discard, answers) //nolint:errcheck // it ends with the process
		if err := cmd.Wait(); err != nil {
			l.t.Error(err)
		}
	}
}

// TestTasksFailApart: a task that spoiled its own network holds up nobody.
func TestTasksFailApart(t *testing.T) {
	l := newLab(t, 1, false)
	l.apply()
	spoilt, well := l.task(0, "spoilt"), l.task(0, "well")
	l.publish(8001, spoilt)
	l.apply()
	for _, harm := range []string{"link del eth0", "link add eth0 type bridge"} {
		l.in(l.nodes[0].plane.netns("spoilt"), "sh", "-c", "ip "+harm)
	}
	l.publish(8002, well)
	want := l.want(0)
	want.Index = 7
	plane := l.nodes[0].plane
	plane.Set(want)
	if err := plane.apply(t.Context(), true); err == nil || !strings.Contains(err.Error(), "spoilt") {
		t.Errorf("apply with a task that cannot be attached: %v", err)
	}
	if plane.Index() != 7 {
		t.Errorf("index %d is acknowledged, want 7", plane.Index())
	}
	if got := l.get(l.client, "tcp", "10.77.0.101:8002"); !strings.HasPrefix(got, "well saw") {
		t.Errorf("the other task: %q", got)
	}
}

// TestFamilyOfATask: a task that switches IPv6 off keeps IPv4.
func TestFamilyOfATask(t *testing.T) {
	l := newLab(t, 1, false)
	l.apply()
	l.publish(8001, l.task(0, "a"))
	l.apply()
	l.in(l.nodes[0].plane.netns("a"), "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
	l.ip(l.nodes[0].netns, "link del %s", taskLink("a"))
	l.nodes[0].plane.Set(l.want(0))
	if err := l.nodes[0].plane.apply(t.Context(), true); err == nil {
		t.Error("no word of the address that the task refuses")
	}
	if got := l.get(l.client, "tcp", "10.77.0.101:8001"); !strings.HasPrefix(got, "a saw") {
		t.Errorf("over IPv4: %q", got)
	}
}

// TestListsThatChange: a list that changed while the kernel gave it is asked for again.
func TestListsThatChange(t *testing.T) {
	asked := 0
	list := func() ([]int, error) {
		if asked++; asked < 4 {
			return []int{1}, netlink.ErrDumpInterrupted
		}
		return []int{1, 2}, nil
	}
	if got, err := whole(list); err != nil || !slices.Equal(got, []int{1, 2}) || asked != 4 {
		t.Errorf("%v, %v after %d lists", got, err, asked)
	}
	asked = -100
	if _, err := whole(list); !errors.Is(err, netlink.ErrDumpInterrupted) {
		t.Errorf("a list that never stands still: %v", err)
	}
}

// TestSmallMTU: the kernel has no IPv6 on devices below its least MTU of 1280.
func TestSmallMTU(t *testing.T) {
	for _, mtu := range []int{1329, 1330} { // 50 are VXLAN's
		t.Run(fmt.Sprint(mtu), func(t *testing.T) {
			l := newLab(t, 2, false)
			for _, n := range l.nodes {
				l.ip(n.netns, "link set e0 mtu %d", mtu)
			}
			l.apply()
			l.publish(8001, l.task(0, "a"))
			l.publish(8002, l.task(1, "b"))
			l.apply()
			for addr, want := range map[string]string{"10.77.0.101:8001": "a saw", "10.77.0.101:8002": "b saw"} {
				if got := l.get(l.client, "tcp", addr); !strings.HasPrefix(got, want) {
					t.Errorf("%s: %q", addr, got)
				}
			}
			if got := l.get(l.client, "tcp", "[fd77::101]:8002"); strings.HasPrefix(got, "b saw") != (mtu == 1330) {
				t.Errorf("over IPv6: %q", got)
			}
			if lines := l.diff(0); len(lines) > 0 {
				t.Errorf("%q", lines)
			}
		})
	}
}
