// Package dockertest holds objects to convert and show in tests.
package dockertest

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
)

// Now is when the objects are looked at.
func Now() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// Small is a service as most people have them.
func Small() *clusterpb.Service {
	return &clusterpb.Service{
		Id: "0123456789abcdefghijklmno", Version: 7, SpecVersion: 7,
		CreatedAt: timestamppb.New(Now().Add(-time.Hour)), UpdatedAt: timestamppb.New(Now().Add(-time.Minute)),
		Spec: &clusterpb.ServiceSpec{
			Name: "web",
			Task: &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: "nginx:1.29"}}},
			Mode: &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: 3}},
		},
	}
}

// Everything is a service that sets every field.
func Everything() *clusterpb.Service {
	s := Small()
	second := durationpb.New(time.Second)
	parallelism := uint32(2)
	s.Spec = &clusterpb.ServiceSpec{
		Name: "web", Labels: map[string]string{"b": "2", "a": "1"},
		Mode: &clusterpb.ServiceSpec_Replicated{Replicated: &clusterpb.ReplicatedMode{Replicas: 3}},
		Task: &clusterpb.TaskSpec{
			Containers: []*clusterpb.ContainerSpec{{
				Image: "nginx:1.29", Command: []string{"sh"}, Args: []string{"-c", "a && b"}, Env: []string{"A=1", "B=2"}, Dir: "/srv",
				User: "1000", Groups: []string{"video"}, Labels: map[string]string{"c": "3"}, Tty: true, ReadOnly: true, Init: new(true),
				StopSignal: "SIGQUIT", StopGracePeriod: second, DrainTimeout: durationpb.New(0),
				Health: &clusterpb.HealthCheck{Http: "80/up", Interval: second, Timeout: second, StartPeriod: second, StartInterval: second, Retries: 3},
				CapAdd: []string{"CAP_NET_ADMIN"}, CapDrop: []string{"ALL"},
				Ulimits: []*clusterpb.Ulimit{{Name: "nofile", Soft: 1, Hard: 2}}, OomScoreAdj: 5, RegistryAuth: "never shown",
			}},
			Limits:       &clusterpb.Resources{NanoCpus: 15e8, MemoryBytes: 64 << 20, Pids: 100},
			Reservations: &clusterpb.Resources{NanoCpus: 5e8, MemoryBytes: 32 << 20},
			Restart:      &clusterpb.RestartPolicy{Condition: clusterpb.RestartPolicy_CONDITION_ON_FAILURE, Delay: second, MaxDelay: second, MaxAttempts: 3, Window: second},
			Placement: &clusterpb.Placement{
				Constraints: []string{"node.role==worker"}, Spread: []string{"node.labels.zone"}, MaxPerNode: 2,
			},
			Hostname: "h",
			Hosts:    []string{"192.0.2.1 db"},
			Dns:      &clusterpb.DNSConfig{Servers: []string{"192.0.2.2"}, Search: []string{"example.com"}, Options: []string{"ndots:2"}},
			Sysctls:  map[string]string{"net.core.somaxconn": "1"},
		},
		Update: &clusterpb.UpdateConfig{
			Parallelism: &parallelism, Delay: second, Monitor: second, MaxFailureRatio: 0.5, Canary: 1, ProgressDeadline: second,
			FailureAction: clusterpb.UpdateConfig_FAILURE_ACTION_ROLLBACK, Order: clusterpb.UpdateConfig_ORDER_START_FIRST,
		},
		Rollback: &clusterpb.UpdateConfig{},
		Ports: []*clusterpb.Port{
			{Protocol: clusterpb.Port_PROTOCOL_TCP, Target: 80, Mode: clusterpb.Port_MODE_INGRESS},
			{Protocol: clusterpb.Port_PROTOCOL_UDP, Target: 53, Published: 53, Mode: clusterpb.Port_MODE_HOST},
		},
	}
	s.Restarts = 1
	s.Images = []*clusterpb.ResolvedImage{{
		Image: "nginx:1.29", Pinned: "nginx:1.29@sha256:" + strings.Repeat("c", 64),
		Platforms: []*clusterpb.Platform{{Os: "linux", Architecture: "amd64"}},
	}}
	s.Ports = []*clusterpb.Port{
		{Protocol: clusterpb.Port_PROTOCOL_TCP, Target: 80, Published: 30000, Mode: clusterpb.Port_MODE_INGRESS},
		{Protocol: clusterpb.Port_PROTOCOL_UDP, Target: 53, Published: 53, Mode: clusterpb.Port_MODE_HOST},
	}
	s.Update = &clusterpb.UpdateStatus{
		State: clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED, StartedAt: timestamppb.New(Now().Add(-2 * time.Minute)), Message: "slot 2 failed",
		Progress: []*clusterpb.SlotUpdate{{Slot: 1}, {Slot: 2, Failed: true, Err: "exit 1"}},
	}
	s.History = []*clusterpb.SpecRecord{{Number: 1, Spec: Small().GetSpec()}}
	return s
}

// Node is the leading manager, with every field set.
func Node() *controlpb.NodeView {
	return &controlpb.NodeView{Leader: true, Manager: controlpb.NodeView_REACHABILITY_REACHABLE, Gossip: "alive", Node: &clusterpb.Node{
		Id: "0123456789abcdefghijklmno", Version: 5, Index: 1, RaftAddr: "192.0.2.1:2377", Role: clusterpb.NodeRole_NODE_ROLE_MANAGER,
		CreatedAt: timestamppb.New(Now().Add(-time.Hour)), UpdatedAt: timestamppb.New(Now().Add(-time.Minute)),
		Spec: &clusterpb.NodeSpec{Labels: map[string]string{"zone": "a"}, Availability: clusterpb.NodeSpec_AVAILABILITY_DRAIN},
		Description: &clusterpb.NodeDescription{
			Hostname: "alpha", Version: "1.0", ContainerdVersion: "2.4", Kernel: "6.18", Labels: map[string]string{"disk": "ssd"},
			ControlAddr: "192.0.2.1:2377", DataAddr: "192.0.2.1", GossipAddr: "192.0.2.1:7946",
			Platform:  &clusterpb.Platform{Os: "linux", Architecture: "amd64"},
			Resources: &clusterpb.Resources{NanoCpus: 2e9, MemoryBytes: 4 << 30},
		},
		Status: &clusterpb.NodeStatus{State: clusterpb.NodeStatus_STATE_READY, Addr: "192.0.2.1:33206", Message: "well", Since: timestamppb.New(Now().Add(-time.Minute))},
		Images: []*clusterpb.NodeImage{{Name: "docker.io/library/nginx:1.29", Digest: "sha256:1", SizeBytes: 187e6}},
	}}
}
