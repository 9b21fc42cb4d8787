package mtls_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/dispatcher/mtls/mtlstest"
	capb "github.com/muster/muster/proto/ca/v1"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// issuer answers renewals with 90-day certificates of the role it is set to,
// or with its error, and keeps when it was asked.
type issuer struct {
	ca  *mtlstest.CA
	log bytes.Buffer // what the renewer logs; read it after synctest.Wait

	mu    sync.Mutex
	node  string
	role  clusterpb.NodeRole
	err   error
	asked []time.Time
}

// set changes the answers to come.
func (i *issuer) set(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

// times returns when it was asked so far.
func (i *issuer) times() []time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.asked)
}

func (i *issuer) issue(_ context.Context, csrPEM []byte) (*capb.IssueNodeCertificateResponse, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked = append(i.asked, time.Now())
	if i.err != nil {
		return nil, i.err
	}
	block, _ := pem.Decode(csrPEM)
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	return &capb.IssueNodeCertificateResponse{
		CertificatePem: i.ca.Sign(csr.PublicKey, i.node, i.role, time.Now().Add(lifetime)),
		RootPem:        i.ca.RootPEM, NodeId: i.node, ClusterId: i.ca.ClusterID, Role: i.role,
	}, nil
}

const lifetime = 90 * 24 * time.Hour

// rig is a renewer of a worker n1 that runs on a fake clock.
type rig struct {
	t       *testing.T
	holder  *mtls.Holder
	issuer  *issuer
	renewer *mtls.Renewer
	soon    chan<- struct{}
}

// renewing runs a renewer while f looks on.
func renewing(t *testing.T, f func(g *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ca := mtlstest.New(t, "c1")
		h := mtlstest.Holding(ca.IssueUntil("n1", mtlstest.Worker, time.Now().Add(lifetime)))
		i := &issuer{ca: ca, node: "n1", role: mtlstest.Worker}
		soon := make(chan struct{}, 1)
		r := &mtls.Renewer{Holder: h, Request: i.issue, Soon: soon, Save: func(*mtls.Credentials) error { return nil }}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx, slog.New(slog.NewTextHandler(&i.log, nil))) }()
		synctest.Wait()
		f(&rig{t: t, holder: h, issuer: i, renewer: r, soon: soon})
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestRenewsInTime(t *testing.T) {
	renewing(t, func(g *rig) {
		start := time.Now()
		time.Sleep(lifetime/2 - time.Minute)
		synctest.Wait()
		if asked := g.issuer.times(); len(asked) != 0 {
			g.t.Errorf("renewed after %v", asked[0].Sub(start))
		}
		for range 10 {
			left := time.Until(g.holder.Current().NotAfter())
			time.Sleep(lifetime)
			synctest.Wait()
			if left < lifetime/10 {
				g.t.Errorf("only %v were left", left)
			}
		}
		if err := g.holder.Current().Check(time.Now()); err != nil {
			g.t.Error(err)
		}
		// At every 50 to 80 % of a life: 10.5 lives hold 13 to 21 renewals.
		if n := len(g.issuer.times()); n < 12 || n > 21 {
			g.t.Errorf("renewed %d times in 10.5 lives", n)
		}
	})
}

func TestRetriesWithBackOff(t *testing.T) {
	renewing(t, func(g *rig) {
		old := g.holder.Current()
		g.issuer.set(func() { g.issuer.err = errors.New("no manager") })
		g.soon <- struct{}{}
		time.Sleep(8 * time.Hour)
		synctest.Wait()
		asked := g.issuer.times()
		for n, want := range []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second} {
			if got := asked[n+1].Sub(asked[n]); got != want {
				g.t.Errorf("retry %d after %v, want %v", n+1, got, want)
			}
		}
		last := len(asked) - 1
		if got := asked[last].Sub(asked[last-1]); got != time.Hour {
			g.t.Errorf("last retry after %v, want an hour", got)
		}
		if g.holder.Current() != old {
			g.t.Error("a failed renewal changed the credentials")
		}
		g.issuer.set(func() { g.issuer.err = nil })
		time.Sleep(time.Hour)
		synctest.Wait()
		if g.holder.Current() == old {
			g.t.Error("not renewed once a manager answered")
		}
	})
}

func TestRenewsWhenTheRoleChanges(t *testing.T) {
	renewing(t, func(g *rig) {
		var told []clusterpb.NodeRole
		g.renewer.RoleChanged = func(role clusterpb.NodeRole) { told = append(told, role) }
		for _, role := range []clusterpb.NodeRole{mtlstest.Worker, mtlstest.Manager, mtlstest.Manager, mtlstest.Worker} {
			g.issuer.set(func() { g.issuer.role = role })
			g.soon <- struct{}{}
			synctest.Wait()
			if got := g.holder.Current().Identity.Role; got != role {
				g.t.Errorf("role %v, want %v", got, role)
			}
		}
		if len(told) != 2 || told[0] != mtlstest.Manager || told[1] != mtlstest.Worker {
			g.t.Errorf("told of %v, want manager, then worker", told)
		}
	})
}

func TestRefusesAnothersCertificate(t *testing.T) {
	renewing(t, func(g *rig) {
		old := g.holder.Current()
		g.issuer.set(func() { g.issuer.node = "n2" })
		g.soon <- struct{}{}
		synctest.Wait()
		if asked := g.issuer.times(); len(asked) != 1 || g.holder.Current() != old {
			g.t.Errorf("after %d requests node n1 is %+v", len(asked), g.holder.Current().Identity)
		}
	})
}

// TestUsesOnlyWhatIsSaved: a restart must find the role that was acted on.
func TestUsesOnlyWhatIsSaved(t *testing.T) {
	renewing(t, func(g *rig) {
		old := g.holder.Current()
		g.renewer.Save = func(*mtls.Credentials) error { return fmt.Errorf("disk full") }
		g.soon <- struct{}{}
		synctest.Wait()
		if g.holder.Current() != old {
			g.t.Error("uses credentials that were not saved")
		}
	})
}

// TestExpiryIsExplained: the node keeps asking, and says what helps.
func TestExpiryIsExplained(t *testing.T) {
	renewing(t, func(g *rig) {
		g.issuer.set(func() { g.issuer.err = errors.New("no manager") })
		time.Sleep(lifetime + 2*time.Hour)
		synctest.Wait()
		for _, want := range []string{"level=WARN", "level=ERROR", "certificate of node n1 expired on", "rejoin with a new token"} {
			if !strings.Contains(g.issuer.log.String(), want) {
				g.t.Errorf("the log lacks %q", want)
			}
		}
	})
}
