package mtls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	capb "github.com/muster/muster/proto/ca/v1"
)

// NewRequest returns a new private key and the PEM request to certify it. The
// key never leaves the node; who the node is, the cluster decides.
func NewRequest() (key *ecdsa.PrivateKey, csrPEM []byte, err error) {
	key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make private key: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, nil, fmt.Errorf("make certificate request: %w", err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// Accept turns the cluster's answer to a request into credentials, and fails
// unless the certificate is for the key, valid now and signed by the root
// that came with it.
func Accept(key crypto.Signer, resp *capb.IssueNodeCertificateResponse) (*Credentials, error) {
	c, err := NewCredentials(key, resp.GetCertificatePem(), resp.GetRootPem())
	if err != nil {
		return nil, fmt.Errorf("accept certificate: %w", err)
	}
	if err := c.Check(time.Now()); err != nil {
		return nil, fmt.Errorf("accept certificate: %w", err)
	}
	told := Identity{NodeID: resp.GetNodeId(), ClusterID: resp.GetClusterId(), Role: resp.GetRole()}
	if told != c.Identity {
		return nil, fmt.Errorf("accept certificate: it is for %+v, the answer speaks of %+v", c.Identity, told)
	}
	return c, nil
}
