package service_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/muster/muster/cli/clitest"
	"github.com/muster/muster/cli/command"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/docker/dockertest"
)

// manager has one service and refuses as many writes as it is told to.
type manager struct {
	controlpb.UnimplementedServiceServiceServer

	service *clusterpb.Service
	refuse  []error // the next writes, the next first
	names   []string
	updates []*controlpb.UpdateServiceRequest
}

func serve(t *testing.T, m *manager) clitest.Daemon {
	t.Helper()
	m.service = dockertest.Small()
	return clitest.Serve(t, func(r grpc.ServiceRegistrar) { controlpb.RegisterServiceServiceServer(r, m) })
}

func (m *manager) refusal() error {
	if len(m.refuse) == 0 {
		return nil
	}
	err := m.refuse[0]
	m.refuse = m.refuse[1:]
	return err
}

// GetService returns the service.
func (m *manager) GetService(context.Context, *controlpb.GetServiceRequest) (*controlpb.GetServiceResponse, error) {
	return &controlpb.GetServiceResponse{Service: proto.CloneOf(m.service)}, nil
}

// CreateService keeps the name.
func (m *manager) CreateService(_ context.Context, r *controlpb.CreateServiceRequest) (*controlpb.CreateServiceResponse, error) {
	m.names = append(m.names, r.GetSpec().GetName())
	return &controlpb.CreateServiceResponse{Service: m.service, Warnings: []string{"the image has no digest"}}, m.refusal()
}

// UpdateService keeps the request; another change came between when refused.
func (m *manager) UpdateService(_ context.Context, r *controlpb.UpdateServiceRequest) (*controlpb.UpdateServiceResponse, error) {
	m.updates = append(m.updates, r)
	if err := m.refusal(); err != nil {
		m.service.Version++
		return nil, err
	}
	return &controlpb.UpdateServiceResponse{Service: m.service}, nil
}

// ListServices lists the service.
func (m *manager) ListServices(context.Context, *controlpb.ListServicesRequest) (*controlpb.ListServicesResponse, error) {
	return &controlpb.ListServicesResponse{Services: []*controlpb.ServiceView{{Service: m.service}}}, nil
}

func TestServiceListByModesOfDocker(t *testing.T) {
	d := serve(t, new(manager))
	for filter, want := range map[string]int{
		"mode=replicated": 1, "mode=global": 0, "mode=replicated-job": 0, "mode=global-job": 0, "runtime=container": 1, "runtime=plugin": 0,
	} {
		r := d.Run(t, "service", "ls", "-q", "--filter", filter)
		if r.Status != command.ExitOK || strings.Count(r.Out, "\n") != want {
			t.Errorf("%s: %+v, want %d services", filter, r, want)
		}
	}
}

func TestWarningsAreShown(t *testing.T) {
	r := serve(t, new(manager)).Run(t, "service", "create", "-d", "--name", "web", "nginx")
	if r.Status != command.ExitOK || r.Err != "muster: warning: the image has no digest\n" {
		t.Errorf("%+v", r)
	}
}

func TestRandomNameThatIsTakenIsReplaced(t *testing.T) {
	m := &manager{refuse: []error{errdefs.ErrAlreadyExists, errdefs.ErrAlreadyExists}}
	d := serve(t, m)
	if r := d.Run(t, "service", "create", "-d", "nginx"); r.Status != command.ExitOK || len(m.names) != 3 {
		t.Errorf("%+v after trying %q, want the third name", r, m.names)
	}
	m.refuse = []error{errdefs.ErrAlreadyExists}
	if r := d.Run(t, "service", "create", "-d", "--name", "web", "nginx"); r.Status != command.ExitFailure {
		t.Errorf("a name that was asked for: %+v", r)
	}
}

// TestUpdateLooksUpNewImagesOnly: the digest of an image that is not touched
// stays the one it has.
func TestUpdateLooksUpNewImagesOnly(t *testing.T) {
	m := new(manager)
	d := serve(t, m)
	d.Run(t, "service", "update", "-d", "--image", "nginx:1.30", "web")
	d.Run(t, "service", "update", "-d", "--env-add", "A=1", "web")
	d.Run(t, "service", "update", "-d", "--image", "nginx:1.30", "--no-resolve-image", "web")
	var asked []controlpb.ResolveImages
	for _, u := range m.updates {
		asked = append(asked, u.GetResolve())
	}
	want := []controlpb.ResolveImages{
		controlpb.ResolveImages_RESOLVE_IMAGES_ALWAYS, controlpb.ResolveImages_RESOLVE_IMAGES_CHANGED, controlpb.ResolveImages_RESOLVE_IMAGES_NEVER,
	}
	if !slices.Equal(asked, want) {
		t.Errorf("asked about %v, want %v", asked, want)
	}
}

// TestForcedUpdateLeavesTheSpec: a restart is no edit.
func TestForcedUpdateLeavesTheSpec(t *testing.T) {
	m := new(manager)
	d := serve(t, m)
	d.Run(t, "service", "update", "-d", "--force", "web")
	d.Run(t, "service", "update", "-d", "web")
	if len(m.updates) != 2 || !m.updates[0].GetForce() || m.updates[1].GetForce() {
		t.Fatalf("requests %v, want the first forced and the second not", m.updates)
	}
	if !proto.Equal(m.updates[0].GetSpec(), m.service.GetSpec()) {
		t.Errorf("wrote %v, want the spec as it was", m.updates[0].GetSpec())
	}
}

func TestUpdateThatAnotherChangeComesBetween(t *testing.T) {
	m := &manager{refuse: []error{errdefs.ErrConflict}}
	d := serve(t, m)
	if r := d.Run(t, "service", "update", "-d", "--env-add", "A=1", "web"); r.Status != command.ExitOK || len(m.updates) != 2 || m.updates[1].GetVersion() != m.service.GetVersion() {
		t.Errorf("%+v after %v, want it made again on the newer spec", r, m.updates)
	}
	m.refuse = []error{errdefs.ErrConflict}
	version := fmt.Sprint(m.service.GetVersion())
	if r := d.Run(t, "service", "update", "-d", "--if-version", version, "--env-add", "A=1", "web"); r.Status != command.ExitFailure || len(m.updates) != 3 {
		t.Errorf("who names a version: %+v after %d writes", r, len(m.updates))
	}
}

func TestRefusalIsTold(t *testing.T) {
	m := &manager{refuse: []error{fmt.Errorf("port 8111/tcp is taken by service db: %w", errdefs.ErrFailedPrecondition)}}
	r := serve(t, m).Run(t, strings.Fields("service create -d --name web -p 8111:80 nginx")...)
	if r.Status != command.ExitFailure || r.Err != "muster: port 8111/tcp is taken by service db\n" || r.Out != "" {
		t.Errorf("%+v", r)
	}
}

func TestOptionsBehindTheImageAreTold(t *testing.T) {
	r := serve(t, new(manager)).Run(t, "service", "create", "-d", "--name", "web", "nginx", "-p", "80:80")
	const want = "muster: warning: -p stands behind the image, so it goes to the container; options of \"service create\" stand before IMAGE\n"
	if r.Status != command.ExitOK || !strings.HasPrefix(r.Err, want) {
		t.Errorf("%+v, want %s", r, want)
	}
}
