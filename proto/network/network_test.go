package network

import (
	"strings"
	"testing"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

func TestAddresses(t *testing.T) {
	ingress := &clusterpb.Attachment{NetworkId: Ingress, Addresses: []string{"10.0.0.2", "fd00::2"}}
	other := &clusterpb.Attachment{NetworkId: "x1", Addresses: []string{"10.1.0.2"}}
	tests := map[string]struct {
		attachments    []*clusterpb.Attachment
		all, answering string
	}{
		"of none":               {nil, "", ""},
		"of published ports":    {[]*clusterpb.Attachment{ingress}, "10.0.0.2 fd00::2", "10.0.0.2 fd00::2"},
		"of another":            {[]*clusterpb.Attachment{other}, "10.1.0.2", ""},
		"of both, in any order": {[]*clusterpb.Attachment{other, ingress}, "10.1.0.2 10.0.0.2 fd00::2", "10.0.0.2 fd00::2"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(Addresses(tt.attachments), " "); got != tt.all {
				t.Errorf("has %q, want %q", got, tt.all)
			}
			if got := strings.Join(Answering(tt.attachments), " "); got != tt.answering {
				t.Errorf("answers published ports on %q, want %q", got, tt.answering)
			}
		})
	}
}
