package names

import "net/netip"

// Update is what changed. Its form is spoken between a daemon and a resolver:
// fields may be added, none may change its meaning.
type Update struct {
	// Whole says that what the update does not name is not there any more.
	Whole bool `json:"whole,omitempty"`
	// More says that further updates belong to this one, which is in effect only
	// with the last of them.
	More bool `json:"more,omitempty"`
	// Index is the place in the log of changes that the table is up to date with
	// afterwards. It is handed through.
	Index uint64 `json:"index,omitempty"`
	// Networks, Services and Clients are there from now on, in place of those with
	// the same key.
	Networks []Network `json:"networks,omitempty"`
	Services []Service `json:"services,omitempty"`
	Clients  []Client  `json:"clients,omitempty"`
	// What is gone, by key. The services of a network go with it.
	GoneNetworks []string `json:"gone_networks,omitempty"`
	GoneServices []Key    `json:"gone_services,omitempty"`
	GoneClients  []string `json:"gone_clients,omitempty"`
}

// Network is a network that a task of the node is in.
type Network struct {
	ID string `json:"id"`
	// Subnets of the network: who has an address in them is ours to say, and
	// nobody else is asked.
	Subnets []netip.Prefix `json:"subnets,omitempty"`
}

// Key tells services in networks apart.
type Key struct {
	Network string `json:"network"`
	Name    string `json:"name"`
}

// Service is what a name means in one network: a service, or a container.
type Service struct {
	Key
	// Aliases mean the same. One that is another's name gives way to it; one that
	// several have means all of them.
	Aliases []string `json:"aliases,omitempty"`
	// Virtual are the service's own addresses in the network. A service without
	// any is known by its endpoints' addresses.
	Virtual []netip.Addr `json:"virtual,omitempty"`
	// Endpoints are those that take traffic now.
	Endpoints []Endpoint `json:"endpoints,omitempty"`
	// Ports are what SRV records tell.
	Ports []Port `json:"ports,omitempty"`
}

// Endpoint is a task of a service.
type Endpoint struct {
	// Slot is what SLOT.NAME and NAME.SLOT know it by: the number of its slot, the
	// name of its node where the service runs once on each, or "".
	Slot  string       `json:"slot,omitempty"`
	Addrs []netip.Addr `json:"addrs"`
}

// Port is a port that a service listens on, found by _NAME._PROTOCOL.SERVICE,
// and by its number in place of the name.
type Port struct {
	Name     string `json:"name,omitempty"`
	Protocol string `json:"protocol"` // tcp, udp, sctp
	Port     uint16 `json:"port"`
}

// Client is a task that asks.
type Client struct {
	ID string `json:"id"`
	// Netns is the path of its network namespace.
	Netns string `json:"netns"`
	// Networks that it is in, by id. It knows names of no other.
	Networks []string `json:"networks,omitempty"`
	// Domain is its search domain, without a dot at the end. Names below it are
	// ours. "" for none.
	Domain string `json:"domain,omitempty"`
	// Upstreams are who it wants to be asked about all that is not ours, from
	// within its network namespace; the node's where it names none.
	Upstreams []netip.AddrPort `json:"upstreams,omitempty"`
	// Internal says that nobody else is asked: it has no way out.
	Internal bool `json:"internal,omitempty"`
	// Hosts are further names, such as host.docker.internal.
	Hosts []Host `json:"hosts,omitempty"`
}

// Host is a name that one client knows.
type Host struct {
	Name  string       `json:"name"`
	Addrs []netip.Addr `json:"addrs"`
}
