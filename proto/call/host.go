package call

import (
	"net"
	"net/netip"
)

// Host is the address that a connection came from without its port, which is
// another one each time. What has no port is returned as it is.
func Host(addr string) string {
	if ap, err := netip.ParseAddrPort(addr); err == nil {
		return ap.Addr().Unmap().String()
	}
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}
