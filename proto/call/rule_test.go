package call_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/muster/muster/proto/ca/v1"
	"github.com/muster/muster/proto/call"
	_ "github.com/muster/muster/proto/control/v1"
	_ "github.com/muster/muster/proto/dispatch/v1"
	_ "github.com/muster/muster/proto/logs/v1"
	_ "github.com/muster/muster/proto/member/v1"
	_ "github.com/muster/muster/proto/node/v1"
)

// services returns every service that a proto file of ours declares.
func services(t *testing.T) (all []protoreflect.ServiceDescriptor) {
	t.Helper()
	files, err := filepath.Glob("../*/v1/*.proto")
	if err != nil || len(files) == 0 {
		t.Fatalf("proto files: %v, %v", files, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "\nservice ") {
			continue
		}
		d, err := protoregistry.GlobalFiles.FindFileByPath(filepath.ToSlash(strings.TrimPrefix(f, "../")))
		if err != nil {
			t.Fatalf("%s: %v: import its package in this test", f, err)
		}
		for i := range d.Services().Len() {
			all = append(all, d.Services().Get(i))
		}
	}
	return all
}

// TestEveryMethodHasARule fails for a method whose proto file does not say
// what it does, who may call it and who answers.
func TestEveryMethodHasARule(t *testing.T) {
	for _, s := range services(t) {
		for i := range s.Methods().Len() {
			name := "/" + string(s.FullName()) + "/" + string(s.Methods().Get(i).Name())
			if _, ok := call.Lookup(name); !ok {
				t.Errorf("%s: set (call.v1.effect), (call.v1.answer) and (call.v1.callers)", name)
			}
		}
	}
}

func TestLookup(t *testing.T) {
	users := call.Manager | call.Local
	tests := map[string]call.Rule{
		"/ca.v1.CAService/GetRootCA":                 {Leader: true, Callers: call.Anyone},
		"/ca.v1.CAService/IssueNodeCertificate":      {Write: true, Leader: true, Callers: call.Anyone},
		"/control.v1.ClusterService/GetJoinToken":    {Leader: true, Callers: users},
		"/control.v1.ClusterService/RotateJoinToken": {Write: true, Leader: true, Callers: users},
		"/control.v1.NodeService/ListNodes":          {Leader: true, Callers: users},
		"/control.v1.NodeService/RemoveNode":         {Write: true, Leader: true, Callers: users},
		"/control.v1.ServiceService/FollowService":   {Leader: true, Callers: users},
		"/control.v1.ServiceService/ControlRollout":  {Write: true, Leader: true, Callers: users},
		"/control.v1.LogService/SubscribeLogs":       {Leader: true, Callers: users},
		"/control.v1.ImageService/PullImage":         {Write: true, Callers: call.Local},
		"/control.v1.ImageService/ListImages":        {Callers: call.Local},
		"/dispatch.v1.DispatcherService/Session":     {Write: true, Callers: call.AnyNode},
		"/logs.v1.LogsService/PublishLogs":           {Leader: true, Callers: call.AnyNode},
		"/member.v1.MemberService/AddManager":        {Write: true, Leader: true, Callers: call.Manager},
		"/member.v1.MemberService/Leave":             {Write: true, Leader: true, Callers: call.AnyNode},
		"/node.v1.LocalService/LeaveCluster":         {Write: true, Callers: call.Local},
		"/node.v1.PeerService/FetchBlob":             {Callers: call.AnyNode},
	}
	for method, want := range tests {
		if got, ok := call.Lookup(method); !ok || got != want {
			t.Errorf("%s: %+v, %v; want %+v", method, got, ok, want)
		}
	}
	for _, none := range []string{
		"", "/", "x", "/x/y", "/control.v1.NodeService", "/control.v1.NodeService/", "/control.v1.NodeService/Other",
		"/control.v1/NodeView", "/google.protobuf/Timestamp", "//control.v1.NodeService/ListNodes",
		"/control.v1/NodeService/ListNodes", "/control/v1.NodeService/ListNodes", "/control.v1.NodeService.ListNodes",
	} {
		if got, ok := call.Lookup(none); ok || got != (call.Rule{}) {
			t.Errorf("%q: %+v, %v; want nothing", none, got, ok)
		}
	}
}

func TestCallersHaveNames(t *testing.T) {
	for set, want := range map[call.Callers]string{
		0:                             "nobody",
		call.Local:                    "the local socket",
		call.Manager | call.Local:     "managers and the local socket",
		call.AnyNode:                  "workers and managers",
		call.Anyone:                   "nodes without a certificate, workers, managers and the local socket",
		call.Anonymous | call.Manager: "nodes without a certificate and managers",
	} {
		if got := set.String(); got != want {
			t.Errorf("%d is called %q, want %q", set, got, want)
		}
	}
}
