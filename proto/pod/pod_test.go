package pod

import (
	"testing"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

func TestMainContainer(t *testing.T) {
	web, log := &clusterpb.ContainerSpec{Image: "web"}, &clusterpb.ContainerSpec{Image: "log"}
	tests := map[string]struct {
		task *clusterpb.TaskSpec
		want *clusterpb.ContainerSpec
	}{
		"the first of two": {&clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{web, log}}, web},
		"none":             {&clusterpb.TaskSpec{}, nil},
		"no task":          {nil, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Main(tt.task); got != tt.want {
				t.Errorf("main container %v, want %v", got, tt.want)
			}
		})
	}
}
