package command

import (
	"net"
	"strconv"
	"strings"
)

const (
	// DefaultHost is the socket of the daemon on this machine.
	DefaultHost = "unix:///run/muster/muster.sock"
	// DefaultIdentity is where the daemon keeps its node certificate.
	DefaultIdentity = "/var/lib/muster/identity"
	// controlPort is used when a tcp host names none.
	controlPort = "2377"
)

// endpoint is where a daemon listens.
type endpoint struct {
	network string // unix or tcp
	addr    string // a path, or HOST:PORT
}

// parseEndpoint reads unix://PATH or tcp://HOST[:PORT].
func parseEndpoint(s string) (endpoint, error) {
	scheme, rest, found := strings.Cut(s, "://")
	switch {
	case !found || rest == "":
	case scheme == "unix" && strings.HasPrefix(rest, "/"):
		return endpoint{"unix", rest}, nil
	case scheme == "tcp":
		if addr, ok := withPort(rest); ok {
			return endpoint{"tcp", addr}, nil
		}
	}
	return endpoint{}, Misusef("--host %q: must be unix:///PATH or tcp://HOST[:PORT]", s)
}

// withPort returns HOST:PORT for HOST or HOST:PORT; an IPv6 address with a
// port is in brackets.
func withPort(s string) (string, bool) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = strings.Trim(s, "[]"), controlPort
		if strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return "", false
		}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if host == "" || strings.ContainsAny(host, "/ ") || err != nil || n == 0 {
		return "", false
	}
	return net.JoinHostPort(host, port), true
}

// String is the form users write.
func (e endpoint) String() string { return e.network + "://" + e.addr }
