package containerd

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/network"
)

// hostResolv are the places of the machine's own resolv.conf. The second one
// holds the real servers where systemd-resolved answers on a loopback address.
const (
	hostResolv     = "/etc/resolv.conf"
	resolvedResolv = "/run/systemd/resolve/resolv.conf"
)

// What a container has of its task, over the image's.
const (
	hostnameFile = "/etc/hostname"
	hostsFile    = "/etc/hosts"
	resolvFile   = "/etc/resolv.conf"
)

// writeFiles writes hostname, hosts and resolv.conf of a task and returns how
// they are bound into its container.
func (x *Executor) writeFiles(t *clusterpb.Task) ([]specs.Mount, error) {
	dir := x.taskDir(t.GetId())
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("make directory of the task: %w", err)
	}
	files := []struct{ at, content string }{
		{hostnameFile, hostname(t) + "\n"},
		{hostsFile, hosts(t)},
		{resolvFile, resolvConf(t.GetSpec().GetDns(), readFile(hostResolv), readFile(resolvedResolv))},
	}
	mounts := make([]specs.Mount, 0, len(files))
	for _, f := range files {
		path := filepath.Join(dir, filepath.Base(f.at))
		if err := os.WriteFile(path, []byte(f.content), 0o644); err != nil {
			return nil, fmt.Errorf("write %s of the task: %w", f.at, err)
		}
		mounts = append(mounts, specs.Mount{
			Destination: f.at, Type: "bind", Source: path, Options: []string{"rbind", "rprivate", "rw"},
		})
	}
	return mounts, nil
}

// hosts is the content of /etc/hosts: localhost, the task itself under each of
// its addresses, and what the spec adds.
func hosts(t *clusterpb.Task) string {
	var b strings.Builder
	b.WriteString("127.0.0.1\tlocalhost\n" +
		"::1\tlocalhost ip6-localhost ip6-loopback\n" +
		"fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n")
	for _, line := range t.GetSpec().GetHosts() {
		b.WriteString(line + "\n")
	}
	for _, addr := range network.Addresses(t.GetAttachments()) {
		fmt.Fprintf(&b, "%s\t%s\n", addr, hostname(t))
	}
	return b.String()
}

// resolvConf is the content of /etc/resolv.conf. Without servers in the spec
// it has the machine's, without those on loopback addresses, which are others
// in the container; and Docker's fallback where none is left.
func resolvConf(dns *clusterpb.DNSConfig, host, resolved string) string {
	servers, search, options := parseResolv(host)
	if len(servers) == 0 {
		servers, _, _ = parseResolv(resolved)
	}
	if len(servers) == 0 {
		servers = []string{"8.8.8.8", "8.8.4.4"}
	}
	if own := dns.GetServers(); len(own) > 0 {
		servers = own
	}
	if own := dns.GetSearch(); len(own) > 0 {
		search = own
	}
	if own := dns.GetOptions(); len(own) > 0 {
		options = own
	}
	var b strings.Builder
	for _, s := range servers {
		b.WriteString("nameserver " + s + "\n")
	}
	if len(search) > 0 {
		b.WriteString("search " + strings.Join(search, " ") + "\n")
	}
	if len(options) > 0 {
		b.WriteString("options " + strings.Join(options, " ") + "\n")
	}
	return b.String()
}

// parseResolv reads a resolv.conf; servers on loopback addresses are left out.
func parseResolv(content string) (servers, search, options []string) {
	for line := range strings.Lines(content) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			if addr, err := netip.ParseAddr(words[1]); err == nil && !addr.IsLoopback() {
				servers = append(servers, words[1])
			}
		case "search", "domain":
			search = words[1:]
		case "options":
			options = append(options, words[1:]...)
		}
	}
	return servers, search, options
}

// readFile returns the content of a file that may not exist.
func readFile(path string) string {
	raw, _ := os.ReadFile(path)
	return string(raw)
}
