package ca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/dispatcher/mtls"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/id"
)

const (
	// DefaultExpiry of node certificates.
	DefaultExpiry = 2160 * time.Hour
	// MinExpiry is the shortest that leaves time to renew.
	MinExpiry = time.Hour
)

// Signer signs with a cluster's root.
type Signer struct {
	clusterID string
	root      *x509.Certificate
	rootPEM   []byte
	key       *ecdsa.PrivateKey
}

// NewSigner returns the signer of the root made by NewRoot.
func NewSigner(clusterID string, rootCertPEM, rootKeyPEM []byte) (*Signer, error) {
	root, key, err := parseRoot(rootCertPEM, rootKeyPEM)
	if err != nil {
		return nil, err
	}
	return &Signer{clusterID: clusterID, root: root, rootPEM: rootCertPEM, key: key}, nil
}

// isOf reports whether the signer was made of the cluster's current root.
func (s *Signer) isOf(c Cluster) bool {
	return s.clusterID == c.ID && bytes.Equal(s.rootPEM, c.RootCert)
}

// Sign certifies the key of a PEM request for a node. Nothing but the key is
// taken from the request. An expiry of zero means [DefaultExpiry], a shorter
// one than [MinExpiry] means that; no certificate outlives the root.
func (s *Signer) Sign(csrPEM []byte, nodeID string, role clusterpb.NodeRole, expiry time.Duration) ([]byte, error) {
	public, err := requestedKey(csrPEM)
	if err != nil {
		return nil, err
	}
	if expiry == 0 {
		expiry = DefaultExpiry
	}
	now := time.Now()
	notAfter := now.Add(max(expiry, MinExpiry))
	if s.root.NotAfter.Before(notAfter) {
		notAfter = s.root.NotAfter
	}
	who := mtls.Identity{NodeID: nodeID, ClusterID: s.clusterID, Role: role}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               who.Subject(),
		DNSNames:              who.DNSNames(),
		NotBefore:             now.Add(-mtls.Backdate),
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}, s.root, public, s.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate of node %s: %w", nodeID, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// Issue makes a key and certificate for a node in one step: how the first
// manager, which has nobody to ask, gets its credentials at init.
func (s *Signer) Issue(nodeID string, role clusterpb.NodeRole, expiry time.Duration) (*mtls.Credentials, error) {
	key, csr, err := mtls.NewRequest()
	if err != nil {
		return nil, err
	}
	cert, err := s.Sign(csr, nodeID, role, expiry)
	if err != nil {
		return nil, err
	}
	return mtls.NewCredentials(key, cert, s.rootPEM)
}

// requestedKey returns the key of a request that proves to hold it.
func requestedKey(csrPEM []byte) (*ecdsa.PublicKey, error) {
	block, _ := pem.Decode(csrPEM)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errdefs.ErrInvalidArgument.WithMessage("certificate request is not PEM")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("certificate request: %v", err))
	}
	public, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, errdefs.ErrInvalidArgument.WithMessage(
			fmt.Sprintf("certificate request is for a %s key, it must be ECDSA P-256", csr.PublicKeyAlgorithm))
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("certificate request: %v", err))
	}
	return public, nil
}

// nodeIDOf derives the id of a new node from its key: a join that is repeated
// because its answer was lost is the same node again. The form is id.New's.
func nodeIDOf(csrPEM []byte) (string, error) {
	public, err := requestedKey(csrPEM)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("read key of certificate request: %w", err)
	}
	sum := sha256.Sum256(der)
	s := new(big.Int).SetBytes(sum[:16]).Text(36)
	return strings.Repeat("0", id.Length-len(s)) + s, nil
}
