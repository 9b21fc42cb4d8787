package images

import (
	"context"
	"errors"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"

	"github.com/muster/muster/proto/credential"
	"github.com/muster/muster/proto/image"
)

// fromRegistry pulls r and keeps it under its digest.
func (s *Store) fromRegistry(ctx context.Context, r image.Ref, auth string, progress func(Progress)) (images.Image, error) {
	login, err := credential.Parse(auth)
	if err != nil {
		return images.Image{}, err
	}
	record, err := s.pull(ctx, r, registryOf(ctx, s.cfg.CertsDir, r, login), s.cfg.Stall, progress)
	if err != nil {
		return images.Image{}, refusal(r, err)
	}
	return record, nil
}

// registryOf talks to registries and to the mirrors that hosts.toml names.
func registryOf(ctx context.Context, certsDir string, r image.Ref, login credential.Login) remotes.Resolver {
	return docker.NewResolver(docker.ResolverOptions{
		Hosts: config.ConfigureHosts(ctx, config.HostOptions{
			HostDir: config.HostDirFromRoot(certsDir),
			Credentials: func(host string) (user, secret string, err error) {
				user, secret = login.For(r.Registry(), host)
				return user, secret, nil
			},
		}),
	})
}

func refusal(r image.Ref, err error) error {
	answer, _ := errors.AsType[remoteerrors.ErrUnexpectedStatus](err)
	return &image.Refusal{
		Registry: r.Registry(), Err: err, StatusCode: answer.StatusCode,
		Unauthorized: errors.Is(err, docker.ErrInvalidAuthorization),
	}
}
