package images

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
)

// credential is what Docker's X-Registry-Auth header holds.
type credential struct {
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
	ServerAddress string `json:"serveraddress"`
}

// parseCredential reads base64 JSON, in either of the alphabets that clients
// use. An empty string is no credential.
func parseCredential(auth string) (credential, error) {
	var c credential
	if auth == "" {
		return c, nil
	}
	raw, err := base64.URLEncoding.DecodeString(auth)
	if err != nil {
		raw, err = base64.StdEncoding.DecodeString(auth)
	}
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil {
		return c, fmt.Errorf("registry credential: want base64 JSON as in X-Registry-Auth: %w", errdefs.ErrInvalidArgument)
	}
	return c, nil
}

// login returns user and secret in the form containerd's authorizer takes: a
// secret without a user is a token.
func (c credential) login(string) (user, secret string, err error) {
	switch {
	case c.IdentityToken != "":
		return "", c.IdentityToken, nil
	case c.RegistryToken != "":
		return "", c.RegistryToken, nil
	default:
		return c.Username, c.Password, nil
	}
}

// fromRegistry pulls r.
func (s *Store) fromRegistry(ctx context.Context, r ref, auth string, labels map[string]string,
	progress func(Progress),
) (images.Image, error) {
	cred, err := parseCredential(auth)
	if err != nil {
		return images.Image{}, err
	}
	want := r.name
	if r.digest != "" {
		want = r.pinned()
	}
	record, err := s.pull(ctx, want, s.resolver(ctx, cred), labels, progress)
	if err != nil {
		return images.Image{}, fmt.Errorf("registry %s: %w", r.domain, explain(err))
	}
	return record, nil
}

// resolver talks to registries and to the mirrors that hosts.toml names.
func (s *Store) resolver(ctx context.Context, cred credential) remotes.Resolver {
	return docker.NewResolver(docker.ResolverOptions{
		Hosts: config.ConfigureHosts(ctx, config.HostOptions{
			HostDir:     config.HostDirFromRoot(s.cfg.CertsDir),
			Credentials: cred.login,
		}),
	})
}

// plainHTTP is how net/http tells of a server without TLS, as text only.
const plainHTTP = "server gave HTTP response to HTTPS client"

// explain turns what registries answer into a few words.
func explain(err error) error {
	switch {
	case errdefs.IsNotFound(err):
		return fmt.Errorf("it is not there: %w", errdefs.ErrNotFound)
	case errdefs.IsUnauthorized(err), errdefs.IsPermissionDenied(err), errors.Is(err, docker.ErrInvalidAuthorization):
		return fmt.Errorf("it is not there or needs a login; services hand theirs on by --with-registry-auth: %w", errdefs.ErrPermissionDenied)
	}
	if answer, ok := errors.AsType[remoteerrors.ErrUnexpectedStatus](err); ok &&
		(answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden) {
		return fmt.Errorf("it refuses this login (%s): log in again: %w", answer.Status, errdefs.ErrPermissionDenied)
	}
	if strings.Contains(err.Error(), plainHTTP) {
		return fmt.Errorf(`it speaks HTTP, not HTTPS: to allow that name it as server = "http://…" in its hosts.toml, see --registry-dir of the daemon: %w`,
			errdefs.ErrUnavailable)
	}
	if request, ok := errors.AsType[*url.Error](err); ok {
		err = fmt.Errorf("cannot reach it: %w", request.Err)
	}
	return fmt.Errorf("%w: %w", err, errdefs.ErrUnavailable)
}
