package nodes

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"time"
)

const (
	// main is the bridge that joins everything; island is the one that Split moves nodes to.
	mainBridge, islandBridge = "br0", "br1"
	// uplink is what a node's or client's interface is called.
	uplink = "eth0"
	// wireTimeout bounds one change of the wiring.
	wireTimeout = 10 * time.Second
)

// wire is the switch: a namespace with a bridge.
type wire struct {
	Namespace
}

// port is one socket of the switch: the near end of a veth pair.
type port struct {
	wire *wire
	name string
}

// build makes the switch with its two bridges.
func (w *wire) build() error {
	return w.ip("netns add "+w.Name,
		"-n "+w.Name+" link set lo up",
		"-n "+w.Name+" link add "+mainBridge+" type bridge",
		"-n "+w.Name+" link set "+mainBridge+" up",
		"-n "+w.Name+" link add "+islandBridge+" type bridge",
		"-n "+w.Name+" link set "+islandBridge+" up")
}

// connect makes the namespace and its cable to the switch.
func (p port) connect(ns Namespace, addrs ...netip.Prefix) error {
	on, in := "-n "+p.wire.Name, "-n "+ns.Name
	commands := []string{
		"netns add " + ns.Name,
		in + " link set lo up",
		on + " link add " + p.name + " type veth peer name " + uplink + " netns " + ns.Name,
		on + " link set " + p.name + " master " + mainBridge + " up",
	}
	for _, addr := range addrs {
		nodad := ""
		if addr.Addr().Is6() {
			nodad = " nodad" // duplicate address detection would make the address wait
		}
		commands = append(commands, in+" addr add "+addr.String()+" dev "+uplink+nodad)
	}
	return p.wire.ip(append(commands, in+" link set "+uplink+" up")...)
}

// unplug cuts the cable without either end noticing: frames are dropped, the carrier stays.
func (p port) unplug() error {
	return p.wire.ip("-n " + p.wire.Name + " link set " + p.name + " nomaster")
}

// plug connects the cable to a bridge of the switch.
func (p port) plug(bridge string) error {
	return p.wire.ip("-n " + p.wire.Name + " link set " + p.name + " master " + bridge)
}

// remove takes the cable away, if the switch is still there.
func (p port) remove() error {
	if !p.wire.exists() {
		return nil
	}
	return p.wire.ip("-n " + p.wire.Name + " link del " + p.name)
}

// ip runs ip(8) commands until one fails.
func (w *wire) ip(commands ...string) error {
	for _, c := range commands {
		ctx, cancel := context.WithTimeout(context.Background(), wireTimeout)
		_, err := output(exec.CommandContext(ctx, "ip", strings.Fields(c)...))
		cancel()
		if err != nil {
			return fmt.Errorf("wire: %w", err)
		}
	}
	return nil
}
