package images_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/opencontainers/go-digest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/muster/muster/integration/needs"
	"github.com/muster/muster/worker/executor/containerd"
	"github.com/muster/muster/worker/images"

	nodepb "github.com/muster/muster/proto/node/v1"
)

// store runs a containerd of its own until the test ends.
func store(t *testing.T, change func(*images.Config)) *images.Store {
	t.Helper()
	bin := needs.Runtime(t)
	dir, err := os.MkdirTemp("/tmp", "rt-") //nolint:usetesting // the names of t.TempDir are too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	managed, err := containerd.NewManaged(containerd.ManagedConfig{
		BinDir: bin, StateDir: filepath.Join(dir, "state"), RunDir: filepath.Join(dir, "run"),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- managed.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, managed.Stop(context.Background())); err != nil {
			t.Errorf("stop containerd: %v", err)
		}
	})
	c, err := containerd.Connect(managed.Address(), containerd.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := containerd.Ready(ctx, c, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	cfg := images.Config{Client: c, Namespace: containerd.Namespace, CertsDir: filepath.Join(dir, "certs.d"), Stall: 2 * time.Second}
	if change != nil {
		change(&cfg)
	}
	return images.New(cfg)
}

func quiet(images.Progress) {}

// sample is an image with three layers of 1 MiB for this platform.
func sample(t *testing.T) v1.Image {
	t.Helper()
	img, err := random.Image(1<<20, 3)
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", "amd64"
	file.Config.Env, file.Config.Labels = []string{"A=b"}, map[string]string{"team": "a"}
	if img, err = mutate.ConfigFile(img, file); err != nil {
		t.Fatal(err)
	}
	return img
}

func archive(t *testing.T, image string, img v1.Image) []byte {
	t.Helper()
	tag, err := name.NewTag(image)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tarball.Write(tag, img, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipped(t *testing.T, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestLoadListRemove(t *testing.T) {
	s := store(t, nil)
	img := sample(t)
	raw := archive(t, "web:1", img)
	var last images.Progress
	loaded, err := s.Load(t.Context(), bytes.NewReader(raw), func(p images.Progress) { last = p })
	if err != nil || len(loaded) != 1 {
		t.Fatalf("Load = %v, %v", loaded, err)
	}
	one := loaded[0]
	if one.GetName() != "docker.io/library/web:1" || !one.GetLoaded() || one.GetTaggedAt() == 0 || one.GetSizeBytes() < 3<<20 {
		t.Errorf("loaded %v", one)
	}
	if last.Stage != "done" {
		t.Errorf("last progress %+v", last)
	}
	select {
	case <-s.Changed():
	default:
		t.Error("a load is not told as a change")
	}
	// Compressed, and under another name, it is the same content.
	again, err := s.Load(t.Context(), bytes.NewReader(zipped(t, archive(t, "example.org/team/web:2", img))), quiet)
	if err != nil || again[0].GetDigest() != one.GetDigest() || again[0].GetName() != "example.org/team/web:2" {
		t.Errorf("Load = %v, %v", again, err)
	}
	ready, err := s.Ensure(t.Context(), "web:1", images.Source{}, "", quiet)
	if err != nil || ready.Config.Env[0] != "A=b" || ready.ChainID == "" {
		t.Errorf("Ensure = %+v, %v", ready, err)
	}
	list, view, err := s.List(t.Context())
	if err != nil || len(list) != 2 || view(list[0]).GetPlatforms()[0] != "linux/amd64" || view(list[0]).GetLabels()["team"] != "a" {
		t.Errorf("List = %v, %v", list, err)
	}
	if _, err := s.Remove(t.Context(), "web:3", false, nobody); !errdefs.IsNotFound(err) {
		t.Errorf("Remove = %v, want not found", err)
	}
	id := strings.TrimPrefix(one.GetDigest(), "sha256:")
	for _, id := range []string{one.GetDigest(), id, id[:12]} {
		if _, err := s.Load(t.Context(), bytes.NewReader(raw), quiet); err != nil {
			t.Fatal(err)
		}
		removed, err := s.Remove(t.Context(), id, false, nobody)
		if err != nil || removed.GetUntagged()[0] != "docker.io/library/web:1" {
			t.Errorf("Remove(%s) = %v, %v", id, removed, err)
		}
	}
	if held, err := s.Held(t.Context()); err != nil || len(held) != 0 {
		t.Errorf("Held = %v, %v", held, err)
	}
}

func TestLoadRefusesGarbage(t *testing.T) {
	s := store(t, nil)
	torn := archive(t, "web:1", sample(t))
	torn = torn[:len(torn)/2]
	for label, raw := range map[string][]byte{"empty": nil, "torn": torn, "text": []byte(strings.Repeat("hello ", 1000))} {
		t.Run(label, func(t *testing.T) {
			if got, err := s.Load(t.Context(), bytes.NewReader(raw), quiet); !errdefs.IsInvalidArgument(err) {
				t.Errorf("Load = %v, %v, want invalid argument", got, err)
			}
		})
	}
}

// dial connects to the peer server of a store, in memory.
func dial(t *testing.T, s *images.Store) nodepb.PeerServiceClient {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	nodepb.RegisterPeerServiceServer(server, images.NewPeerServer(s))
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:peer", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return nodepb.NewPeerServiceClient(conn)
}

// brittle is a fetcher whose node "dead" is away and whose node "weak" breaks
// off in the middle of every blob.
type brittle struct {
	images.Fetcher
	weak atomic.Int64
}

func (b *brittle) FetchBlob(ctx context.Context, addr, digest string, offset int64) (io.ReadCloser, int64, error) {
	if addr == "dead:1" {
		return nil, 0, fmt.Errorf("connection refused: %w", errdefs.ErrUnavailable)
	}
	body, size, err := b.Fetcher.FetchBlob(ctx, addr, digest, offset)
	if err == nil && addr == "weak:1" {
		b.weak.Add(1)
		return &cut{ReadCloser: body, left: size / 2}, size, nil
	}
	return body, size, err
}

// cut breaks off after left bytes.
type cut struct {
	io.ReadCloser
	left int64
}

func (c *cut) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.New("connection reset")
	}
	n, err := c.ReadCloser.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

func TestFetchFromOtherNodes(t *testing.T) {
	holder := store(t, nil)
	loaded, err := holder.Load(t.Context(), bytes.NewReader(archive(t, "web:1", sample(t))), quiet)
	if err != nil {
		t.Fatal(err)
	}
	client := dial(t, holder)
	fetcher := &brittle{Fetcher: images.PeerClient{Dial: func(string) (nodepb.PeerServiceClient, error) { return client, nil }}}
	s := store(t, func(c *images.Config) { c.Fetcher = fetcher })
	dgst := loaded[0].GetDigest()
	source := images.Source{Digest: digestOf(dgst), Addrs: []string{"dead:1", "weak:1", "good:1"}}
	results := make(chan error, 5)
	var most atomic.Int64
	for range cap(results) {
		go func() {
			img, err := s.Ensure(t.Context(), "web:1@"+dgst, source, "", func(p images.Progress) { most.Store(max(most.Load(), p.Total)) })
			if err == nil && img.Digest.String() != dgst {
				err = fmt.Errorf("got %s", img.Digest)
			}
			results <- err
		}()
	}
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	// Manifest once to resolve it and once for the store, config, three layers:
	// more would mean that the callers did not share the transfer.
	if n := fetcher.weak.Load(); n < 5 || n > 6 {
		t.Errorf("%d blobs were asked for, want 5 or 6", n)
	}
	if most.Load() < 3<<20 {
		t.Errorf("progress had at most %d bytes in all", most.Load())
	}
	held, err := s.Held(t.Context())
	if err != nil || len(held) != 1 || held[0].GetName() != "docker.io/library/web:1" || held[0].GetTaggedAt() != 0 {
		t.Errorf("Held = %v, %v, want an untagged copy", held, err)
	}
}

func TestPeerServer(t *testing.T) {
	s := store(t, nil)
	client := dial(t, s)
	tests := map[string]struct {
		digest string
		want   string
	}{
		"not held":     {"sha256:" + strings.Repeat("0", 64), "NotFound"},
		"not a digest": {"../../etc/passwd", "digest"},
	}
	for label, tt := range tests {
		t.Run(label, func(t *testing.T) {
			stream, err := client.FetchBlob(t.Context(), &nodepb.FetchBlobRequest{Digest: tt.digest})
			if err == nil {
				_, err = stream.Recv()
			}
			if err == nil {
				t.Error("FetchBlob gave content")
			}
		})
	}
}

// hub is a registry on a loopback address that asks for a login.
func hub(t *testing.T, img v1.Image) (host string) {
	t.Helper()
	plain := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "ann" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="hub"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
			return
		}
		plain.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	host = strings.TrimPrefix(server.URL, "http://")
	open := httptest.NewServer(plain)
	t.Cleanup(open.Close)
	ref, err := name.ParseReference(strings.TrimPrefix(open.URL, "http://") + "/team/web:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	return host
}

func login(user, password string) string {
	return base64.URLEncoding.EncodeToString(fmt.Appendf(nil, `{"username":%q,"password":%q}`, user, password))
}

func TestPull(t *testing.T) {
	host := hub(t, sample(t))
	var certs string
	s := store(t, func(c *images.Config) { certs = c.CertsDir })
	t.Run("no login", func(t *testing.T) {
		_, err := s.Ensure(t.Context(), host+"/team/web:1", images.Source{}, "", quiet)
		if err == nil || !errdefs.IsPermissionDenied(err) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Ensure = %v", err)
		}
	})
	t.Run("unreachable", func(t *testing.T) {
		_, err := s.Pull(t.Context(), "localhost:1/web:1", "", quiet)
		if err == nil || !strings.HasPrefix(err.Error(), `image "localhost:1/web:1": registry localhost:1 cannot be reached: dial tcp`) {
			t.Errorf("Pull = %v", err)
		}
	})
	t.Run("not there", func(t *testing.T) {
		_, err := s.Ensure(t.Context(), host+"/team/web:2", images.Source{}, login("ann", "secret"), quiet)
		want := fmt.Sprintf(`image "%s/team/web:2": registry %s does not have it`, host, host)
		if err == nil || !strings.HasPrefix(err.Error(), want) || !errdefs.IsNotFound(err) {
			t.Errorf("Ensure = %v, want %q", err, want)
		}
	})
	t.Run("refused login", func(t *testing.T) {
		_, err := s.Ensure(t.Context(), host+"/team/web:1", images.Source{}, login("bob", "wrong"), quiet)
		if !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), "refuses the login") {
			t.Errorf("Ensure = %v", err)
		}
	})
	t.Run("plain HTTP", func(t *testing.T) {
		dir := filepath.Join(certs, host)
		toml := fmt.Sprintf("server = \"https://%s\"\n", host)
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(toml), 0o600)); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		_, err := s.Ensure(t.Context(), host+"/team/web:1", images.Source{}, login("ann", "secret"), quiet)
		if err == nil || !strings.Contains(err.Error(), "hosts.toml") {
			t.Errorf("Ensure = %v", err)
		}
	})
	t.Run("bad credential", func(t *testing.T) {
		if _, err := s.Ensure(t.Context(), host+"/team/web:1", images.Source{}, "!", quiet); !errdefs.IsInvalidArgument(err) {
			t.Errorf("Ensure = %v, want invalid argument", err)
		}
	})
	t.Run("login", func(t *testing.T) {
		var stages []string
		img, err := s.Pull(t.Context(), host+"/team/web:1", login("ann", "secret"), func(p images.Progress) { stages = append(stages, p.Stage) })
		if err != nil || img.GetTaggedAt() == 0 || img.GetLoaded() {
			t.Errorf("Pull = %v, %v", img, err)
		}
		if len(stages) < 2 || stages[0] != "resolving" || stages[len(stages)-1] != "fetching" {
			t.Errorf("progress %q", stages)
		}
	})
	t.Run("mirror", func(t *testing.T) {
		dir := filepath.Join(certs, "docker.io")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		toml := fmt.Sprintf("server = \"http://%s\"\n[host.\"http://%s\"]\n", host, host)
		if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(toml), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Ensure(t.Context(), "team/web:1", images.Source{}, login("ann", "secret"), quiet); !errdefs.IsPermissionDenied(err) {
			t.Errorf("Ensure = %v: a mirror was given the login of the registry", err)
		}
		own := base64.URLEncoding.EncodeToString(fmt.Appendf(nil, `{"username":"ann","password":"secret","serveraddress":%q}`, host))
		if _, err := s.Ensure(t.Context(), "team/web:1", images.Source{}, own, quiet); err != nil {
			t.Errorf("Ensure through the mirror = %v", err)
		}
	})
}

// TestSilentRegistry pulls from a registry that takes connections and says
// nothing.
func TestSilentRegistry(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := store(t, nil)
	began := time.Now()
	_, err = s.Ensure(t.Context(), l.Addr().String()+"/web:1", images.Source{}, "", quiet)
	if err == nil || !strings.Contains(err.Error(), "nothing received for 2s") {
		t.Errorf("Ensure = %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestCallerGivesUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := store(t, func(c *images.Config) { c.Stall = time.Minute })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := s.Ensure(ctx, l.Addr().String()+"/web:1", images.Source{}, "", quiet); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Ensure = %v, want deadline exceeded", err)
	}
}

func digestOf(s string) digest.Digest { return digest.Digest(s) }
