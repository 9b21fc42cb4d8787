package mtls

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	capb "github.com/muster/muster/proto/ca/v1"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

const (
	minRenewRetry = 5 * time.Second
	maxRenewRetry = time.Hour
	renewTimeout  = 30 * time.Second

	// maxSleep is how long the loop trusts a timer: timers stand still while
	// a machine sleeps and clocks are put right, certificates age.
	maxSleep = time.Minute
)

// Renewer keeps a node's certificate from expiring, and exchanges it when the
// node's role changed.
type Renewer struct {
	Holder *Holder
	// Request has a certificate issued; it dials any manager with the
	// current credentials and calls IssueNodeCertificate without a token.
	Request func(ctx context.Context, csrPEM []byte) (*capb.IssueNodeCertificateResponse, error)
	// Save keeps new credentials over a restart, before they are used.
	Save func(*Credentials) error
	// RoleChanged is called after credentials of another role came into
	// use. May be nil. It must not wait for the Renewer.
	RoleChanged func(clusterpb.NodeRole)
	// Soon makes it renew at once: a manager said that the role, the root
	// or the expiry changed. May be nil. Give it a buffer of one and send
	// without waiting.
	Soon <-chan struct{}
}

// Run renews until ctx is done. A renewal that fails is tried again after 5 s
// to 1 h; only a log line tells, since the node is well as long as its
// certificate is.
func (r *Renewer) Run(ctx context.Context, log *slog.Logger) error {
	at := r.next(rand.Float64()) //nolint:gosec // spreads load, hides nothing
	var retry time.Duration
	for r.wait(ctx, at) {
		if err := r.renew(ctx); err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // it was told to end
			}
			retry = min(max(2*retry, minRenewRetry), maxRenewRetry)
			at = time.Now().Add(retry)
			r.report(ctx, log, err, retry)
			continue
		}
		retry = 0
		at = r.next(rand.Float64()) //nolint:gosec // spreads load, hides nothing
		// Should a manager hand out certificates that are already old,
		// ask it no more often than after a failure.
		if soonest := time.Now().Add(minRenewRetry); at.Before(soonest) {
			at = soonest
		}
		id := r.Holder.Current().Identity
		log.InfoContext(ctx, "renewed certificate", "node", id.NodeID, "role", RoleName(id.Role),
			"expires", r.Holder.Current().NotAfter(), "next", at)
	}
	return nil
}

func (r *Renewer) report(ctx context.Context, log *slog.Logger, err error, retry time.Duration) {
	c := r.Holder.Current()
	if expired := c.Check(time.Now()); expired != nil {
		log.ErrorContext(ctx, "cannot renew certificate", "node", c.Identity.NodeID, "in", retry, "err", expired)
		return
	}
	log.WarnContext(ctx, "will retry to renew certificate", "node", c.Identity.NodeID, "in", retry,
		"expires", c.NotAfter(), "err", err)
}

func (r *Renewer) next(random float64) time.Time {
	if !r.valid() {
		return time.Now()
	}
	leaf := r.Holder.Current().Certificate.Leaf
	return renewAt(leaf.NotBefore, leaf.NotAfter, random)
}

// valid reports whether the certificate is, by the clock of now: that of a
// machine may be put right at any time.
func (r *Renewer) valid() bool { return r.Holder.Current().Check(time.Now()) == nil }

// renewAt returns when to renew a certificate: at a point between 50 and 80 %
// of its life, chosen by random in [0,1), so that nodes which joined together
// do not renew together. Life begins when it was made, not at the earlier
// time it is valid from.
func renewAt(notBefore, notAfter time.Time, random float64) time.Time {
	made := notBefore.Add(Backdate)
	if !made.Before(notAfter) {
		made = notBefore
	}
	life := notAfter.Sub(made)
	return made.Add(time.Duration((0.5 + 0.3*random) * float64(life)))
}

// wait returns true at the time given, or sooner when asked or when the
// certificate has ceased to be valid; false when ctx is done.
func (r *Renewer) wait(ctx context.Context, at time.Time) bool {
	was := r.valid()
	for {
		// Round strips the monotonic clock: what counts is the calendar.
		left := at.Round(0).Sub(time.Now().Round(0))
		if left <= 0 {
			return ctx.Err() == nil
		}
		timer := time.NewTimer(min(left, maxSleep))
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-r.Soon:
			timer.Stop()
			return true
		case <-timer.C:
			if was && !r.valid() {
				return true
			}
		}
	}
}

func (r *Renewer) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	old := r.Holder.Current()
	key, csr, err := NewRequest()
	if err != nil {
		return err
	}
	resp, err := r.Request(ctx, csr)
	if err != nil {
		return fmt.Errorf("request certificate: %w", err)
	}
	next, err := Accept(key, resp)
	if err != nil {
		return err
	}
	if next.Identity.NodeID != old.Identity.NodeID || next.Identity.ClusterID != old.Identity.ClusterID {
		return fmt.Errorf("node %s of cluster %s was given the certificate of node %s of cluster %s",
			old.Identity.NodeID, old.Identity.ClusterID, next.Identity.NodeID, next.Identity.ClusterID)
	}
	if err := r.Save(next); err != nil {
		return err
	}
	r.Holder.Set(next)
	if next.Identity.Role != old.Identity.Role && r.RoleChanged != nil {
		r.RoleChanged(next.Identity.Role)
	}
	return nil
}
