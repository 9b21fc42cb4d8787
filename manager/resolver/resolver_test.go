package resolver

import (
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
	"github.com/muster/muster/raftstore/storetest"
)

// serve serves a registry that wants user:secret, and returns its host.
func serve(t *testing.T) string {
	t.Helper()
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != "user" || p != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		images.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// push gives the registry an image of its own and returns its digest.
func push(t *testing.T, ref string) v1.Hash {
	t.Helper()
	image, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, ref, image)
}

func write(t *testing.T, ref string, image v1.Image) v1.Hash {
	t.Helper()
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, image, remote.WithAuth(&authn.Basic{Username: "user", Password: "secret"})); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func login(text string) string { return base64.URLEncoding.EncodeToString([]byte(text)) }

// holds is a state in which a manager holds an image.
func holds(t *testing.T, image string, digest v1.Hash, loaded bool) *state.State {
	t.Helper()
	return holdsAs(t, clusterpb.NodeRole_NODE_ROLE_MANAGER, image, digest, loaded)
}

func holdsAs(t *testing.T, role clusterpb.NodeRole, image string, digest v1.Hash, loaded bool) *state.State {
	t.Helper()
	return storetest.State(t,
		state.CreateCluster(&raftpb.CreateCluster{Id: "c"}),
		state.PutNode(&raftpb.PutNode{Id: "n", Spec: &clusterpb.NodeSpec{}, Role: role}),
		state.ObserveNode(&raftpb.ObserveNode{Id: "n", Description: &clusterpb.NodeDescription{Hostname: "alpha"}, Images: &raftpb.NodeImages{Images: []*clusterpb.NodeImage{
			{Name: image, Digest: digest.String(), Loaded: loaded, TaggedAt: 1},
		}}}),
	)
}

func TestResolve(t *testing.T) {
	host := serve(t)
	image := host + "/team/web:1"
	here := push(t, image)
	loaded := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("1", 64)}
	nothing := storetest.State(t)
	right := login(`{"username": "user", "password": "secret"}`)
	tests := map[string]struct {
		state       *state.State
		image, auth string
		want        string // the digest, or of the error a part
		kind        func(error) bool
	}{
		"from the registry":          {nothing, image, right, here.String(), nil},
		"loaded goes first":          {holds(t, image, loaded, true), image, right, loaded.String(), nil},
		"pulled before comes second": {holds(t, image, loaded, false), image, right, here.String(), nil},
		"pulled before and no login": {holds(t, image, loaded, false), image, "", loaded.String(), nil},
		"a worker decides nothing": {
			holdsAs(t, clusterpb.NodeRole_NODE_ROLE_WORKER, image, loaded, true), image, right, here.String(), nil,
		},
		"a worker alone holds it": {
			holdsAs(t, clusterpb.NodeRole_NODE_ROLE_WORKER, image, loaded, true), image, "", "only worker alpha holds an image of that name", errdefs.IsFailedPrecondition,
		},
		"no login":        {nothing, image, "", "wants a login", errdefs.IsFailedPrecondition},
		"a wrong login":   {nothing, image, login(`{"username": "user", "password": "?"}`), "--with-registry-auth", errdefs.IsFailedPrecondition},
		"no such tag":     {nothing, host + "/team/web:2", right, "does not have it", errdefs.IsNotFound},
		"nobody there":    {nothing, "127.0.0.1:1/web", "", "check the name, and how nodes get there (DNS, firewall, proxy), or give it to a node", errdefs.IsFailedPrecondition},
		"no login at all": {nothing, image, "?", "registry credential", errdefs.IsFailedPrecondition},
		"no image name":   {nothing, "UPPER", "", "UPPER", errdefs.IsInvalidArgument},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			got, err := (&Resolver{HostsDir: t.TempDir()}).Resolve(t.Context(), tt.state, tt.image, tt.auth)
			if tt.kind == nil {
				if want := fmt.Sprintf("%s@%s", image, tt.want); err != nil || got.GetPinned() != want || got.GetImage() != tt.image {
					t.Errorf("%q, %v, want %q", got.GetPinned(), err, want)
				}
				return
			}
			if !tt.kind(err) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.image) {
				t.Errorf("%v, want %q of another kind", err, tt.want)
			}
		})
	}
}

// TestPlatformOfASingleImage: managers know what machines an image without an
// index is for, as far as it says so.
func TestPlatformOfASingleImage(t *testing.T) {
	host := serve(t)
	for architecture, want := range map[string]string{"arm64": "linux/arm64", "": ""} {
		image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: architecture})
		if err != nil {
			t.Fatal(err)
		}
		single := host + "/team/single" + architecture + ":1"
		write(t, single, image)
		got, err := (&Resolver{HostsDir: t.TempDir()}).Resolve(t.Context(), storetest.State(t), single, login(`{"username": "user", "password": "secret"}`))
		if err != nil {
			t.Fatal(err)
		}
		said := ""
		for _, p := range got.GetPlatforms() {
			said += p.GetOs() + "/" + p.GetArchitecture()
		}
		if said != want {
			t.Errorf("%q is for %q, want %q", architecture, said, want)
		}
	}
}

// TestRegistryThatSaysNothing is not waited for longer than said.
func TestRegistryThatSaysNothing(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer s.Close()
	r := &Resolver{HostsDir: t.TempDir(), Timeout: 50 * time.Millisecond}
	_, err := r.Resolve(t.Context(), storetest.State(t), strings.TrimPrefix(s.URL, "http://")+"/web", "")
	if err == nil || !strings.Contains(err.Error(), "no answer in 50ms") {
		t.Errorf("%v, want to be told that there was no answer", err)
	}
}
