package call_test

import (
	"testing"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/proto/call"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
)

func TestCheckRequired(t *testing.T) {
	for name, tt := range map[string]struct {
		request proto.Message
		want    string
	}{
		"whole":               {&controlpb.UpdateNodeRequest{Node: "n1", Spec: &clusterpb.NodeSpec{}}, ""},
		"nothing is required": {&controlpb.GetClusterRequest{}, ""},
		"no message":          {&controlpb.UpdateNodeRequest{Node: "n1"}, "UpdateNode: spec is required: invalid argument"},
		"no text":             {&controlpb.UpdateNodeRequest{Spec: &clusterpb.NodeSpec{}}, "UpdateNode: node is required: invalid argument"},
		"no word":             {&controlpb.ControlRolloutRequest{Service: "web"}, "ControlRollout: action is required: invalid argument"},
		"no list":             {&controlpb.ListTasksRequest{}, ""},
		"an empty element":    {&controlpb.ListTasksRequest{ServiceIds: []string{"s1", ""}}, "ListTasks: one of the service ids is empty: invalid argument"},
	} {
		err := call.CheckRequired(tt.request)
		if tt.want == "" && err != nil || tt.want != "" && (!errdefs.IsInvalidArgument(err) || err.Error() != tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
