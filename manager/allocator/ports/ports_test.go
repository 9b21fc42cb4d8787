package ports

import (
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// fakeState says which service has "8080/tcp".
type fakeState map[string]string

func (f fakeState) PublishedBy(p clusterpb.Port_Protocol, port uint32) (*clusterpb.Service, bool) {
	name, ok := f[key{protocol(p), port}.String()]
	return &clusterpb.Service{Id: name, Spec: &clusterpb.ServiceSpec{Name: name}}, ok
}

// parse reads "PUBLISHED:TARGET[/udp][@host]", PUBLISHED 0 for any.
func parse(t *testing.T, s string) (out []*clusterpb.Port) {
	t.Helper()
	for f := range strings.FieldsSeq(s) {
		p := &clusterpb.Port{Mode: clusterpb.Port_MODE_INGRESS, Protocol: clusterpb.Port_PROTOCOL_TCP}
		f, host := strings.CutSuffix(f, "@host")
		if host {
			p.Mode = clusterpb.Port_MODE_HOST
		}
		f, udp := strings.CutSuffix(f, "/udp")
		if udp {
			p.Protocol = clusterpb.Port_PROTOCOL_UDP
		}
		if _, err := fmt.Sscanf(f, "%d:%d", &p.Published, &p.Target); err != nil {
			t.Fatalf("port %q: %v", f, err)
		}
		out = append(out, p)
	}
	return out
}

func format(ports []*clusterpb.Port) string {
	var out []string
	for _, p := range ports {
		s := fmt.Sprintf("%d:%d", p.GetPublished(), p.GetTarget())
		if p.GetProtocol() == clusterpb.Port_PROTOCOL_UDP {
			s += "/udp"
		}
		if p.GetMode() == clusterpb.Port_MODE_HOST {
			s += "@host"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestAllocate(t *testing.T) {
	state := fakeState{"8080/tcp": "web", "30000/tcp": "web", "30001/tcp": "web", "30000/udp": "dns"}
	tests := map[string]struct {
		spec, had string
		want      string
		err       func(error) bool
	}{
		"as written":                    {"8111:80 53:53/udp", "", "8111:80 53:53/udp", nil},
		"another protocol":              {"8080:80/udp", "", "8080:80/udp", nil},
		"the lowest free":               {"0:80 0:81 0:80/udp", "", "30002:80 30003:81 30001:80/udp", nil},
		"keeps what it had":             {"0:80", "31000:80", "31000:80", nil},
		"unless asked for otherwise":    {"0:80 31000:81", "31000:80", "30002:80 31000:81", nil},
		"had for another target":        {"0:80", "31000:81", "30002:80", nil},
		"had, but lost meanwhile":       {"0:80", "8080:80", "30002:80", nil},
		"nodes choose their own":        {"0:80@host", "", "0:80@host", nil},
		"leaves room for those written": {"0:80 30002:81", "", "30003:80 30002:81", nil},
		"another service has it":        {"8080:80", "", "", errdefs.IsAlreadyExists},
		"host against ingress":          {"8080:80@host", "", "", errdefs.IsAlreadyExists},
		"twice":                         {"9000:80 9000:81", "", "", errdefs.IsInvalidArgument},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			svc := &clusterpb.Service{Id: "mine", Ports: parse(t, tt.had), Spec: &clusterpb.ServiceSpec{Ports: parse(t, tt.spec)}}
			got, err := Allocate(state, svc)
			if tt.err != nil {
				if !tt.err(err) {
					t.Errorf("got %v, %v", format(got), err)
				}
				return
			}
			if err != nil || format(got) != tt.want {
				t.Errorf("got %s, %v, want %s", format(got), err, tt.want)
			}
			if format(svc.GetSpec().GetPorts()) != tt.spec {
				t.Error("the spec was changed")
			}
		})
	}
}

func TestAllocateWhenNoneIsLeft(t *testing.T) {
	state := fakeState{}
	for n := uint32(First); n <= Last; n++ {
		state[key{"tcp", n}.String()] = "web"
	}
	svc := &clusterpb.Service{Id: "mine", Spec: &clusterpb.ServiceSpec{Ports: parse(t, "0:80")}}
	if _, err := Allocate(state, svc); !errdefs.IsResourceExhausted(err) {
		t.Errorf("got %v, want resource exhausted", err)
	}
}
