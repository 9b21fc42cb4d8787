package integration_test

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"google.golang.org/grpc"

	"github.com/muster/muster/integration/cluster"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/worker/executor"
)

// ids returns the ids of tasks, sorted.
func ids(tasks []*clusterpb.Task) (out []string) {
	for _, t := range tasks {
		out = append(out, t.GetId())
	}
	slices.Sort(out)
	return out
}

// contains reports whether all of want are among have.
func contains(have []string, want ...string) bool {
	for _, w := range want {
		if !slices.Contains(have, w) {
			return false
		}
	}
	return true
}

// started is how many containers were ever started.
func started(c *cluster.Cluster) (n int) {
	for _, node := range c.Nodes {
		n += node.Runtime.Count("Start", "")
	}
	return n
}

// services asks about services over conn.
func services(conn grpc.ClientConnInterface) controlpb.ServiceServiceClient {
	return controlpb.NewServiceServiceClient(conn)
}

// scale sets the replicas of a service.
func scale(ctx context.Context, t *testing.T, c *cluster.Cluster, service string, replicas uint32) {
	t.Helper()
	if _, err := services(c.Control()).ScaleService(ctx, &controlpb.ScaleServiceRequest{Service: service, Replicas: replicas}); err != nil {
		t.Fatal(err)
	}
}

// seeds returns n seeds to try, one under -short, other ones each time; or the
// one that MUSTER_TEST_SEED names.
func seeds(t *testing.T, n int) (list []uint64) {
	t.Helper()
	if s, err := strconv.ParseUint(os.Getenv("MUSTER_TEST_SEED"), 10, 64); err == nil {
		return []uint64{s}
	}
	if testing.Short() {
		n = 1
	}
	for range n {
		list = append(list, rand.Uint64N(1_000_000))
	}
	return list
}

// random returns a source of its own for each part of a seeded test.
func random(seed, part uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, part))
}

// exit is how a process ends.
func exit(code int32) executor.Exit { return executor.Exit{Code: code} }

func remove(ctx context.Context, t *testing.T, c *cluster.Cluster, service string) {
	t.Helper()
	if _, err := services(c.Control()).RemoveService(ctx, &controlpb.RemoveServiceRequest{Service: service}); err != nil {
		t.Fatal(err)
	}
}
