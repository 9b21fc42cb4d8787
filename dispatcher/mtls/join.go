package mtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/muster/muster/dispatcher/rpcerror"
	capb "github.com/muster/muster/proto/ca/v1"
	"github.com/muster/muster/proto/jointoken"
)

const (
	// DefaultPort is the control port of a manager, TCP.
	DefaultPort = "2377"

	joinTimeout = 10 * time.Second
	joinRetry   = 250 * time.Millisecond
)

// Join gets a certificate from the manager at addr (HOST or HOST:PORT) for
// the join token. It takes 10 s at most, and changes nothing on this node:
// save what it returns. subnets are those of the cluster's tasks. The options are added to those it dials with.
func Join(ctx context.Context, addr, token string, opts ...grpc.DialOption) (c *Credentials, subnets []string, err error) {
	parsed, err := jointoken.Parse(token)
	if err != nil {
		return nil, nil, err
	}
	if addr, err = managerAddress(addr); err != nil {
		return nil, nil, err
	}
	key, csr, err := NewRequest()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()

	rootPEM, err := fetchRoot(ctx, addr, opts)
	if err != nil {
		return nil, nil, explainUnreachable(addr, err)
	}
	if !parsed.Pins(rootPEM) {
		return nil, nil, errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf(
			"this join token belongs to another cluster than the manager at %s", addr))
	}
	resp, err := requestCertificate(ctx, addr, rootPEM, parsed.Secret, csr, opts)
	if err != nil {
		return nil, nil, err
	}
	c, err = Accept(key, resp)
	return c, resp.GetSubnets(), err
}

func managerAddress(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	var malformed *net.AddrError
	if errors.As(err, &malformed) && malformed.Err == "missing port in address" {
		host, port, err = net.SplitHostPort(net.JoinHostPort(trimBrackets(addr), DefaultPort))
	}
	if err != nil || host == "" || port == "" {
		return "", errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"manager address %q is not HOST or HOST:PORT, such as 192.0.2.7:%s", addr, DefaultPort))
	}
	return net.JoinHostPort(host, port), nil
}

func trimBrackets(host string) string {
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1]
	}
	return host
}

// fetchRoot asks whoever answers at addr for the root certificate. The answer
// is worth nothing until it was held against the token's digest.
func fetchRoot(ctx context.Context, addr string, opts []grpc.DialOption) ([]byte, error) {
	cc, err := dialJoin(addr, &tls.Config{
		MinVersion:         tls.VersionTLS13,
		NextProtos:         []string{"h2"},
		InsecureSkipVerify: true, //nolint:gosec // the token tells the root, not the connection
	}, opts)
	if err != nil {
		return nil, err
	}
	defer func() { _ = cc.Close() }()
	resp, err := capb.NewCAServiceClient(cc).GetRootCA(ctx, &capb.GetRootCARequest{})
	return resp.GetRootPem(), err
}

// requestCertificate shows the secret, to a manager of the pinned root only.
// It asks again while the cluster is choosing a leader: the request names the
// same key each time, so it is one node however often it arrives.
func requestCertificate(ctx context.Context, addr string, rootPEM []byte, secret string, csr []byte, opts []grpc.DialOption) (*capb.IssueNodeCertificateResponse, error) {
	// gRPC reports a failed handshake as text and kind Unavailable, like a
	// cluster without a leader; the first is final.
	var refused atomic.Pointer[error]
	pinned, err := pinnedTLS(rootPEM, func(err error) { refused.Store(&err) })
	if err != nil {
		return nil, fmt.Errorf("join via %s: %w", addr, err)
	}
	cc, err := dialJoin(addr, pinned, opts)
	if err != nil {
		return nil, err
	}
	defer func() { _ = cc.Close() }()
	client := capb.NewCAServiceClient(cc)
	var last error // why the cluster was not ready when last asked
	for {
		resp, err := client.IssueNodeCertificate(ctx, &capb.IssueNodeCertificateRequest{CsrPem: csr, Token: secret})
		if err == nil {
			return resp, nil
		}
		if cause := refused.Load(); cause != nil {
			return nil, fmt.Errorf("join via %s: %w", addr, *cause)
		}
		switch {
		case errdefs.IsUnavailable(err):
			last = err
		case errdefs.IsDeadlineExceeded(err) && last == nil:
			return nil, explainUnreachable(addr, err)
		case errdefs.IsDeadlineExceeded(err):
			return nil, fmt.Errorf("join via %s: %w", addr, last)
		default:
			return nil, fmt.Errorf("join via %s: %w", addr, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("join via %s: %w", addr, last)
		case <-time.After(joinRetry):
		}
	}
}

// pinnedTLS accepts a manager whose certificate the pinned root signed. The
// cluster's id is not known yet; it is the root's. Whom it does not accept is
// reported to refuse.
func pinnedTLS(rootPEM []byte, refuse func(error)) (*tls.Config, error) {
	roots, err := parseCertificates(rootPEM)
	if err != nil {
		return nil, fmt.Errorf("read root certificate: %w", err)
	}
	// The token pins the first; nothing vouches for any other.
	if len(roots[0].Subject.Organization) != 1 {
		return nil, errors.New("the manager's root certificate is not one of a muster cluster")
	}
	c := &Credentials{
		Identity: Identity{ClusterID: roots[0].Subject.Organization[0]},
		roots:    x509.NewCertPool(),
	}
	c.roots.AddCert(roots[0])
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		NextProtos:         []string{"h2"},
		InsecureSkipVerify: true, //nolint:gosec // see ClientTLS
		VerifyConnection: func(cs tls.ConnectionState) error {
			err := verifyServer(c, AnyManager(), cs)
			if err != nil {
				refuse(err)
			}
			return err
		},
	}, nil
}

func dialJoin(addr string, config *tls.Config, opts []grpc.DialOption) (*grpc.ClientConn, error) {
	all := append(rpcerror.DialOptions(),
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithNoProxy())
	cc, err := grpc.NewClient("passthrough:///"+addr, append(all, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	return cc, nil
}

func explainUnreachable(addr string, err error) error {
	var cause string
	switch {
	case errdefs.IsDeadlineExceeded(err):
		cause = fmt.Sprintf("no answer within %s", joinTimeout)
	case errdefs.IsNotImplemented(err):
		cause = "what answers there is not a manager"
	case errdefs.IsCanceled(err):
		return fmt.Errorf("join via %s: %w", addr, err)
	default:
		cause = err.Error()
	}
	return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf(
		`cannot reach a manager at %s: %s; check the address, that "muster daemon" runs there as a manager, and that its TCP port is open`,
		addr, cause))
}
