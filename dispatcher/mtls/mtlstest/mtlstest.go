// Package mtlstest issues node certificates for tests, good and bad ones.
package mtlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/muster/muster/dispatcher/mtls"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Roles, in short.
const (
	Manager = clusterpb.NodeRole_NODE_ROLE_MANAGER
	Worker  = clusterpb.NodeRole_NODE_ROLE_WORKER
)

// CA signs for one cluster.
type CA struct {
	ClusterID string
	RootPEM   []byte

	t    testing.TB
	key  *ecdsa.PrivateKey
	root *x509.Certificate
}

// New returns a CA with a root of its own.
func New(t testing.TB, clusterID string) *CA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "test-ca", Organization: []string{clusterID}},
		NotBefore:             time.Now().Add(-100 * 24 * time.Hour),
		NotAfter:              time.Now().Add(20 * 365 * 24 * time.Hour),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &CA{ClusterID: clusterID, RootPEM: encode(der), t: t, key: key, root: root}
}

// Issue returns credentials that are valid for 90 days.
func (ca *CA) Issue(nodeID string, role clusterpb.NodeRole) *mtls.Credentials {
	ca.t.Helper()
	return ca.IssueUntil(nodeID, role, time.Now().Add(90*24*time.Hour))
}

// IssueUntil returns credentials that expire, or have expired, at notAfter.
func (ca *CA) IssueUntil(nodeID string, role clusterpb.NodeRole, notAfter time.Time) *mtls.Credentials {
	ca.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		ca.t.Fatal(err)
	}
	c, err := mtls.NewCredentials(key, ca.Sign(&key.PublicKey, nodeID, role, notAfter), ca.RootPEM)
	if err != nil {
		ca.t.Fatal(err)
	}
	return c
}

// Sign returns the PEM certificate of a public key.
func (ca *CA) Sign(public any, nodeID string, role clusterpb.NodeRole, notAfter time.Time) []byte {
	ca.t.Helper()
	id := mtls.Identity{NodeID: nodeID, ClusterID: ca.ClusterID, Role: role}
	made := time.Now()
	if notAfter.Before(made) {
		made = notAfter.Add(-time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      id.Subject(),
		DNSNames:     id.DNSNames(),
		NotBefore:    made.Add(-mtls.Backdate),
		NotAfter:     notAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, ca.root, public, ca.key)
	if err != nil {
		ca.t.Fatal(err)
	}
	return encode(der)
}

// Holding returns a holder of the credentials.
func Holding(c *mtls.Credentials) *mtls.Holder {
	h := new(mtls.Holder)
	h.Set(c)
	return h
}

func encode(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
