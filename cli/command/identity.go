package command

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc/credentials"

	"github.com/muster/muster/dispatcher/mtls"
)

// identity loads the certificate that this command shows to a tcp host.
func (l *link) identity() (credentials.TransportCredentials, error) {
	dir := l.env.Identity
	if dir == "" {
		dir = l.env.Getenv("MUSTER_IDENTITY")
	}
	if dir == "" {
		dir = DefaultIdentity
	}
	creds, err := mtls.Load(dir)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("cannot read the node certificate in %s: run this as root (sudo), or name a copy of the directory with --identity", dir)
	case errdefs.IsNotFound(err):
		return nil, fmt.Errorf("a tcp host asks for a node certificate, and %s holds none: run this on a node of the cluster, or name a copy of a manager's identity directory with --identity", dir)
	case err != nil:
		return nil, fmt.Errorf("read the node certificate in %s: %w", dir, err)
	}
	if err := creds.Check(time.Now()); err != nil {
		return nil, fmt.Errorf("the node certificate in %s: %w", dir, err)
	}
	return mtls.ClientCredentials(func() *mtls.Credentials { return creds }, mtls.AnyManager()), nil
}
