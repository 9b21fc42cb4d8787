package ingress

import (
	"context"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/muster/muster/ingress/ruleset"
)

// Remove takes everything of ours out of the kernel, attachments of tasks
// included. It must not be called while Run runs.
func (p *Plane) Remove(ctx context.Context) error {
	release, err := alone(ctx, p)
	if err != nil {
		return err
	}
	defer release()
	p.known = nil
	return p.in(func(k *kernel) error { return k.remove() })
}

// remove takes away what carries our names and numbers, whoever made it.
// Sysctls stay: others may rely on them by now.
func (k *kernel) remove() error {
	for _, fam := range tableFamilies(k.ipv6) {
		for _, name := range []string{ruleset.Mesh, ruleset.Zones} {
			if err := ruleset.Remove(ruleset.ID{Family: fam, Name: name}); err != nil {
				return err
			}
		}
	}
	links, err := k.taskLinks()
	if err != nil {
		return err
	}
	for name := range links {
		if err := k.deleteLink(name); err != nil {
			return err
		}
	}
	have := newState()
	index, err := k.readDevice(have)
	if err != nil {
		return err
	}
	if err := k.readRoutes(have, index); err != nil {
		return err
	}
	if err := k.readRules(have); err != nil {
		return err
	}
	if err := k.takeAway(index, have, newState()); err != nil {
		return err
	}
	return k.deleteOverlay()
}

// taskLinks returns the host's ends of tasks' veths by name.
func (k *kernel) taskLinks() (map[string]netlink.Link, error) {
	list, err := whole(k.nl.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	links := make(map[string]netlink.Link)
	for _, l := range list {
		// The alias is the task's id: a device of somebody else that begins with the same letters has none.
		if l.Type() == "veth" && strings.HasPrefix(l.Attrs().Name, TaskLinkPrefix) && l.Attrs().Alias != "" {
			links[l.Attrs().Name] = l
		}
	}
	return links, nil
}

// attachedTasks says which of the tasks have a veth set up as it should be, with routes to all of their addresses.
func (k *kernel) attachedTasks(tasks []Task) (map[string]bool, error) {
	links, err := k.taskLinks()
	if err != nil {
		return nil, err
	}
	filter := &netlink.Route{Protocol: routeProtocol, Table: unix.RT_TABLE_MAIN}
	list, err := whole(func() ([]netlink.Route, error) {
		return k.nl.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	type leads struct {
		to   string
		link int
	}
	routes := make(map[leads]bool)
	for _, r := range list {
		if r.Dst != nil {
			routes[leads{prefix(r.Dst).String(), r.LinkIndex}] = true
		}
	}
	attached := make(map[string]bool)
	for _, t := range tasks {
		link := links[taskLink(t.ID)]
		if link == nil {
			continue
		}
		attached[t.ID] = holdsSettings(taskSettings(taskLink(t.ID), k.ipv6))
		for _, a := range t.addrs() {
			if a.Unmap().Is4() || k.ipv6 {
				attached[t.ID] = attached[t.ID] && routes[leads{host(a.Unmap()).String(), link.Attrs().Index}]
			}
		}
	}
	return attached, nil
}
