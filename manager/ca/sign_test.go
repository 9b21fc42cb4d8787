package ca

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"github.com/muster/muster/dispatcher/mtls"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/id"
)

const (
	worker  = clusterpb.NodeRole_NODE_ROLE_WORKER
	manager = clusterpb.NodeRole_NODE_ROLE_MANAGER
)

func newSigner(t *testing.T) *Signer {
	t.Helper()
	cert, key, err := NewRoot("c1")
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSigner("c1", cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRoot(t *testing.T) {
	s := newSigner(t)
	if s.root.Subject.Organization[0] != "c1" || !s.root.IsCA || s.root.CheckSignatureFrom(s.root) != nil {
		t.Errorf("root %v is not a self-signed CA of c1", s.root.Subject)
	}
	if life := time.Until(s.root.NotAfter); life < 19*365*24*time.Hour {
		t.Errorf("root lives %v", life)
	}
}

func TestSign(t *testing.T) {
	s := newSigner(t)
	tests := map[string]struct {
		role   clusterpb.NodeRole
		expiry time.Duration
		want   time.Duration
		names  []string
	}{
		"default":   {worker, 0, 2160 * time.Hour, []string{"n1", "muster-worker"}},
		"given":     {manager, 48 * time.Hour, 48 * time.Hour, []string{"n1", "muster-manager"}},
		"too short": {worker, time.Second, time.Hour, []string{"n1", "muster-worker"}},
		"too long":  {worker, 100 * 365 * 24 * time.Hour, time.Until(s.root.NotAfter), []string{"n1", "muster-worker"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := s.Issue("n1", tt.role, tt.expiry)
			if err != nil {
				t.Fatal(err)
			}
			if want := (mtls.Identity{NodeID: "n1", ClusterID: "c1", Role: tt.role}); c.Identity != want {
				t.Errorf("identity %+v, want %+v", c.Identity, want)
			}
			leaf := c.Certificate.Leaf
			if diff := time.Until(leaf.NotAfter) - tt.want; diff.Abs() > time.Minute {
				t.Errorf("valid for %v, want %v", time.Until(leaf.NotAfter), tt.want)
			}
			if back := time.Since(leaf.NotBefore) - time.Hour; back.Abs() > time.Minute {
				t.Errorf("back-dated by %v, want an hour", time.Since(leaf.NotBefore))
			}
			if diff := cmp.Diff(tt.names, leaf.DNSNames); diff != "" {
				t.Error(diff)
			}
			if leaf.IsCA {
				t.Error("a node's certificate can sign others")
			}
		})
	}
}

// TestRequestsGetNothingButTheirKey: the wishes in a request are not granted.
func TestRequestsGetNothingButTheirKey(t *testing.T) {
	key, _, err := mtls.NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: "root", OrganizationalUnit: []string{"muster-manager"}},
		DNSNames: []string{"muster-manager"},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	s := newSigner(t)
	cert, err := s.Sign(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), "n1", worker, 0)
	if err != nil {
		t.Fatal(err)
	}
	c, err := mtls.NewCredentials(key, cert, s.rootPEM)
	if err != nil {
		t.Fatal(err)
	}
	if c.Identity.NodeID != "n1" || c.Identity.Role != worker || c.Certificate.Leaf.VerifyHostname("muster-manager") == nil {
		t.Errorf("the request chose %+v, names %v", c.Identity, c.Certificate.Leaf.DNSNames)
	}
}

func TestBadRequests(t *testing.T) {
	_, good, err := mtls.NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(good)
	forged := append([]byte(nil), block.Bytes...)
	forged[len(forged)-1] ^= 1
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edwards, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, other)
	if err != nil {
		t.Fatal(err)
	}
	request := func(der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	}
	tests := map[string]struct {
		csr  []byte
		want string
	}{
		"nothing":    {nil, "not PEM"},
		"text":       {[]byte("hello"), "not PEM"},
		"other PEM":  {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}), "not PEM"},
		"cut":        {request(block.Bytes[:40]), "certificate request"},
		"forged":     {request(forged), "certificate request"},
		"other kind": {request(edwards), "Ed25519 key, it must be ECDSA P-256"},
	}
	s := newSigner(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := s.Sign(tt.csr, "n1", worker, 0)
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Sign = %v, want invalid argument with %q", err, tt.want)
			}
		})
	}
}

func TestNodeIDFollowsTheKey(t *testing.T) {
	seen := make(map[string]bool)
	for range 10 {
		_, csr, err := mtls.NewRequest()
		if err != nil {
			t.Fatal(err)
		}
		a, errA := nodeIDOf(csr)
		b, errB := nodeIDOf(csr)
		if errA != nil || errB != nil || a != b || !id.Valid(a) || seen[a] {
			t.Errorf("ids %q and %q, %v, %v", a, b, errA, errB)
		}
		seen[a] = true
	}
}

func TestRootPairsAreChecked(t *testing.T) {
	cert, key, err := NewRoot("c1")
	if err != nil {
		t.Fatal(err)
	}
	_, otherKey, err := NewRoot("c1")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		cert, key []byte
		want      string
	}{
		"swapped":     {key, cert, "root certificate is not PEM"},
		"no key":      {cert, nil, "root key is not PEM"},
		"another key": {cert, otherKey, "not the root certificate's"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := NewSigner("c1", tt.cert, tt.key); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("NewSigner = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAttempts(t *testing.T) {
	a, now := newAttempts(), time.Now()
	for range attemptLimit {
		if !a.allow("10.0.0.1", now) {
			t.Fatal("refused too early")
		}
		a.count("10.0.0.1", now)
	}
	if a.allow("10.0.0.1", now) {
		t.Error("allowed after too many wrong secrets")
	}
	if !a.allow("10.0.0.2", now) {
		t.Error("another address pays for it")
	}
	if !a.allow("10.0.0.1", now.Add(attemptPeriod)) {
		t.Error("refused in the next period")
	}
}
