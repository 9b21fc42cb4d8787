package allocator

import (
	"fmt"
	"strings"
	"testing"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
	"github.com/muster/muster/proto/network"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

func other(subnets ...string) *raftpb.Change {
	return state.CreateNetwork(&raftpb.CreateNetwork{Id: "x1", Spec: &clusterpb.NetworkSpec{Name: "front"}, Subnets: subnets})
}

// task is one in the network of published ports, and in the other.
func task(id string, addrs ...string) []*raftpb.Change {
	in := storetest.Attached(addrs[0])
	if len(addrs) > 1 {
		in = append(in, &clusterpb.Attachment{NetworkId: "x1", Addresses: addrs[1:]})
	}
	return []*raftpb.Change{state.CreateTask(&clusterpb.Task{Id: id, ServiceId: "s", Desired: lifecycle.Running, Attachments: in})}
}

func text(list []*clusterpb.Attachment, err error) string {
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, a := range list {
		out = append(out, fmt.Sprint(a.GetNetworkId(), a.GetAddresses()))
	}
	return strings.Join(out, " ")
}

func TestTake(t *testing.T) {
	tests := map[string]struct {
		ingress, front []string
		tasks          []*raftpb.Change
		want           []string
	}{
		"both families in one, one in the other": {
			[]string{"10.0.0.0/29", "fd00::/64"},
			[]string{"10.1.0.0/29"},
			nil,
			[]string{"ingress[10.0.0.2 fd00::2] x1[10.1.0.2]", "ingress[10.0.0.3 fd00::3] x1[10.1.0.3]"},
		},
		"each network walks on by itself": {
			[]string{"10.0.0.0/29"},
			[]string{"10.1.0.0/29"},
			append(task("a", "10.0.0.4", "10.1.0.2"), task("b", "10.0.0.5")...),
			[]string{"ingress[10.0.0.6] x1[10.1.0.3]", "ingress[10.0.0.2] x1[10.1.0.4]"},
		},
		"IPv6 alone": {
			[]string{"fd00::/64"},
			[]string{"fd01::/64"},
			nil,
			[]string{"ingress[fd00::2] x1[fd01::2]"},
		},
		"one network exhausted takes nothing of the other": {
			[]string{"10.0.0.0/29"},
			[]string{"10.1.0.0/30"},
			task("a", "10.0.0.2", "10.1.0.2"),
			[]string{"no address left in network front (10.1.0.0/30)"},
		},
		"a network too small": {
			[]string{"10.0.0.0/29"},
			[]string{"10.1.0.0/31"},
			nil,
			[]string{"network front: prefix 10.1.0.0/31 leaves no address for tasks: invalid argument"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			changes := append([]*raftpb.Change{storetest.Ingress(tt.ingress...), other(tt.front...)}, tt.tasks...)
			a := New(storetest.State(t, changes...))
			for i, want := range tt.want {
				if got := text(a.take([]string{network.Ingress, "x1"})); got != want {
					t.Errorf("%d: took %s, want %s", i+1, got, want)
				}
			}
		})
	}
}

func TestNothingIsTakenInVain(t *testing.T) {
	a := New(storetest.State(t, storetest.Ingress("10.0.0.0/29"), other("10.1.0.0/31")))
	if _, err := a.take([]string{network.Ingress, "x1"}); err == nil {
		t.Fatal("a network without addresses gave some")
	}
	if got, want := text(a.Attach(&clusterpb.Task{})), "ingress[10.0.0.2]"; got != want {
		t.Errorf("took %s, want %s", got, want)
	}
}

func TestAttach(t *testing.T) {
	a := New(storetest.State(t, storetest.Ingress("10.0.0.0/30", "fd00::/64"), other("10.1.0.0/29")))
	if got, want := text(a.Attach(&clusterpb.Task{})), "ingress[10.0.0.2 fd00::2]"; got != want {
		t.Errorf("attached to %s, want %s", got, want)
	}
	if got, want := text(a.Attach(&clusterpb.Task{})), "no address left in network ingress (10.0.0.0/30 and fd00::/64)"; got != want {
		t.Errorf("attached to %s, want %s", got, want)
	}
	if got := text(New(state.NewState()).Attach(&clusterpb.Task{})); got != "" {
		t.Errorf("attached to %s where there is no network", got)
	}
}
