package constraint

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/containerd/errdefs"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Keys that name one attribute of a node. The label keys are prefixes.
const (
	keyID         = "node.id"
	keyHostname   = "node.hostname"
	keyIP         = "node.ip"
	keyRole       = "node.role"
	keyOS         = "node.platform.os"
	keyArch       = "node.platform.arch"
	nodeLabels    = "node.labels."
	engineLabels  = "engine.labels."
	knownKeys     = "node.id, node.hostname, node.ip, node.role, node.platform.os, node.platform.arch, node.labels.NAME, engine.labels.NAME"
	expectedShape = "want KEY==VALUE or KEY!=VALUE"
)

var (
	labelName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9\-_./]*$`)
	values    = regexp.MustCompile(`^[A-Za-z0-9:\-_\s.*()?+\[\]\\^$|/]+$`)
)

// Constraint is one condition a node meets or not.
type Constraint struct {
	// Key is one of the known keys; labels include their name.
	Key string
	// Not tells != from ==.
	Not bool
	// Value is what to compare with, without surrounding spaces.
	Value string

	prefix netip.Prefix // of node.ip
}

// String returns the constraint as it is written in a spec.
func (c Constraint) String() string {
	if c.Not {
		return c.Key + "!=" + c.Value
	}
	return c.Key + "==" + c.Value
}

// Parse reads one constraint. An error is errdefs.ErrInvalidArgument and names
// the constraint and what is allowed.
func Parse(s string) (Constraint, error) {
	refuse := func(why string) (Constraint, error) {
		return Constraint{}, fmt.Errorf("constraint %q: %s: %w", s, why, errdefs.ErrInvalidArgument)
	}
	key, value, not, ok := split(s)
	if !ok {
		return refuse(expectedShape)
	}
	c := Constraint{Key: key, Not: not, Value: value}
	if !knownKey(c.Key) {
		return refuse(fmt.Sprintf("unknown key %q: known are %s", c.Key, knownKeys))
	}
	if !values.MatchString(c.Value) {
		return refuse(fmt.Sprintf("bad value %q: %s", c.Value, expectedShape))
	}
	switch c.Key {
	case keyIP:
		prefix, err := parsePrefix(c.Value)
		if err != nil {
			return refuse(fmt.Sprintf("bad value %q: want an IP address or prefix such as 192.0.2.0/24", c.Value))
		}
		c.prefix = prefix
	case keyRole:
		if r := strings.ToLower(c.Value); r != "manager" && r != "worker" {
			return refuse(fmt.Sprintf("bad value %q: want manager or worker", c.Value))
		}
	}
	return c, nil
}

// ParseAll reads a list and stops at the first that is wrong.
func ParseAll(list []string) ([]Constraint, error) {
	out := make([]Constraint, 0, len(list))
	for _, s := range list {
		c, err := Parse(s)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// split cuts at the first == or !=.
func split(s string) (key, value string, not, ok bool) {
	at := strings.Index(s, "==")
	if i := strings.Index(s, "!="); i >= 0 && (at < 0 || i < at) {
		at, not = i, true
	}
	if at < 0 {
		return "", "", false, false
	}
	return strings.TrimSpace(s[:at]), strings.TrimSpace(s[at+2:]), not, true
}

func knownKey(key string) bool {
	switch key {
	case keyID, keyHostname, keyIP, keyRole, keyOS, keyArch:
		return true
	}
	for _, prefix := range []string{nodeLabels, engineLabels} {
		if name, ok := strings.CutPrefix(key, prefix); ok {
			return labelName.MatchString(name)
		}
	}
	return false
}

func parsePrefix(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("parse prefix: %w", err)
		}
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("parse address: %w", err)
	}
	a = a.WithZone("").Unmap()
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// Match reports whether n meets the constraint.
func (c Constraint) Match(n *clusterpb.Node) bool { return c.holds(n) != c.Not }

// MatchAll reports whether n meets every constraint of the list.
func MatchAll(list []Constraint, n *clusterpb.Node) bool {
	for _, c := range list {
		if !c.Match(n) {
			return false
		}
	}
	return true
}

// holds compares for ==.
func (c Constraint) holds(n *clusterpb.Node) bool {
	switch c.Key {
	case keyIP:
		return c.containsAddr(n.GetStatus().GetAddr())
	case keyRole:
		return strings.EqualFold(roleName(n.GetRole()), c.Value)
	case keyArch:
		return SameArchitecture(n.GetDescription().GetPlatform().GetArchitecture(), c.Value)
	}
	return strings.EqualFold(Attribute(n, c.Key), c.Value)
}

func (c Constraint) containsAddr(addr string) bool {
	if ap, err := netip.ParseAddrPort(addr); err == nil {
		return c.prefix.Contains(ap.Addr().WithZone("").Unmap())
	}
	a, err := netip.ParseAddr(addr)
	return err == nil && c.prefix.Contains(a.WithZone("").Unmap())
}

// Attribute returns what a node has under a key: "" for a label it lacks.
func Attribute(n *clusterpb.Node, key string) string {
	if name, ok := strings.CutPrefix(key, nodeLabels); ok {
		return n.GetSpec().GetLabels()[name]
	}
	if name, ok := strings.CutPrefix(key, engineLabels); ok {
		return n.GetDescription().GetLabels()[name]
	}
	switch key {
	case keyID:
		return n.GetId()
	case keyHostname:
		return n.GetDescription().GetHostname()
	case keyOS:
		return n.GetDescription().GetPlatform().GetOs()
	case keyArch:
		return n.GetDescription().GetPlatform().GetArchitecture()
	case keyRole:
		return roleName(n.GetRole())
	case keyIP:
		return n.GetStatus().GetAddr()
	}
	return ""
}

// ParseSpread checks a key that replicas are spread over: a node label or an
// engine label. An error is errdefs.ErrInvalidArgument.
func ParseSpread(key string) error {
	if knownKey(key) && (strings.HasPrefix(key, nodeLabels) || strings.HasPrefix(key, engineLabels)) {
		return nil
	}
	return fmt.Errorf("placement preference %q: want spread=node.labels.NAME or spread=engine.labels.NAME: %w", key, errdefs.ErrInvalidArgument)
}

// SameArchitecture compares architectures under Go's names and uname's.
func SameArchitecture(a, b string) bool { return architecture(a) == architecture(b) }

// unames are pairs of Go's name of an architecture and that of uname(2).
func unames() [][2]string { return [][2]string{{"amd64", "x86_64"}, {"arm64", "aarch64"}} }

// Uname is the name that uname(2) has for an architecture of Go, as Docker's
// nodes tell theirs; one without another name stays as it is.
func Uname(arch string) string {
	for _, pair := range unames() {
		if arch == pair[0] {
			return pair[1]
		}
	}
	return arch
}

func architecture(s string) string {
	s = strings.ToLower(s)
	for _, pair := range unames() {
		if s == pair[1] {
			return pair[0]
		}
	}
	return s
}

func roleName(r clusterpb.NodeRole) string {
	switch r {
	case clusterpb.NodeRole_NODE_ROLE_MANAGER:
		return "manager"
	case clusterpb.NodeRole_NODE_ROLE_WORKER:
		return "worker"
	case clusterpb.NodeRole_NODE_ROLE_UNSPECIFIED:
	}
	return ""
}
