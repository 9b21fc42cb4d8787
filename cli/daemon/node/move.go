package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/dispatcher/mtls"
	nodepb "github.com/muster/muster/proto/node/v1"
	"github.com/muster/muster/proto/spec"
)

// move makes the member that n is known at another address of its machine. Tasks
// and their connections go on as over a restart of the daemon. When it fails,
// the member is as it was.
func move(ctx context.Context, n *Node, r *nodepb.MoveNodeRequest) (*nodepb.MoveNodeResponse, error) {
	end, err := n.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	m := n.member.Load()
	if m == nil {
		return nil, fmt.Errorf("this node is in no cluster: it has no address there: %w", errdefs.ErrFailedPrecondition)
	}
	old, credentials := m.settings, m.holder.Current()
	next, err := moved(m, r)
	if err != nil {
		return nil, err
	}
	n.log.InfoContext(ctx, "this node moves", "from", old.Advertise, "to", next.Advertise, "data_path", next.DataPath)
	ctx = context.WithoutCancel(ctx) // a node that has moved by half is of no use
	n.member.Store(nil)
	if err := m.stop(); err != nil {
		return nil, err
	}
	again, err := settle(ctx, n, next, credentials)
	if err != nil {
		back, startErr := n.startMember(ctx, old, credentials, nil)
		if startErr != nil {
			n.failed <- startErr
			return nil, errors.Join(err, startErr)
		}
		n.member.Store(back)
		return nil, fmt.Errorf("this node stays at %s: %w", old.Advertise, err)
	}
	n.member.Store(again)
	again.awaitRouting(ctx)
	return &nodepb.MoveNodeResponse{Addr: next.Advertise.String()}, nil
}

// moved returns the settings of the member at its new address.
func moved(m *member, r *nodepb.MoveNodeRequest) (next settings, err error) {
	h, err := m.node.cfg.Network.Host()
	if err != nil {
		return next, err
	}
	listen := r.GetListenAddr()
	if listen == "" {
		listen = m.settings.Listen.String()
	}
	if next, err = addresses(h, r.GetAdvertiseAddr(), listen, r.GetDataPathAddr()); err != nil {
		return next, err
	}
	own := m.settings.Advertise.String()
	next.Managers = slices.DeleteFunc(slices.Clone(m.managers()), func(a string) bool { return a == own })
	if remote := r.GetRemoteAddr(); remote != "" {
		next.Managers = append(next.Managers, withPort(remote))
	}
	if m.isManager() {
		next.Managers = append(next.Managers, next.Advertise.String())
	}
	return next, nil
}

// settle starts the member at its new address and has the cluster know it.
func settle(ctx context.Context, n *Node, s settings, credentials *mtls.Credentials) (*member, error) {
	m, err := n.startMember(ctx, s, credentials, nil)
	if err != nil {
		return nil, err
	}
	if m.manager != nil {
		// Any manager may lead, or come to: a lone one only after a moment.
		err = m.askForVote(ctx, func() []string { return s.Managers })
	}
	if err == nil {
		err = s.save(n.cfg.StateDir)
	}
	if err != nil {
		return nil, errors.Join(err, m.stop())
	}
	return m, nil
}

// withPort completes HOST[:PORT] of a manager.
func withPort(remote string) string {
	if addr, err := netip.ParseAddr(remote); err == nil {
		return netip.AddrPortFrom(addr, spec.DefaultControlPort).String()
	}
	if _, _, err := net.SplitHostPort(remote); err != nil {
		return net.JoinHostPort(remote, strconv.Itoa(spec.DefaultControlPort))
	}
	return remote
}
