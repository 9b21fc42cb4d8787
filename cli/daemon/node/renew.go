package node

import (
	"context"

	"google.golang.org/grpc"

	"github.com/muster/muster/dispatcher/mtls"
	capb "github.com/muster/muster/proto/ca/v1"
)

// renewer keeps the certificate valid.
func (m *member) renewer() *mtls.Renewer {
	return &mtls.Renewer{
		Holder:  m.holder,
		Request: m.certify,
		Save:    func(c *mtls.Credentials) error { return c.Save(m.node.cfg.identityDir()) },
	}
}

// certify asks a manager for a certificate. None answers a node whose own is
// not valid; a manager then helps itself.
func (m *member) certify(ctx context.Context, csr []byte) (resp *capb.IssueNodeCertificateResponse, err error) {
	if m.manager != nil && m.trouble() != nil {
		return m.manager.Reissue(ctx, csr)
	}
	err = m.ask(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		resp, err = capb.NewCAServiceClient(conn).IssueNodeCertificate(ctx, &capb.IssueNodeCertificateRequest{CsrPem: csr})
		return err
	})
	return resp, err
}
