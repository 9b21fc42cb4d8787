package node

import (
	"context"
	"net"
	"strconv"

	"google.golang.org/grpc"

	"github.com/muster/muster/dispatcher/mtls"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/port"
	"github.com/muster/muster/worker"
	"github.com/muster/muster/worker/describe"
	"github.com/muster/muster/worker/state"
)

// newWorker makes the agent that runs tasks.
func (m *member) newWorker(db *state.DB) (*worker.Worker, error) {
	cfg := worker.Config{
		NodeID:   m.identity().NodeID,
		Executor: m.machine.Executor,
		State:    db,
		Plane:    m.machine.Plane,
		Images:   m.machine.Images,
		Logs:     m.machine.Logs,
		Managers: m.settings.Managers,
		Dial: func(_ context.Context, addr string) (*grpc.ClientConn, error) {
			return m.connect.to(addr, mtls.AnyManager())
		},
		Own: []port.Key{
			port.TCP(uint32(m.settings.Listen.Port())), port.TCP(uint32(m.settings.Advertise.Port())),
			port.TCP(uint32(m.node.cfg.GossipPort)), port.UDP(uint32(m.node.cfg.GossipPort)),
		},
		Describe: m.describe,
		Troubles: m.machine.Troubles.Changed(),
		Heard:    m.gossip.heard,
		Log:      m.log.With("part", "worker"),
	}
	if m.manager != nil {
		cfg.Local = m.settings.Advertise.String()
	}
	return worker.New(cfg)
}

func (m *member) describe(ctx context.Context) (*clusterpb.NodeDescription, error) {
	cfg := m.node.cfg
	d, err := m.machine.Describe(ctx, describe.Given{
		Hostname:    cfg.Name,
		Version:     cfg.Version,
		Labels:      cfg.Labels,
		ControlAddr: m.settings.Advertise.String(),
		DataAddr:    m.settings.DataPath.String(),
		GossipAddr:  net.JoinHostPort(m.settings.Advertise.Addr().String(), strconv.Itoa(int(cfg.GossipPort))),
	})
	if err != nil {
		return nil, err
	}
	d.Troubles, d.Warnings = m.machine.Troubles.Now()
	d.Warnings = append(d.Warnings, m.gossip.warnings()...)
	return d, nil
}
