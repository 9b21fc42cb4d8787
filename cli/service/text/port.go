package text

import (
	"fmt"
	"strings"

	"github.com/moby/moby/api/types/swarm"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/docker"
)

// portText is the port as lists show it: "*:8111->80/tcp", with a mode other
// than ingress behind it.
func portText(p swarm.PortConfig) string {
	s := fmt.Sprintf("%d/%s", p.TargetPort, p.Protocol)
	if p.PublishedPort != 0 {
		s = fmt.Sprintf("*:%d->%s", p.PublishedPort, s)
	}
	if p.PublishMode == swarm.PortConfigPublishModeHost {
		s += " (host)"
	}
	return s
}

// Ports is the text of a PORTS column.
func Ports(list []*clusterpb.Port) string {
	return strings.Join(portTexts(docker.PortsOf(list)), ", ")
}

// portTexts are the ports as people read them: a run of ports that were
// published together is a range.
func portTexts(list []swarm.PortConfig) (texts []string) {
	for i := 0; i < len(list); {
		n := run(list[i:])
		first, last := list[i], list[i+n-1]
		if n == 1 {
			texts = append(texts, portText(first))
		} else {
			texts = append(texts, fmt.Sprintf("*:%d-%d->%d-%d/%s", first.PublishedPort, last.PublishedPort, first.TargetPort, last.TargetPort, first.Protocol))
		}
		i += n
	}
	return texts
}

// run is how many ports from the start follow each other.
func run(list []swarm.PortConfig) int {
	n := 1
	for n < len(list) && list[0].PublishMode == swarm.PortConfigPublishModeIngress && list[0].PublishedPort != 0 {
		next := list[0]
		next.PublishedPort += uint32(n)
		next.TargetPort += uint32(n)
		if list[n] != next {
			break
		}
		n++
	}
	return n
}
