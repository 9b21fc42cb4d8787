package image

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/containerd/errdefs"
)

// LoadRemedy ends a sentence about an image that no registry gave.
const LoadRemedy = `or give it to a node with "muster image load"`

// plainHTTP is how net/http tells of a server without TLS, as text only.
const plainHTTP = "server gave HTTP response to HTTPS client"

// Refusal is why a registry did not give an image. As an error it is one line
// that says what is wrong and what to do, of the kind errdefs.ErrNotFound (the
// registry does not have it), ErrPermissionDenied (it wants another login) or
// ErrUnavailable (it could not be asked: another time it may be).
type Refusal struct {
	// Registry is its host.
	Registry string
	// Err is what the registry's client said.
	Err error
	// StatusCode is that of the registry's last answer, if Err comes from one
	// that has no kind of its own; else 0.
	StatusCode int
	// Unauthorized: the client gave up since the registry wants a login that
	// it does not have.
	Unauthorized bool
}

// NoAnswer is that a registry did not answer for so long.
type NoAnswer time.Duration

// Error tells for how long.
func (n NoAnswer) Error() string { return "no answer in " + time.Duration(n).String() }

// wayThere is what to do where no registry was found behind the name.
const wayThere = "check the name, and how nodes get there (DNS, firewall, proxy)"

// Error is the line, such as "registry docker.io does not have it; check the name".
func (r *Refusal) Error() string {
	what, remedy, _ := r.judge()
	return fmt.Sprintf("registry %s %s; %s", r.Registry, what, remedy)
}

// Unwrap returns the kind.
func (r *Refusal) Unwrap() error {
	_, _, kind := r.judge()
	return kind
}

func (r *Refusal) judge() (what, remedy string, kind error) {
	request, unreached := errors.AsType[*url.Error](r.Err)
	_, silent := errors.AsType[NoAnswer](r.Err)
	switch {
	case errdefs.IsNotFound(r.Err):
		return "does not have it", "check the name", errdefs.ErrNotFound
	case r.Unauthorized || errdefs.IsUnauthorized(r.Err) || errdefs.IsPermissionDenied(r.Err):
		// Registries do not tell strangers what they have.
		return "does not have it or wants a login",
			"check the name, pass on the login of this client with --with-registry-auth", errdefs.ErrPermissionDenied
	case r.StatusCode == http.StatusUnauthorized || r.StatusCode == http.StatusForbidden:
		return fmt.Sprintf("refuses the login given with --with-registry-auth (%d %s)", r.StatusCode, http.StatusText(r.StatusCode)),
			"log in again", errdefs.ErrPermissionDenied
	case strings.Contains(r.Err.Error(), plainHTTP):
		return "speaks HTTP, not HTTPS",
			`to allow that, name it as server = "http://…" in its hosts.toml, see --registry-dir of the daemon`, errdefs.ErrUnavailable
	case unreached:
		return "cannot be reached: " + request.Err.Error(), wayThere, errdefs.ErrUnavailable
	case silent:
		return "cannot be reached: " + r.Err.Error(), wayThere, errdefs.ErrUnavailable
	case r.StatusCode >= http.StatusBadRequest && r.StatusCode < http.StatusInternalServerError && r.StatusCode != http.StatusTooManyRequests:
		return "cannot be asked: " + r.Err.Error(), "check the name", errdefs.ErrUnavailable
	}
	return "cannot be asked: " + r.Err.Error(), "try again later", errdefs.ErrUnavailable
}
