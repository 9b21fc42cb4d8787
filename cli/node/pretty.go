package node

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/muster/muster/cli/command"
	"github.com/muster/muster/cli/render"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/docker"
)

// pretty writes a node for people.
func pretty(w io.Writer, v *controlpb.NodeView, now time.Time) {
	n := docker.NodeOf(v)
	line := func(key string, value any) {
		if text := fmt.Sprint(value); text != "" {
			fmt.Fprintf(w, "%-20s%s\n", key+":", command.Printable(text))
		}
	}
	labels := func(name string, m map[string]string) {
		if len(m) == 0 {
			return
		}
		fmt.Fprintf(w, "%s:\n", name)
		for _, k := range slices.Sorted(maps.Keys(m)) {
			fmt.Fprintf(w, " - %s\n", command.Printable(k+"="+m[k]))
		}
	}
	line("ID", n.ID)
	line("Hostname", n.Description.Hostname)
	labels("Labels", n.Spec.Labels)
	line("Joined", render.Ago(v.GetNode().GetCreatedAt(), now))
	line("Role", n.Spec.Role)
	fmt.Fprintln(w, "Status:")
	line(" State", title(string(n.Status.State)))
	line(" Since", render.Ago(v.GetNode().GetStatus().GetSince(), now))
	line(" Message", n.Status.Message)
	line(" Availability", title(string(n.Spec.Availability)))
	line(" Address", n.Status.Addr)
	line(" Gossip", n.Status.Gossip)
	if m := n.ManagerStatus; m != nil {
		fmt.Fprintln(w, "Manager Status:")
		line(" Address", m.Addr)
		line(" Reachability", title(string(m.Reachability)))
		leader := "No"
		if m.Leader {
			leader = "Yes"
		}
		line(" Leader", leader)
	}
	fmt.Fprintln(w, "Platform:")
	line(" Operating System", n.Description.Platform.OS)
	line(" Architecture", n.Description.Platform.Architecture)
	line(" Kernel", n.Description.Kernel)
	fmt.Fprintln(w, "Resources:")
	line(" CPUs", float64(n.Description.Resources.NanoCPUs)/1e9)
	line(" Memory", render.Memory(n.Description.Resources.MemoryBytes))
	fmt.Fprintln(w, "Engine:")
	line(" Version", n.Description.Engine.EngineVersion)
	line(" containerd", n.Description.Engine.ContainerdVersion)
	labels("Engine Labels", n.Description.Engine.Labels)
	if len(n.Images) > 0 {
		fmt.Fprintln(w, "Images:")
	}
	for _, i := range n.Images {
		fmt.Fprintf(w, " - %s (%s)\n", command.Printable(i.Name), render.Size(i.Size))
	}
}
