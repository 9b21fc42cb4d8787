package founding

import (
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/jointoken"
)

// Tokens returns what workers and managers join the cluster by.
func Tokens(c *clusterpb.Cluster, secrets *clusterpb.ClusterSecrets) (worker, manager string, err error) {
	if worker, err = jointoken.Make(c.GetRootCa(), secrets.GetWorkerSecret()); err != nil {
		return "", "", err
	}
	manager, err = jointoken.Make(c.GetRootCa(), secrets.GetManagerSecret())
	return worker, manager, err
}
