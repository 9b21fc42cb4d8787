package image_test

import (
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/proto/image"
)

func TestRefusal(t *testing.T) {
	status := errors.New("unexpected status from HEAD request to https://r.example.com/v2/a: 403 Forbidden")
	tests := map[string]struct {
		refusal image.Refusal
		want    string
		kind    func(error) bool
	}{
		"not there": {
			image.Refusal{Err: fmt.Errorf("r.example.com/a: %w", errdefs.ErrNotFound)},
			"does not have it; check the name", errdefs.IsNotFound,
		},
		"no login": {
			image.Refusal{Err: errors.New("pull access denied: authorization failed"), Unauthorized: true},
			"does not have it or wants a login; check the name, pass on the login of this client with --with-registry-auth", errdefs.IsPermissionDenied,
		},
		"no login, by kind": {
			image.Refusal{Err: errdefs.ErrUnauthenticated},
			"does not have it or wants a login; check the name, pass on the login of this client with --with-registry-auth", errdefs.IsPermissionDenied,
		},
		"another login": {
			image.Refusal{Err: status, StatusCode: 403},
			"refuses the login given with --with-registry-auth (403 Forbidden); log in again", errdefs.IsPermissionDenied,
		},
		"a fault of its own": {
			image.Refusal{Err: errors.New("unexpected status: 502 Bad Gateway"), StatusCode: 502},
			"cannot be asked: unexpected status: 502 Bad Gateway; try again later", errdefs.IsUnavailable,
		},
		"no TLS": {
			image.Refusal{Err: &url.Error{Op: "Head", URL: "https://r.example.com", Err: errors.New("http: server gave HTTP response to HTTPS client")}},
			`speaks HTTP, not HTTPS; to allow that, name it as server = "http://…" in its hosts.toml, see --registry-dir of the daemon`, errdefs.IsUnavailable,
		},
		"nobody there": {
			image.Refusal{Err: fmt.Errorf("resolve: %w", &url.Error{Op: "Head", URL: "https://r.example.com", Err: errors.New("dial tcp: no such host")})},
			"cannot be reached: dial tcp: no such host; check the name, and how nodes get there (DNS, firewall, proxy)", errdefs.IsUnavailable,
		},
		"no answer": {
			image.Refusal{Err: fmt.Errorf("resolve: %w", image.NoAnswer(10*time.Second))},
			"cannot be reached: resolve: no answer in 10s; check the name, and how nodes get there (DNS, firewall, proxy)", errdefs.IsUnavailable,
		},
		"asked too often": {
			image.Refusal{Err: errors.New("unexpected status: 429 Too Many Requests"), StatusCode: 429},
			"cannot be asked: unexpected status: 429 Too Many Requests; try again later", errdefs.IsUnavailable,
		},
		"no such kind of thing": {
			image.Refusal{Err: errors.New("unexpected status: 405 Method Not Allowed"), StatusCode: 405},
			"cannot be asked: unexpected status: 405 Method Not Allowed; check the name", errdefs.IsUnavailable,
		},
		"an answer that is none": {
			image.Refusal{Err: errors.New("registry sent content a for b")}, "cannot be asked: registry sent content a for b; try again later", errdefs.IsUnavailable,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.refusal.Registry = "r.example.com"
			if got, want := tt.refusal.Error(), "registry r.example.com "+tt.want; got != want {
				t.Errorf("%q, want %q", got, want)
			}
			if err := error(&tt.refusal); !tt.kind(err) {
				t.Errorf("%v is of another kind", errors.Unwrap(err))
			}
		})
	}
}
