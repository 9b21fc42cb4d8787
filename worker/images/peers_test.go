package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// cluster is nodes that hold one blob, each with what happens when it is read:
// "ok", "away", "hangs", "falls silent" (in the middle), "lacks it", "weak" (breaks off in the middle), "short" (ends
// there as if that were all), "cut" (says that the half is all) or "forged"
// (another content).
type cluster struct {
	blob  []byte
	nodes map[string]string
	asked []string // ADDR@OFFSET
	open  int
}

func (c *cluster) FetchBlob(ctx context.Context, addr, _ string, offset int64) (io.ReadCloser, int64, error) {
	c.asked = append(c.asked, fmt.Sprint(addr, "@", offset))
	content := c.blob
	switch c.nodes[addr] {
	case "away":
		return nil, 0, errdefs.ErrUnavailable
	case "hangs":
		<-ctx.Done()
		return nil, 0, ctx.Err()
	case "lacks it":
		return nil, 0, errdefs.ErrNotFound
	case "forged":
		content = bytes.ToUpper(c.blob)
	case "cut":
		content = content[:len(content)/2]
	}
	rest := io.Reader(bytes.NewReader(content[offset:]))
	half := io.LimitReader(rest, int64(len(c.blob))/2)
	switch c.nodes[addr] {
	case "weak":
		rest = io.MultiReader(half, iotest.ErrReader(errors.New("connection reset")))
	case "short":
		rest = half
	case "falls silent":
		rest = io.MultiReader(half, silence{ctx})
	}
	c.open++
	return &closer{rest, func() { c.open-- }}, int64(len(content)), nil
}

// silence is what a node says that hangs.
type silence struct{ ctx context.Context }

func (s silence) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

type closer struct {
	io.Reader
	closed func()
}

func (c *closer) Close() error { c.closed(); return nil }

// holding returns nodes n0, n1 … that behave so, and what resolves from them.
func holding(blob string, nodes ...string) (*cluster, *peers) {
	c := &cluster{blob: []byte(blob), nodes: make(map[string]string)}
	p := &peers{fetcher: c, name: "docker.io/library/web:1", digest: digest.FromString(blob), patience: time.Second}
	for i, how := range nodes {
		addr := fmt.Sprint("n", i)
		c.nodes[addr], p.addrs = how, append(p.addrs, addr)
	}
	return c, p
}

// A blob goes on from the next node where the last one left it.
func TestBlobIsReadFromWhicheverNodeAnswers(t *testing.T) {
	tests := map[string]struct {
		nodes []string
		asked string
		err   string // part of it, or "" when the blob is whole
	}{
		"the first":                 {[]string{"ok", "ok"}, "n0@0", ""},
		"the second":                {[]string{"away", "ok"}, "n0@0 n1@0", ""},
		"it breaks off":             {[]string{"weak", "ok"}, "n0@0 n1@4", ""},
		"it ends too soon":          {[]string{"short", "ok"}, "n0@0 n1@4", ""},
		"it breaks off three times": {[]string{"weak", "away", "weak"}, "n0@0 n1@4 n2@4", ""},
		"nobody answers":            {[]string{"away", "lacks it"}, "n0@0 n1@0", "node n1: not found"},
		"nobody has the rest":       {[]string{"weak", "away"}, "n0@0 n1@4", "node n0: connection reset\nnode n1: unavailable"},
		"there are none":            {nil, "", "no node holds it"},
		"the first lost a half":     {[]string{"cut", "ok"}, "n0@0 n1@0", ""},
		"all lost a half":           {[]string{"cut"}, "n0@0", "node n0: it holds 4 bytes of 8"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, p := holding("01234567", tt.nodes...)
			fetcher, err := p.Fetcher(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			body, err := fetcher.Fetch(t.Context(), ocispec.Descriptor{Digest: p.digest, Size: int64(len(c.blob))})
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(body)
			if tt.err == "" && (err != nil || string(got) != "01234567") {
				t.Errorf("read %q, %v", got, err)
			}
			if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v, want one with %q", err, tt.err)
			}
			if asked := strings.Join(c.asked, " "); asked != tt.asked {
				t.Errorf("asked %q, want %q", asked, tt.asked)
			}
			if err := body.Close(); err != nil || c.open != 0 {
				t.Errorf("%d streams are left open, %v", c.open, err)
			}
		})
	}
}

// A node that hangs costs a moment, and only once in a transfer.
func TestNodeThatHangs(t *testing.T) {
	for _, how := range []string{"hangs", "falls silent"} {
		synctest.Test(t, func(t *testing.T) {
			c, p := holding("01234567", how, how, "ok")
			start := time.Now()
			for range 3 {
				body := &peerBody{ctx: t.Context(), peers: p, digest: p.digest}
				if got, err := io.ReadAll(body); err != nil || string(got) != "01234567" {
					t.Errorf("%s: read %q, %v", how, got, err)
				}
				_ = body.Close()
			}
			if took := time.Since(start); took != 2*time.Second || c.open != 0 {
				t.Errorf("%s: three blobs took %s, want a second for each node that hangs; %d streams are open", how, took, c.open)
			}
		})
	}
}

// A transfer that is taken up again goes on from where its content ends, and
// asks all nodes again.
func TestBlobIsTakenUpAgain(t *testing.T) {
	c, p := holding("01234567", "weak", "ok")
	body := &peerBody{ctx: t.Context(), peers: p, digest: p.digest}
	if at, err := body.Seek(6, io.SeekStart); at != 6 || err != nil {
		t.Fatalf("at %d, %v", at, err)
	}
	if got, err := io.ReadAll(body); string(got) != "67" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	if at, err := body.Seek(2, io.SeekStart); at != 2 || err != nil {
		t.Fatalf("at %d, %v", at, err)
	}
	if got, err := io.ReadAll(body); string(got) != "234567" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	if asked := strings.Join(c.asked, " "); asked != "n0@6 n0@2 n1@6" {
		t.Errorf("asked %q", asked)
	}
	if _, err := body.Seek(0, io.SeekEnd); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("from its end: %v", err)
	}
}

func TestReadingEndsWithItsCaller(t *testing.T) {
	c, p := holding("01234567", "away", "ok")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errStalled)
	if _, err := io.ReadAll(&peerBody{ctx: ctx, peers: p, digest: p.digest}); !errors.Is(err, errStalled) {
		t.Errorf("error %v, want the reason", err)
	}
	if len(c.asked) != 1 {
		t.Errorf("asked %v after the caller was gone", c.asked)
	}
}

// What nodes say is believed only as far as the digest bears it out.
func TestResolveFromNodes(t *testing.T) {
	const (
		index    = `{"manifests":[]}`
		manifest = `{"config":{}}`
		docker   = `{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{}}`
	)
	tests := map[string]struct {
		blob  string
		nodes []string
		kind  string
		err   string
	}{
		"an index":           {index, []string{"ok"}, ocispec.MediaTypeImageIndex, ""},
		"a manifest":         {manifest, []string{"ok"}, ocispec.MediaTypeImageManifest, ""},
		"one that says so":   {docker, []string{"ok"}, "application/vnd.docker.distribution.manifest.v2+json", ""},
		"from the next":      {manifest, []string{"weak", "ok"}, ocispec.MediaTypeImageManifest, ""},
		"another content":    {manifest, []string{"forged"}, "", "is something else"},
		"no JSON":            {"hello", []string{"ok"}, "", "parse manifest"},
		"neither":            {"{}", []string{"ok"}, "", "neither config nor manifests"},
		"far too long":       {strings.Repeat("x", maxManifest+1), []string{"ok"}, "", "is something else"},
		"nobody has it":      {manifest, []string{"lacks it"}, "", "not found"},
		"the most it can be": {`{"config":{}}` + strings.Repeat(" ", maxManifest-len(manifest)), []string{"ok"}, ocispec.MediaTypeImageManifest, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, p := holding(tt.blob, tt.nodes...)
			name, desc, err := p.Resolve(t.Context(), "whatever")
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want one with %q", err, tt.err)
				}
			} else if err != nil || name != p.name || desc.MediaType != tt.kind || desc.Digest != p.digest || desc.Size != int64(len(tt.blob)) {
				t.Errorf("%s is %+v, %v; want %s", name, desc, err, tt.kind)
			}
			if c.open != 0 {
				t.Errorf("%d streams are left open", c.open)
			}
		})
	}
}

// TestNodeThatNamesNoDigest must not end the daemon of those who ask it.
func TestNodeThatNamesNoDigest(t *testing.T) {
	for _, named := range []digest.Digest{"", "web", "sha256:", "sha256:00", "md5:d41d8cd98f00b204e9800998ecf8427e"} {
		c, p := holding(`{"config":{}}`, "ok")
		p.digest = named
		if _, _, err := p.Resolve(t.Context(), ""); !errdefs.IsInvalidArgument(err) || len(c.asked) > 0 {
			t.Errorf("%q: %v, asked %v", named, err, c.asked)
		}
	}
}
