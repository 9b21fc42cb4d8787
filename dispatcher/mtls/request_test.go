package mtls_test

import (
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/dispatcher/mtls/mtlstest"
	capb "github.com/muster/muster/proto/ca/v1"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

func TestAcceptHoldsTheAnswerAgainstTheCertificate(t *testing.T) {
	ca := mtlstest.New(t, "c1")
	key, _, err := mtls.NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	in, ago := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	tests := map[string]struct {
		nodeID  string
		role    clusterpb.NodeRole
		expires time.Time
		want    string
	}{
		"as told":    {"n1", mtlstest.Worker, in, ""},
		"other node": {"n2", mtlstest.Worker, in, "the answer speaks of"},
		"other role": {"n1", mtlstest.Manager, in, "the answer speaks of"},
		"expired":    {"n1", mtlstest.Worker, ago, "expired on"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := mtls.Accept(key, &capb.IssueNodeCertificateResponse{
				CertificatePem: ca.Sign(&key.PublicKey, tt.nodeID, tt.role, tt.expires),
				RootPem:        ca.RootPEM, NodeId: "n1", ClusterId: "c1", Role: mtlstest.Worker,
			})
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Accept = %v, want %q", err, tt.want)
			}
		})
	}
}
