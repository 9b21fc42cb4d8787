package resolver

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

// plainHTTP is how net/http tells of a server without TLS, as text only.
const plainHTTP = "server gave HTTP response to HTTPS client"

// explain says in one line what is wrong and what to do.
func explain(image string, named reference.Named, err error) error {
	// Not Unavailable: that is what a cluster without a leader answers, and
	// clients would ask again.
	var kind error = errdefs.ErrFailedPrecondition
	what, remedy := "cannot be asked: "+err.Error(), "check the name"
	answer, answered := errors.AsType[remoteerrors.ErrUnexpectedStatus](err)
	request, unreached := errors.AsType[*url.Error](err)
	switch {
	case errdefs.IsNotFound(err):
		kind, what = errdefs.ErrNotFound, "does not have it"
	case errors.Is(err, docker.ErrInvalidAuthorization):
		what, remedy = "does not have it or wants a login", "check the name, hand on the login of this shell by --with-registry-auth"
	case answered && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden):
		what, remedy = fmt.Sprintf("refuses the login given by --with-registry-auth (%s)", answer.Status), "log in again"
	case strings.Contains(err.Error(), plainHTTP):
		what, remedy = "speaks HTTP, not HTTPS", `to allow that name it as server = "http://…" in its hosts.toml, see --registry-dir of the daemon`
	case unreached:
		what = "cannot be reached: " + request.Err.Error()
	}
	return fmt.Errorf("image %q: no node holds it and %s %s; %s, or give it to a node with \"muster image load\": %w",
		image, reference.Domain(named), what, remedy, kind)
}
