package swarm

import (
	"errors"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/muster/muster/cli/flags"
)

var (
	// interfaceName is what Linux takes, with the dots of VLANs.
	interfaceName = regexp.MustCompile(`^[A-Za-z0-9_.@-]{1,15}$`)
	hostName      = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)
)

// nodeAddr is IP|INTERFACE[:PORT].
func nodeAddr() flags.Kind[string] {
	return flags.Kind[string]{Name: "ip|interface[:port]", Parse: func(s string) (string, error) {
		if isHost(s, interfaceName) || isHostPort(s, interfaceName) {
			return s, nil
		}
		return "", errors.New("must be an IP address or the name of an interface, with :PORT behind it or not")
	}}
}

// dataPathAddr is IP|INTERFACE.
func dataPathAddr() flags.Kind[string] {
	return flags.Kind[string]{Name: "ip|interface", Parse: func(s string) (string, error) {
		if isHost(s, interfaceName) {
			return s, nil
		}
		return "", errors.New("must be an IP address or the name of an interface")
	}}
}

// dataPathPort is 0 for the default, or a port that no other service has.
func dataPathPort() flags.Kind[uint32] {
	return flags.Kind[uint32]{Name: "port", Parse: func(s string) (uint32, error) {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil || n != 0 && (n < 1024 || n > 49151) {
			return 0, errors.New("must be a port from 1024 to 49151, or 0 for 4789")
		}
		return uint32(n), nil
	}}
}

// addrPool is a CIDR.
func addrPool() flags.Kind[string] {
	return flags.Kind[string]{Name: "cidr", Parse: func(s string) (string, error) {
		p, err := netip.ParsePrefix(s)
		if err != nil || p != p.Masked() {
			return "", errors.New("must be a network such as 10.128.0.0/9, its host bits zero")
		}
		return s, nil
	}}
}

// isRemote reports whether s is HOST[:PORT] of another machine.
func isRemote(s string) bool { return isHost(s, hostName) || isHostPort(s, hostName) }

// isHost reports whether s is an address or has the form of a name.
func isHost(s string, name *regexp.Regexp) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	// What looks like an address and is none would be taken for a name.
	return name.MatchString(s) && strings.Trim(s, "0123456789.") != ""
}

func isHostPort(s string, name *regexp.Regexp) bool {
	host, port, err := net.SplitHostPort(s)
	n, portErr := strconv.ParseUint(port, 10, 16)
	return err == nil && portErr == nil && n > 0 && isHost(host, name)
}
