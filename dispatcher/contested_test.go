package dispatcher

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

// TestContestedPortIsTold: the leader says which node listens for the cluster
// where a service publishes, and on which port.
func TestContestedPortIsTold(t *testing.T) {
	tm := termOf(t, &fakeStore{st: storetest.State(t, state.PutService(&raftpb.PutService{Id: "s1", Spec: &clusterpb.ServiceSpec{
		Name: "web", Ports: []*clusterpb.Port{{Target: 80, Published: 9000, Mode: clusterpb.Port_MODE_INGRESS}},
	}}))})
	var told bytes.Buffer
	tm.log = slog.New(slog.NewTextHandler(&told, nil))
	for addr, want := range map[string]string{"192.0.2.1:9001": "", "192.0.2.1:9000": "hostname=alpha port=9000/tcp"} {
		told.Reset()
		tm.warnContested(t.Context(), &clusterpb.Node{Id: "n1"}, &clusterpb.NodeDescription{Hostname: "alpha", ControlAddr: addr})
		if got := strings.TrimSpace(told.String()); (got == "") != (want == "") || !strings.HasSuffix(got, want) {
			t.Errorf("at %s it is told %q, want %q", addr, got, want)
		}
	}
}
