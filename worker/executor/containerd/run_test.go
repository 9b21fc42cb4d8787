package containerd_test

import (
	"testing"

	"github.com/muster/muster/worker/executor"
)

func TestRuns(t *testing.T) {
	n := startNode(t)
	n.busybox(t, "busybox:1")
	one := task("busybox:1", "exit 7")
	n.run(t, one)
	if exit := n.wait(t, one.GetId()); exit != (executor.Exit{Code: 7}) {
		t.Errorf("exit = %+v, want 7", exit)
	}
}
