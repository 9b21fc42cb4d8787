package spec

import (
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/muster/muster/internal/text"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/template"
)

const (
	maxHostname = 63  // of sethostname(2) one less
	maxDomain   = 253 // RFC 1035, 2.3.4, as text
	maxLabelKey = 128
)

var (
	hostname  = regexp.MustCompile(`^[a-zA-Z0-9]([-a-zA-Z0-9_.]*[a-zA-Z0-9])?$`)
	domain    = regexp.MustCompile(`^(\.|[a-zA-Z0-9_]([-a-zA-Z0-9_.]*[a-zA-Z0-9_.])?)$`)
	dnsOption = regexp.MustCompile(`^[-a-zA-Z0-9_]+(:[0-9]+)?$`)
	account   = regexp.MustCompile(`^[^\s:]+(:[^\s:]+)?$`)
	labelKey  = regexp.MustCompile(`^[^\s=]+$`)
	// What constraints can name and compare (package constraint).
	nodeLabel      = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9\-_./]*$`)
	nodeLabelValue = regexp.MustCompile(`^[A-Za-z0-9:\-_ .*()?+\[\]\\^$|/]*$`)
	// Of these the kernel keeps one for each container (man 7 namespaces).
	namespaced = regexp.MustCompile(`^(net\.[^\s=]+|fs\.mqueue\.[a-z_]+|kernel\.(msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced))$`)
)

// free reports whether a field goes to a process of the service, or to its
// reader, as it is. All other texts are a line.
func free(fd protoreflect.FieldDescriptor) bool {
	switch fd.FullName() {
	case "cluster.v1.ContainerSpec.env", "cluster.v1.ContainerSpec.command", "cluster.v1.ContainerSpec.args",
		"cluster.v1.HealthCheck.test", "cluster.v1.ContainerSpec.labels", "cluster.v1.ServiceSpec.labels":
		return true
	}
	return false
}

// validateTexts refuses what would steer a terminal, or add lines to a file of
// the container, in any field of the spec.
func validateTexts(s *clusterpb.ServiceSpec) error {
	if err := text.Check(s); err != nil {
		return err
	}
	return text.Each(s, func(fd protoreflect.FieldDescriptor, key bool, v string) error {
		if !key && free(fd) {
			return nil
		}
		return text.CheckLine(strings.ReplaceAll(string(fd.Name()), "_", " "), v)
	})
}

// shape refuses values that do not look as they must.
func shape(what string, form *regexp.Regexp, longest int, allowed string, values ...string) error {
	for _, v := range values {
		if len(v) > longest || !form.MatchString(v) {
			return invalid("%s %s: use %s", what, text.Quote(v), allowed)
		}
	}
	return nil
}

func validateLabels(what string, labels map[string]string) error {
	return shape(what+" label", labelKey, maxLabelKey, "1 to 128 bytes without spaces and \"=\" for its name", slices.Sorted(maps.Keys(labels))...)
}

// ValidateNodeLabels refuses labels, of a node or its daemon, that no
// constraint could name or compare.
func ValidateNodeLabels(labels map[string]string) error {
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		for _, err := range []error{
			shape("label", nodeLabel, maxLabelKey, "letters, digits and - _ . / for its name, a letter, digit or _ first", k),
			shape("value of label "+k, nodeLabelValue, maxLabelKey, "at most 128 letters, digits, spaces and : - _ . * ( ) ? + [ ] \\ ^ $ | /", labels[k]),
		} {
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// validateNames checks what a task is called and what it calls others.
func validateNames(t *clusterpb.TaskSpec) error {
	if h := t.GetHostname(); !template.Has(h) { // templates are checked by what they make
		if err := validateHostname(h); err != nil {
			return err
		}
	}
	for _, line := range t.GetHosts() {
		addr, name, _ := strings.Cut(line, " ")
		if _, err := netip.ParseAddr(addr); err != nil {
			return invalid("host %s: use an IP address, a space and a name", text.Quote(line))
		}
		if err := shape("host", hostname, maxDomain, "letters, digits, hyphens and dots", name); err != nil {
			return err
		}
	}
	for _, addr := range t.GetDns().GetServers() {
		if _, err := netip.ParseAddr(addr); err != nil {
			return invalid("dns server %s: use an IP address", text.Quote(addr))
		}
	}
	if err := shape("dns search domain", domain, maxDomain, "a domain such as example.com, or \".\" for none", t.GetDns().GetSearch()...); err != nil {
		return err
	}
	if err := shape("dns option", dnsOption, maxDomain, "an option of resolv.conf(5) such as ndots:2", t.GetDns().GetOptions()...); err != nil {
		return err
	}
	return shape("sysctl", namespaced, maxDomain, "one that each container has its own of: net.*, fs.mqueue.*, kernel.shm*, kernel.msg* or kernel.sem",
		slices.Sorted(maps.Keys(t.GetSysctls()))...)
}

// validateWords checks what of a container the runtime reads.
func validateWords(c *clusterpb.ContainerSpec) error {
	if u := c.GetUser(); u != "" {
		if err := shape("user", account, maxDomain, "NAME or UID, and :GROUP or :GID behind it", u); err != nil {
			return err
		}
	}
	if err := shape("group", account, maxDomain, "a name or a number", c.GetGroups()...); err != nil {
		return err
	}
	if err := validateCapabilities(slices.Concat(c.GetCapAdd(), c.GetCapDrop())...); err != nil {
		return err
	}
	if err := validateUlimits(c.GetUlimits()); err != nil {
		return err
	}
	if s := c.GetStopSignal(); s != "" {
		if _, err := Signal(s); err != nil {
			return err
		}
	}
	return nil
}
