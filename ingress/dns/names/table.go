package names

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"

	iradix "github.com/hashicorp/go-immutable-radix/v2"
)

// Table is what names mean to the clients of a node. It never changes. Making
// another one of it costs as much as what differs.
type Table struct {
	index    uint64
	networks map[string]*network
	clients  *iradix.Tree[*Client]
}

// network is what is known in one network.
type network struct {
	Network
	services *iradix.Tree[*Service]   // by name
	aliases  *iradix.Tree[[]*Service] // by alias
	owners   *iradix.Tree[[]owner]    // by address
}

// owner is whose an address is: a service's own where slot is virtual.
type owner struct {
	service *Service
	slot    string
	virtual bool
}

// Empty is the table in which nothing means anything.
func Empty() *Table {
	return &Table{networks: make(map[string]*network), clients: iradix.New[*Client]()}
}

// Index is that of the last update.
func (t *Table) Index() uint64 { return t.index }

// Clients are all that may ask, in the order of their ids.
func (t *Table) Clients() iter.Seq[*Client] {
	return func(yield func(*Client) bool) {
		it := t.clients.Root().Iterator()
		for _, c, ok := it.Next(); ok && yield(c); _, c, ok = it.Next() {
		}
	}
}

// Client returns a client by its id, nil if there is none.
func (t *Table) Client(id string) *Client {
	c, _ := t.clients.Get([]byte(id))
	return c
}

// Apply returns the table after an update. A service without a name, or of a
// network that is not there, is left out and named by the error; the rest applies.
func (t *Table) Apply(u *Update) (*Table, error) {
	if u.Whole {
		t = Empty()
	}
	d := draft{table: &Table{index: u.Index, networks: maps.Clone(t.networks)}, clients: t.clients.Txn(), open: make(map[string]*openNetwork)}
	for _, id := range u.GoneClients {
		d.clients.Delete([]byte(id))
	}
	for _, id := range u.GoneNetworks {
		delete(d.table.networks, id)
	}
	for _, n := range u.Networks {
		d.putNetwork(n)
	}
	for _, key := range u.GoneServices {
		if n := d.network(key.Network); n != nil {
			n.remove(fold(key.Name))
		}
	}
	var errs []error
	for _, s := range u.Services {
		n := d.network(s.Network)
		if n == nil || s.Name == "" {
			errs = append(errs, fmt.Errorf("service %q in network %q: there is no such network in the table, or the name is empty", s.Name, s.Network))
			continue
		}
		n.remove(fold(s.Name))
		n.add(&s)
	}
	for _, c := range u.Clients {
		d.clients.Insert([]byte(c.ID), &c)
	}
	return d.commit(), errors.Join(errs...)
}

// Whole is the update that makes the table of an empty one.
func (t *Table) Whole() *Update {
	u := &Update{Whole: true, Index: t.index}
	for _, id := range slices.Sorted(maps.Keys(t.networks)) {
		n := t.networks[id]
		u.Networks = append(u.Networks, n.Network)
		it := n.services.Root().Iterator()
		for _, s, ok := it.Next(); ok; _, s, ok = it.Next() {
			u.Services = append(u.Services, *s)
		}
	}
	for c := range t.Clients() {
		u.Clients = append(u.Clients, *c)
	}
	return u
}

// draft is a table in the making.
type draft struct {
	table   *Table
	clients *iradix.Txn[*Client]
	open    map[string]*openNetwork // those that change
}

// openNetwork is a network in the making.
type openNetwork struct {
	Network
	services *iradix.Txn[*Service]
	aliases  *iradix.Txn[[]*Service]
	owners   *iradix.Txn[[]owner]
}

func (d *draft) putNetwork(n Network) {
	if d.table.networks[n.ID] == nil {
		d.table.networks[n.ID] = &network{services: iradix.New[*Service](), aliases: iradix.New[[]*Service](), owners: iradix.New[[]owner]()}
	}
	d.network(n.ID).Network = n
}

// network opens a network for changes; nil if there is none.
func (d *draft) network(id string) *openNetwork {
	if o := d.open[id]; o != nil {
		return o
	}
	n := d.table.networks[id]
	if n == nil {
		return nil
	}
	d.open[id] = &openNetwork{Network: n.Network, services: n.services.Txn(), aliases: n.aliases.Txn(), owners: n.owners.Txn()}
	return d.open[id]
}

func (d *draft) commit() *Table {
	for id, o := range d.open {
		d.table.networks[id] = &network{
			Network: o.Network, services: o.services.Commit(), aliases: o.aliases.Commit(), owners: o.owners.Commit(),
		}
	}
	d.table.clients = d.clients.Commit()
	return d.table
}

func (n *openNetwork) add(s *Service) {
	n.services.Insert([]byte(fold(s.Name)), s)
	for _, alias := range aliases(s) {
		insert(n.aliases, []byte(alias), s)
	}
	for addr, o := range owned(s) {
		insert(n.owners, addr.AsSlice(), o)
	}
}

func (n *openNetwork) remove(name string) {
	s, ok := n.services.Delete([]byte(name))
	if !ok {
		return
	}
	for _, alias := range aliases(s) {
		withdraw(n.aliases, []byte(alias), func(o *Service) bool { return o == s })
	}
	for addr := range owned(s) {
		withdraw(n.owners, addr.AsSlice(), func(o owner) bool { return o.service == s })
	}
}

// aliases of a service, each once.
func aliases(s *Service) []string {
	all := make([]string, 0, len(s.Aliases))
	for _, alias := range s.Aliases {
		if alias = fold(alias); alias != "" && !slices.Contains(all, alias) {
			all = append(all, alias)
		}
	}
	return all
}

// owned are the addresses of a service.
func owned(s *Service) iter.Seq2[netip.Addr, owner] {
	return func(yield func(netip.Addr, owner) bool) {
		for _, a := range s.Virtual {
			if !yield(a.Unmap(), owner{service: s, virtual: true}) {
				return
			}
		}
		for _, e := range s.Endpoints {
			for _, a := range e.Addrs {
				if !yield(a.Unmap(), owner{service: s, slot: e.Slot}) {
					return
				}
			}
		}
	}
}

// insert and withdraw change a copy of the list at key: readers have the old one.
func insert[T any](tree *iradix.Txn[[]T], key []byte, v T) {
	list, _ := tree.Get(key)
	tree.Insert(key, append(slices.Clip(list), v))
}

func withdraw[T any](tree *iradix.Txn[[]T], key []byte, is func(T) bool) {
	list, _ := tree.Get(key)
	if list = slices.DeleteFunc(slices.Clone(list), is); len(list) > 0 {
		tree.Insert(key, list)
		return
	}
	tree.Delete(key)
}

// fold makes names that mean the same equal.
func fold(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
