package mtls

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
)

// Credentials are a node's identity with the means to prove it. They do not
// change; a renewal makes new ones.
type Credentials struct {
	Identity Identity
	// Certificate is the private key and the chain shown to peers, Leaf set.
	Certificate tls.Certificate
	// RootPEM holds the root certificates that peers are verified against;
	// more than one only while the root is being rotated.
	RootPEM []byte

	roots *x509.CertPool
}

// Holder gives every part of the daemon the node's current credentials. The
// zero value holds none.
type Holder struct{ current atomic.Pointer[Credentials] }

// Current returns the credentials to use now, nil before the node has any.
func (h *Holder) Current() *Credentials { return h.current.Load() }

// Set replaces the credentials; connections made from now on use them.
func (h *Holder) Set(c *Credentials) { h.current.Store(c) }

// NewCredentials puts together a key, the PEM chain issued for it (leaf
// first) and the PEM roots, and fails unless they belong together. It does
// not look at the clock: see [Credentials.Check].
func NewCredentials(key crypto.Signer, chainPEM, rootPEM []byte) (*Credentials, error) {
	chain, err := parseCertificates(chainPEM)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	roots, err := parseCertificates(rootPEM)
	if err != nil {
		return nil, fmt.Errorf("read root certificate: %w", err)
	}
	return newCredentials(key, chain, roots)
}

func newCredentials(key crypto.Signer, chain, roots []*x509.Certificate) (*Credentials, error) {
	if len(chain) == 0 || len(roots) == 0 {
		return nil, errors.New("a node's certificate and a root certificate are needed")
	}
	leaf := chain[0]
	public, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(key.Public()) {
		return nil, errors.New("the certificate is not for the private key beside it")
	}
	id, err := FromCertificate(leaf)
	if err != nil {
		return nil, err
	}
	c := &Credentials{
		Identity:    id,
		Certificate: tls.Certificate{PrivateKey: key, Leaf: leaf},
		RootPEM:     marshalCertificates(roots),
		roots:       x509.NewCertPool(),
	}
	for _, cert := range chain {
		c.Certificate.Certificate = append(c.Certificate.Certificate, cert.Raw)
	}
	for _, root := range roots {
		c.roots.AddCert(root)
	}
	// At the middle of its life, so that an expired one still loads and can
	// be explained as expired.
	middle := leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)
	if err := c.verifyChain(chain, middle, x509.ExtKeyUsageAny, ""); err != nil {
		return nil, fmt.Errorf("the certificate of node %s is not signed by the root beside it: %w", id.NodeID, err)
	}
	return c, nil
}

// Check reports in one line why the certificate is not valid at now.
func (c *Credentials) Check(now time.Time) error { return checkTime(c.Certificate.Leaf, now) }

// NotAfter is when the certificate expires.
func (c *Credentials) NotAfter() time.Time { return c.Certificate.Leaf.NotAfter }

// verifyPeer returns who a peer's chain proves it to be. The name, when not
// empty, must be one of the certificate's.
func (c *Credentials) verifyPeer(chain []*x509.Certificate, usage x509.ExtKeyUsage, name string) (Identity, error) {
	id, err := FromCertificate(chain[0])
	if err != nil {
		return Identity{}, err
	}
	if id.ClusterID != c.Identity.ClusterID {
		return Identity{}, errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf(
			"node %s belongs to another cluster (%s, this is %s)", id.NodeID, id.ClusterID, c.Identity.ClusterID))
	}
	now := time.Now()
	if err := checkTime(chain[0], now); err != nil {
		return Identity{}, err
	}
	if err := c.verifyChain(chain, now, usage, name); err != nil {
		return Identity{}, errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf(
			"certificate of node %s is not one of cluster %s: %v", id.NodeID, c.Identity.ClusterID, err))
	}
	return id, nil
}

func (c *Credentials) verifyChain(chain []*x509.Certificate, now time.Time, usage x509.ExtKeyUsage, name string) error {
	intermediates := x509.NewCertPool()
	for _, cert := range chain[1:] {
		intermediates.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots:         c.roots,
		Intermediates: intermediates,
		CurrentTime:   now,
		DNSName:       name,
		KeyUsages:     []x509.ExtKeyUsage{usage},
	})
	return err
}

func parseCertificates(data []byte) (certs []*x509.Certificate, err error) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("there is a %q where only certificates belong", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if len(bytes.TrimSpace(data)) > 0 || len(certs) == 0 {
		return nil, errors.New("not PEM, or cut short")
	}
	return certs, nil
}

func marshalCertificates(certs []*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, cert := range certs {
		// Writing to memory does not fail.
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	}
	return b.Bytes()
}
