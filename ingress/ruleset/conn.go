package ruleset

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// chunk is how many elements go into one message. The library stores the
// length of a list in 16 bits and silently loses elements beyond 64 KiB.
const chunk = 500

// socketBuffer is the size of the socket's buffers: a transaction is sent at
// once and acknowledged message by message. 20,000 endpoints need about 3 MiB.
const socketBuffer = 64 << 20

// Read returns the kernel's table, or nil if there is none. It works in the
// network namespace of the calling thread, as all of this file.
func Read(id ID) (*Table, error) {
	c, err := open()
	if err != nil {
		return nil, err
	}
	defer c.CloseLasting() //nolint:errcheck // nothing is buffered
	nt, err := c.ListTableOfFamily(id.Name, id.Family)
	if errors.Is(err, fs.ErrNotExist) || nt == nil && err == nil {
		return nil, nil //nolint:nilnil // documented
	}
	if err != nil {
		return nil, fmt.Errorf("list nftables table %s: %w", id.Name, err)
	}
	t := &Table{ID: id, Chains: make(map[string]*Chain), Sets: make(map[string]*Set)}
	if err := t.readChains(c); err != nil {
		return nil, err
	}
	if err := t.readSets(c, nt); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Table) readChains(c *nftables.Conn) error {
	chains, err := steadyChains(func() ([]*nftables.Chain, error) { return c.ListChainsOfTableFamily(t.Family) })
	if err != nil {
		return err
	}
	tags, err := ruleTags(t.ID)
	if err != nil {
		return fmt.Errorf("list rules of nftables table %s: %w", t.Name, err)
	}
	for _, nc := range chains {
		if nc.Table.Name != t.Name {
			continue
		}
		chain := &Chain{Type: nc.Type, Hook: nc.Hooknum, Priority: nc.Priority}
		for _, tag := range tags[nc.Name] {
			chain.Rules = append(chain.Rules, Rule{Tag: tag})
		}
		t.Chains[nc.Name] = chain
	}
	return nil
}

func (t *Table) readSets(c *nftables.Conn, nt *nftables.Table) error {
	sets, err := c.GetSets(nt)
	if err != nil {
		return fmt.Errorf("list nftables sets: %w", err)
	}
	for _, ns := range sets {
		s := &Set{Spec: *ns, Elements: make(map[Element]string)}
		elements, err := c.GetSetElements(ns)
		if err != nil {
			return fmt.Errorf("list elements of nftables set %s: %w", ns.Name, err)
		}
		for _, e := range elements {
			v := string(e.Val)
			if ns.IsMap && ns.KeyType.Name == nftables.TypeVerdict.Name { // so the library reads a verdict map
				if v, err = verdictChain(e.Val); err != nil {
					return fmt.Errorf("list elements of nftables set %s: %w", ns.Name, err)
				}
			}
			s.Elements[Element{Key: string(e.Key), End: e.IntervalEnd}] = v
		}
		t.Sets[ns.Name] = s
	}
	return nil
}

// verdictChain returns the chain that a verdict goes to.
func verdictChain(raw []byte) (string, error) {
	attrs, err := netlink.UnmarshalAttributes(raw)
	if err != nil {
		return "", err
	}
	for _, a := range attrs {
		if a.Type == unix.NFTA_VERDICT_CHAIN {
			return strings.TrimRight(string(a.Data), "\x00"), nil
		}
	}
	return "", nil
}

// Apply makes the changes, which must come from Diff(_, want), in one
// transaction: all of them or none, and no packet sees a table in between.
func Apply(changes Changes, want *Table) error {
	if changes.Len() == 0 {
		return nil
	}
	if changes.Rebuild != "" && want.Name == Zones {
		return rebuildEncoded(want, changes.Create)
	}
	c, err := open()
	if err != nil {
		return err
	}
	defer c.CloseLasting() //nolint:errcheck // nothing is buffered
	w := writer{c, &nftables.Table{Name: want.Name, Family: want.Family}}
	if changes.Rebuild != "" {
		err = w.rebuild(want, changes.Create)
	} else {
		err = w.update(changes, want)
	}
	if err != nil {
		return err
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("commit %d nftables changes: %w", changes.Len(), err)
	}
	return nil
}

// Remove deletes the table, if there is one.
func Remove(id ID) error {
	c, err := open()
	if err != nil {
		return err
	}
	defer c.CloseLasting()                                             //nolint:errcheck // nothing is buffered
	t := c.AddTable(&nftables.Table{Name: id.Name, Family: id.Family}) // so that deleting it cannot fail
	c.DelTable(t)
	if err := c.Flush(); err != nil {
		return fmt.Errorf("delete nftables table %s: %w", id.Name, err)
	}
	return nil
}

func open() (*nftables.Conn, error) {
	c, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(bigBuffers))
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	return c, nil
}

// bigBuffers forces the socket's buffers beyond the system's limit, which
// needs CAP_NET_ADMIN, as nftables does anyway.
func bigBuffers(c *netlink.Conn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, socketBuffer),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer))
	})
	return errors.Join(err, set)
}

// writer queues messages of one transaction.
type writer struct {
	c *nftables.Conn
	t *nftables.Table
}

func (w writer) rebuild(want *Table, create bool) error {
	w.c.AddTable(w.t)
	if !create {
		w.c.DelTable(w.t) // it is there, by the first AddTable at the latest
		w.c.AddTable(w.t)
	}
	for i, name := range slices.Sorted(maps.Keys(want.Sets)) {
		spec := w.set(want.Sets[name])
		spec.ID = uint32(i + 1) // unique in the transaction; the library's own counter is not safe for concurrent use
		if err := w.c.AddSet(spec, nil); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	w.addChains(want, slices.Sorted(maps.Keys(want.Chains)))
	for name, set := range want.Sets {
		if err := w.elements(set, set.Elements, w.c.SetAddElements); err != nil {
			return fmt.Errorf("add to set %s: %w", name, err)
		}
	}
	return nil
}

// update keeps the order that references demand: chains before the elements
// that name them, and an element away before its key comes with another value.
func (w writer) update(changes Changes, want *Table) error {
	w.addChains(want, changes.AddChains)
	for name, es := range changes.DelElements {
		if want.Sets[name].Spec.Interval {
			continue
		}
		if err := w.elements(want.Sets[name], es, w.c.SetDeleteElements); err != nil {
			return fmt.Errorf("delete from set %s: %w", name, err)
		}
	}
	for name, es := range changes.AddElements {
		if want.Sets[name].Spec.Interval {
			continue
		}
		if err := w.elements(want.Sets[name], es, w.c.SetAddElements); err != nil {
			return fmt.Errorf("add to set %s: %w", name, err)
		}
	}
	if err := w.refill(changes, want); err != nil {
		return err
	}
	for _, name := range changes.DelChains {
		c := &nftables.Chain{Name: name, Table: w.t}
		w.c.FlushChain(c)
		w.c.DelChain(c)
	}
	return nil
}

// refill writes the sets of intervals anew that differ. The kernel refuses an
// element that begins or ends within an interval, as the elements of a
// difference may do until the last of them is made.
func (w writer) refill(changes Changes, want *Table) error {
	for name, s := range want.Sets {
		if !s.Spec.Interval || len(changes.DelElements[name])+len(changes.AddElements[name]) == 0 {
			continue
		}
		w.c.FlushSet(w.set(s))
		if err := w.elements(s, s.Elements, w.c.SetAddElements); err != nil {
			return fmt.Errorf("refill set %s: %w", name, err)
		}
	}
	return nil
}

func (w writer) addChains(want *Table, names []string) {
	chains := make(map[string]*nftables.Chain)
	for _, name := range names {
		c := want.Chains[name]
		chains[name] = w.c.AddChain(&nftables.Chain{Name: name, Table: w.t, Type: c.Type, Hooknum: c.Hook, Priority: c.Priority})
	}
	for _, name := range names {
		for _, r := range want.Chains[name].Rules {
			w.c.AddRule(&nftables.Rule{
				Table: w.t, Chain: chains[name], Exprs: r.Exprs,
				UserData: userdata.AppendString(nil, userdata.TypeComment, r.Tag),
			})
		}
	}
}

func (w writer) elements(s *Set, es map[Element]string, do func(*nftables.Set, []nftables.SetElement) error) error {
	list := make([]nftables.SetElement, 0, len(es))
	for _, e := range s.order(es) {
		v, ne := es[e], nftables.SetElement{Key: []byte(e.Key), IntervalEnd: e.End}
		switch {
		case s.verdicts():
			ne.VerdictData = &expr.Verdict{Kind: expr.VerdictGoto, Chain: v}
		case s.Spec.IsMap:
			ne.Val = []byte(v)
		}
		list = append(list, ne)
	}
	spec := w.set(s)
	for part := range slices.Chunk(list, chunk) {
		if err := do(spec, part); err != nil {
			return err
		}
	}
	return nil
}

// order returns the elements in an order that the kernel takes: intervals by
// their addresses, and where two touch, one ends before the next begins.
func (s *Set) order(es map[Element]string) []Element {
	if !s.Spec.Interval {
		return slices.Collect(maps.Keys(es))
	}
	return slices.SortedFunc(maps.Keys(es), func(a, b Element) int {
		switch c := cmp.Compare(a.Key, b.Key); {
		case c != 0 || a.End == b.End:
			return c
		case a.End:
			return -1
		}
		return 1
	})
}

func (w writer) set(s *Set) *nftables.Set {
	spec := s.Spec
	spec.Table = w.t
	return &spec
}
