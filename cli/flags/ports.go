package flags

import (
	"encoding/csv"
	"net/netip"
	"strconv"
	"strings"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/port"
)

// Ports is a published port, or a range of them, in Docker's short form
// [PUBLISHED:]TARGET[/PROTOCOL] or long form target=…,published=….
var Ports = Kind[[]*clusterpb.Port]{"port", parsePorts}

// Target is a port as --publish-rm takes it: TARGET[/PROTOCOL].
var Target = Kind[*clusterpb.Port]{"port", parseTarget}

const portForm = "must be [PUBLISHED:]TARGET[/tcp|/udp], ports from 1 to 65535, or target=PORT[,published=PORT][,protocol=tcp|udp][,mode=ingress|host]"

func parsePorts(s string) ([]*clusterpb.Port, error) {
	if strings.Contains(s, "=") {
		return parseLongPort(s)
	}
	return parseShortPorts(s)
}

func parseLongPort(s string) ([]*clusterpb.Port, error) {
	fields, err := csv.NewReader(strings.NewReader(s)).Read()
	if err != nil {
		return nil, errorf("%s", portForm)
	}
	p := &clusterpb.Port{Protocol: clusterpb.Port_PROTOCOL_TCP, Mode: clusterpb.Port_MODE_INGRESS}
	for _, field := range fields {
		key, value, _ := strings.Cut(field, "=")
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "target":
			p.Target, err = parsePort(value)
		case "published":
			p.Published, err = parsePort(value)
		case "protocol":
			p.Protocol, err = parseProtocol(value)
		case "mode":
			p.Mode, err = parsePortMode(value)
		default:
			err = errorf("unknown key %q: %s", key, portForm)
		}
		if err != nil {
			return nil, err
		}
	}
	if p.GetTarget() == 0 {
		return nil, errorf("has no target: %s", portForm)
	}
	return []*clusterpb.Port{p}, nil
}

func parseShortPorts(s string) ([]*clusterpb.Port, error) {
	rest, name, hasProtocol := strings.Cut(s, "/")
	protocol := clusterpb.Port_PROTOCOL_TCP
	if hasProtocol {
		var err error
		if protocol, err = parseProtocol(name); err != nil {
			return nil, err
		}
	}
	host, target, found := cutLast(rest, ":")
	if !found {
		host, target = "", rest
	}
	if strings.Contains(host, ":") || isIP(host) {
		return nil, errorf("names an address: a published port is open on all addresses of a node; %s", portForm)
	}
	first, last, err := parseRange(target)
	if err != nil {
		return nil, err
	}
	if host == "" {
		if found {
			return nil, errorf("%s", portForm)
		}
		return ports(protocol, first, last-first+1, 0, 0), nil
	}
	low, high, err := parseRange(host)
	if err != nil {
		return nil, err
	}
	switch {
	case last == first: // every published port leads to the one target
		return ports(protocol, first, 1, low, high-low+1), nil
	case high-low != last-first:
		return nil, errorf("the ranges %s and %s differ in length", host, target)
	}
	return ports(protocol, first, last-first+1, low, high-low+1), nil
}

// ports pairs a range of targets with a range of published ports: as long as
// it, or of any length with one target, or empty.
func ports(protocol clusterpb.Port_Protocol, target, targets, published, n uint32) []*clusterpb.Port {
	list := make([]*clusterpb.Port, max(targets, n))
	for i := range list {
		p := &clusterpb.Port{Protocol: protocol, Mode: clusterpb.Port_MODE_INGRESS, Target: target}
		if targets > 1 {
			p.Target += uint32(i)
		}
		if n > 0 {
			p.Published = published + uint32(i)
		}
		list[i] = p
	}
	return list
}

func parseTarget(s string) (*clusterpb.Port, error) {
	const form = "must be the port in the container, as TARGET or TARGET/tcp or TARGET/udp"
	number, name, hasProtocol := strings.Cut(s, "/")
	p := &clusterpb.Port{}
	n, err := parsePort(number)
	if err != nil {
		return nil, errorf("%s", form)
	}
	p.Target = n
	if hasProtocol {
		if p.Protocol, err = parseProtocol(name); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func parseRange(s string) (first, last uint32, err error) {
	low, high, isRange := strings.Cut(s, "-")
	if first, err = parsePort(low); err != nil || !isRange {
		return first, first, err
	}
	if last, err = parsePort(high); err == nil && last < first {
		err = errorf("range %q ends before it begins", s)
	}
	return first, last, err
}

func parsePort(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, errorf("%s", portForm)
	}
	return uint32(n), nil
}

func parseProtocol(s string) (clusterpb.Port_Protocol, error) {
	p, ok := port.ParseProtocol(s)
	if !ok {
		return 0, errorf("protocol %q is not supported: must be tcp or udp", s)
	}
	return p, nil
}

func parsePortMode(s string) (clusterpb.Port_Mode, error) {
	m, ok := port.ParseMode(s)
	if !ok {
		return 0, errorf("mode %q is not supported: must be ingress or host", s)
	}
	return m, nil
}

func isIP(s string) bool {
	_, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return err == nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
