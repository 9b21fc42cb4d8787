package swarm_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/muster/muster/cli/clitest"
	"github.com/muster/muster/cli/command"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	nodepb "github.com/muster/muster/proto/node/v1"
)

// token is one of the right form.
var token = "MSTR-1-" + strings.Repeat("a", 50) + "-" + strings.Repeat("b", 25)

// daemon keeps what it was asked.
type daemon struct {
	nodepb.UnimplementedLocalServiceServer
	controlpb.UnimplementedClusterServiceServer

	init      *nodepb.InitClusterRequest
	join      *nodepb.JoinClusterRequest
	cluster   *clusterpb.Cluster
	conflicts int // of updates, before one is taken
}

func serve(t *testing.T, d *daemon) clitest.Daemon {
	t.Helper()
	return clitest.Serve(t, func(r grpc.ServiceRegistrar) {
		nodepb.RegisterLocalServiceServer(r, d)
		controlpb.RegisterClusterServiceServer(r, d)
	})
}

// InitCluster answers with a token.
func (d *daemon) InitCluster(_ context.Context, r *nodepb.InitClusterRequest) (*nodepb.InitClusterResponse, error) {
	d.init = r
	return &nodepb.InitClusterResponse{NodeId: "node", WorkerToken: token, ControlAddr: "192.0.2.1:2377"}, nil
}

// JoinCluster makes a manager of the node.
func (d *daemon) JoinCluster(_ context.Context, r *nodepb.JoinClusterRequest) (*nodepb.JoinClusterResponse, error) {
	d.join = r
	return &nodepb.JoinClusterResponse{NodeId: "node", Role: clusterpb.NodeRole_NODE_ROLE_MANAGER}, nil
}

// GetCluster returns the cluster.
func (d *daemon) GetCluster(context.Context, *controlpb.GetClusterRequest) (*controlpb.GetClusterResponse, error) {
	return &controlpb.GetClusterResponse{Cluster: d.cluster}, nil
}

// UpdateCluster takes the settings, unless another change is to come between.
func (d *daemon) UpdateCluster(_ context.Context, r *controlpb.UpdateClusterRequest) (*controlpb.UpdateClusterResponse, error) {
	if d.conflicts > 0 || r.GetVersion() != d.cluster.GetVersion() {
		d.conflicts--
		d.cluster.Version++
		return nil, errdefs.ErrConflict
	}
	d.cluster.Spec = r.GetSpec()
	return &controlpb.UpdateClusterResponse{Cluster: d.cluster}, nil
}

func TestInitPassesEverythingOn(t *testing.T) {
	d := new(daemon)
	line := "swarm init --advertise-addr eth0:2400 --listen-addr 0.0.0.0:2400 --data-path-addr 192.0.2.1 --data-path-port 5000 --default-addr-pool 10.200.0.0/16 " +
		"--availability drain --cert-expiry 48h --dispatcher-heartbeat 2s --task-history-limit -1 --force-new-cluster"
	out := serve(t, d).Run(t, strings.Fields(line)...)
	if !strings.HasPrefix(out.Out, "The cluster continues with node ") || !strings.Contains(out.Out, "    muster swarm join --token "+token+" 192.0.2.1:2377\n") {
		t.Errorf("%+v, want to be told that no new cluster was made, and the command to join", out)
	}
	r := d.init
	if r.GetAdvertiseAddr() != "eth0:2400" || r.GetListenAddr() != "0.0.0.0:2400" || r.GetDataPathAddr() != "192.0.2.1" ||
		r.GetDataPathPort() != 5000 || r.GetDefaultAddrPool() != "10.200.0.0/16" || !r.GetForceNewCluster() ||
		r.GetAvailability() != clusterpb.NodeSpec_AVAILABILITY_DRAIN {
		t.Errorf("request = %v", r)
	}
	s := r.GetSpec()
	if s.GetCertExpiry().AsDuration() != 48*time.Hour || s.GetHeartbeatPeriod().AsDuration() != 2*time.Second || s.GetTaskHistoryLimit() != -1 {
		t.Errorf("settings = %v", s)
	}
}

func TestJoinPassesEverythingOn(t *testing.T) {
	d := new(daemon)
	out := serve(t, d).Run(t, "swarm", "join", "--token", token, "--availability", "pause", "manager.example.com")
	if out.Out != "This node joined the cluster as a manager: node\n" {
		t.Errorf("%+v", out)
	}
	if r := d.join; r.GetToken() != token || r.GetRemoteAddr() != "manager.example.com" || r.GetAvailability() != clusterpb.NodeSpec_AVAILABILITY_PAUSE {
		t.Errorf("request = %v", r)
	}
}

func TestUpdateKeepsWhatIsNotNamed(t *testing.T) {
	d := &daemon{conflicts: 2, cluster: &clusterpb.Cluster{Version: 3, Spec: &clusterpb.ClusterSpec{CertExpiry: durationpb.New(3 * time.Hour)}}}
	if out := serve(t, d).Run(t, "swarm", "update", "--task-history-limit", "2"); out.Status != command.ExitOK {
		t.Fatalf("%+v", out)
	}
	if s := d.cluster.GetSpec(); s.GetCertExpiry().AsDuration() != 3*time.Hour || s.GetTaskHistoryLimit() != 2 {
		t.Errorf("settings = %v", s)
	}
}
