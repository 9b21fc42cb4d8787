package stories

import (
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/muster/muster/integration/nodes"
	"github.com/muster/muster/integration/nodes/fleet"
	"github.com/muster/muster/integration/pack"
)

const user, password = "tester", "pa:ss word"

// TestRegistry pulls from a registry that asks for a login, by its own name
// with the login of the client, and as the mirror of another with the login that
// the nodes have for it: the other's is not for a mirror.
func TestRegistry(t *testing.T) {
	certs := t.TempDir()
	c := fleet.Start(t, 2, 1, "--registry-dir", certs)
	first, host := c.Nodes[0], c.Clients[0]
	at := host.Addr.String() + ":5000"
	serveRegistry(t, host, at)
	push(t, host, at+"/team/nginx:latest")
	hosts(t, certs, at, at, "")
	hosts(t, certs, "mirrored.example", at, "")
	logins := t.TempDir()
	login(t, logins, at, "mirrored.example")

	for _, image := range []string{at + "/team/nginx:latest", "mirrored.example/team/nginx:latest"} {
		t.Run(image, func(t *testing.T) {
			create := []string{"service", "create", "-q", "--replicas", "2", "--name", "web", "-p", "8111:80", image}
			refused(t, first, create, image, "--with-registry-auth")
			if strings.HasPrefix(image, "mirrored") {
				refused(t, first, slices.Insert(slices.Clone(create), 2, "--with-registry-auth"), image)
				hosts(t, certs, "mirrored.example", at, "[host.\"http://"+at+"\".header]\n  authorization = \"Basic "+auth()+"\"\n")
			}
			cmd := first.MusterCommand(t.Context(), append([]string{"service", "create", "--with-registry-auth"}, create[2:]...)...)
			cmd.Env = append(cmd.Env, "DOCKER_CONFIG="+logins)
			if res, err := first.Run(cmd); err != nil || res.Exit != 0 {
				t.Fatalf("service create: %v, exit %d: %s", err, res.Exit, res.Stderr)
			}
			for _, n := range c.Nodes {
				if answers, err := fleet.Ask(&host.Namespace, fmt.Sprintf("http://%s:8111/whoami", n.Addr), 6); err != nil || fleet.Replicas(answers) != 2 {
					t.Errorf("through %s: %v, %v", n.Name, answers, err)
				}
			}
			if out := first.MustMuster("service", "inspect", "web"); strings.Contains(out, "ss word") || strings.Contains(out, auth()) {
				t.Errorf("the login is shown to whoever asks:\n%s", out)
			}
			first.MustMuster("service", "rm", "web")
			for _, n := range c.Nodes {
				c.Eventually("the image to be removed from "+n.Name, fleet.Converge, func() error {
					if res := n.Muster("image", "rm", image); res.Exit != 0 && !strings.Contains(res.Stderr, "not on this node") {
						return fmt.Errorf("image rm: %s", res.Stderr)
					}
					return nil
				})
			}
		})
	}
}

// serveRegistry serves an empty registry that wants a login.
func serveRegistry(t *testing.T, host *nodes.Client, addr string) {
	t.Helper()
	l, err := host.Listen(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, ok := r.BasicAuth(); !ok || u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		images.ServeHTTP(w, r)
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-served
	})
}

// push gives the registry an nginx image.
func push(t *testing.T, host *nodes.Client, ref string) {
	t.Helper()
	path, err := pack.Debian(t.Context(), pack.DefaultCache(), pack.Nginx("nginx:latest"))
	if err != nil {
		t.Fatal(err)
	}
	image, err := tarball.ImageFromPath(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	transport := host.HTTP(true).Transport
	if err := remote.Write(tag, image, remote.WithContext(t.Context()), remote.WithTransport(transport),
		remote.WithAuth(&authn.Basic{Username: user, Password: password})); err != nil {
		t.Fatal(err)
	}
}

// hosts has the nodes ask the registry at addr for the images of another name;
// more is put after it.
func hosts(t *testing.T, dir, of, addr, more string) {
	t.Helper()
	text := fmt.Sprintf("[host.\"http://%s\"]\n  capabilities = [\"pull\", \"resolve\"]\n%s", addr, more)
	if err := os.MkdirAll(filepath.Join(dir, of), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, of, "hosts.toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func auth() string { return base64.StdEncoding.EncodeToString([]byte(user + ":" + password)) }

// login writes what "docker login" writes.
func login(t *testing.T, dir string, registries ...string) {
	t.Helper()
	var entries []string
	for _, r := range registries {
		entries = append(entries, fmt.Sprintf("%q: {\"auth\": %q}", r, auth()))
	}
	text := fmt.Sprintf("{\"auths\": {%s}}", strings.Join(entries, ", "))
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
