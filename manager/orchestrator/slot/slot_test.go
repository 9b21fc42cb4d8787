package slot

import (
	"testing"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/lifecycle"
)

func TestCause(t *testing.T) {
	tests := map[string]struct {
		status *clusterpb.TaskStatus
		want   string
	}{
		"the error":     {&clusterpb.TaskStatus{State: lifecycle.Rejected, Err: "no such image"}, "no such image"},
		"out of memory": {&clusterpb.TaskStatus{State: lifecycle.Failed, Containers: []*clusterpb.ContainerStatus{{OomKilled: true, ExitCode: 137}}}, "out of memory"},
		"exit status":   {&clusterpb.TaskStatus{State: lifecycle.Complete, Containers: []*clusterpb.ContainerStatus{{}}}, "exit status 0"},
		"nothing known": {&clusterpb.TaskStatus{State: lifecycle.Failed}, "failed"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Cause(&clusterpb.Task{Status: tt.status}); got != tt.want {
				t.Errorf("cause %q, want %q", got, tt.want)
			}
		})
	}
}
