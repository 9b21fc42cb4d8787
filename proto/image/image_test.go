package image_test

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/muster/muster/proto/image"
)

const (
	content = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	other   = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
)

func TestParse(t *testing.T) {
	tests := map[string]struct {
		written                                             string
		registry, name, exact, full, familiar, brief, short string
		pinned                                              bool
	}{
		"a name": {
			written: "nginx", registry: "docker.io",
			name: "docker.io/library/nginx:latest", exact: "docker.io/library/nginx:latest",
			full: "docker.io/library/nginx", familiar: "nginx", brief: "nginx", short: "nginx",
		},
		"with a tag": {
			written: "nginx:1.29", registry: "docker.io",
			name: "docker.io/library/nginx:1.29", exact: "docker.io/library/nginx:1.29",
			full: "docker.io/library/nginx:1.29", familiar: "nginx:1.29", brief: "nginx:1.29", short: "nginx",
		},
		"with a digest": {
			written: "nginx@" + content, registry: "docker.io", pinned: true,
			name: "docker.io/library/nginx@" + content, exact: "docker.io/library/nginx@" + content,
			full: "docker.io/library/nginx@" + content, familiar: "nginx@" + content, brief: "nginx@" + content, short: "nginx",
		},
		"with both": {
			written: "nginx:1.29@" + content, registry: "docker.io", pinned: true,
			name: "docker.io/library/nginx:1.29", exact: "docker.io/library/nginx@" + content,
			full: "docker.io/library/nginx:1.29@" + content, familiar: "nginx:1.29@" + content, brief: "nginx:1.29", short: "nginx",
		},
		"of a user": {
			written: "ann/web:2", registry: "docker.io",
			name: "docker.io/ann/web:2", exact: "docker.io/ann/web:2",
			full: "docker.io/ann/web:2", familiar: "ann/web:2", brief: "ann/web:2", short: "ann/web",
		},
		"in full": {
			written: "docker.io/library/nginx:1.29", registry: "docker.io",
			name: "docker.io/library/nginx:1.29", exact: "docker.io/library/nginx:1.29",
			full: "docker.io/library/nginx:1.29", familiar: "nginx:1.29", brief: "nginx:1.29", short: "nginx",
		},
		"by Docker Hub's old name": {
			written: "index.docker.io/nginx", registry: "docker.io",
			name: "docker.io/library/nginx:latest", exact: "docker.io/library/nginx:latest",
			full: "docker.io/library/nginx", familiar: "nginx", brief: "nginx", short: "nginx",
		},
		"of a registry with a port": {
			written: "localhost:5000/team/web", registry: "localhost:5000",
			name: "localhost:5000/team/web:latest", exact: "localhost:5000/team/web:latest",
			full: "localhost:5000/team/web", familiar: "localhost:5000/team/web", brief: "localhost:5000/team/web", short: "localhost:5000/team/web",
		},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			r, err := image.Parse(tt.written)
			if err != nil {
				t.Fatal(err)
			}
			for what, is := range map[string][2]string{
				"registry":      {r.Registry(), tt.registry},
				"name":          {r.Name(), tt.name},
				"exact":         {r.Exact(), tt.exact},
				"full":          {r.String(), tt.full},
				"familiar":      {r.Familiar(), tt.familiar},
				"familiar name": {r.FamiliarName(), tt.short},
				"in short":      {image.Familiar(tt.written), tt.familiar},
				"brief":         {image.Brief(tt.written), tt.brief},
			} {
				if is[0] != is[1] {
					t.Errorf("%s: %q, want %q", what, is[0], is[1])
				}
			}
			if r.IsPinned() != tt.pinned {
				t.Errorf("pinned: %v", r.IsPinned())
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []string{
		"", "NGINX", "nginx:", "nginx:::", "nginx@sha256:1", "nginx@" + content[:20], "a b", "/nginx",
		strings.TrimPrefix(content, "sha256:"), // an image id is no name
	} {
		_, err := image.Parse(s)
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), s) {
			t.Errorf("%q: %v, want to be told that it is no image", s, err)
		}
		if image.Familiar(s) != s || image.Brief(s) != s {
			t.Errorf("%q was changed to %q and %q", s, image.Familiar(s), image.Brief(s))
		}
	}
}

func TestPin(t *testing.T) {
	tests := map[string]struct{ written, want string }{
		"a name":        {"nginx", "nginx:latest@" + content},
		"with a tag":    {"nginx:1.29", "nginx:1.29@" + content},
		"pinned before": {"nginx:1.29@" + other, "nginx:1.29@" + content},
		"digest alone":  {"nginx@" + other, "nginx@" + content},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			r, err := image.Parse(tt.written)
			if err != nil {
				t.Fatal(err)
			}
			pinned := r.Pin(digest.Digest(content))
			if got := pinned.Familiar(); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
			if !pinned.IsPinned() {
				t.Error("it is not pinned")
			}
		})
	}
}

// FuzzParse: what is read and written in full or in short is read as the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"nginx", "nginx:1", "a.b:5000/c/d:e@" + content, "nginx@" + content, "NGINX", "docker.io/nginx", "localhost/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := image.Parse(s)
		if err != nil {
			return
		}
		for _, form := range []string{r.String(), r.Familiar()} {
			again, err := image.Parse(form)
			if err != nil || again != r {
				t.Errorf("%q is %+v, but written as %q it is %+v (%v)", s, r, form, again, err)
			}
		}
		if r.Registry() == "" {
			t.Errorf("%q has no registry", s)
		}
		if named, err := image.Parse(r.Name()); err != nil || named.Name() != r.Name() {
			t.Errorf("%q is kept as %q, which is read as %q (%v)", s, r.Name(), named.Name(), err)
		}
	})
}
