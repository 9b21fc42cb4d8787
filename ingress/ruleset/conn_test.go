package ruleset

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

var errSent = errors.New("sent")

// sent returns the messages that a change becomes, which no kernel sees:
// "newchain d1_16", "newsetelem endpoints 2" and so on.
func sent(t *testing.T, have, want *Table) (messages []string) {
	t.Helper()
	c, err := nftables.New(nftables.WithTestDial(func(all []netlink.Message) ([]netlink.Message, error) {
		for _, m := range all {
			messages = append(messages, describe(t, m))
		}
		return nil, errSent
	}))
	if err != nil {
		t.Fatal(err)
	}
	w := writer{c, &nftables.Table{Name: want.Name, Family: want.Family}}
	if changes := Diff(have, want); changes.Rebuild != "" {
		err = w.rebuild(want, changes.Create)
	} else {
		err = w.update(changes, want)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(); !errors.Is(err, errSent) {
		t.Fatal(err)
	}
	return messages
}

func describe(t *testing.T, m netlink.Message) string {
	t.Helper()
	kinds := map[netlink.HeaderType]string{
		unix.NFT_MSG_NEWTABLE: "newtable", unix.NFT_MSG_DELTABLE: "deltable",
		unix.NFT_MSG_NEWCHAIN: "newchain", unix.NFT_MSG_DELCHAIN: "delchain",
		unix.NFT_MSG_NEWRULE: "newrule", unix.NFT_MSG_DELRULE: "delrule",
		unix.NFT_MSG_NEWSET: "newset", unix.NFT_MSG_NEWSETELEM: "newsetelem", unix.NFT_MSG_DELSETELEM: "delsetelem",
	}
	edges := map[netlink.HeaderType]string{unix.NFNL_MSG_BATCH_BEGIN: "begin", unix.NFNL_MSG_BATCH_END: "end"}
	if edge, ok := edges[m.Header.Type]; ok {
		return edge
	}
	kind := kinds[m.Header.Type&0xff]
	d, err := netlink.NewAttributeDecoder(m.Data[headerLen:])
	if err != nil {
		t.Fatal(err)
	}
	about, elements := "", 0
	for d.Next() {
		switch {
		case d.Type() == unix.NFTA_SET_ELEM_LIST_SET && strings.HasSuffix(kind, "setelem"),
			d.Type() == unix.NFTA_SET_NAME && kind == "newset",
			d.Type() == unix.NFTA_RULE_CHAIN && strings.HasSuffix(kind, "rule"),
			d.Type() == unix.NFTA_CHAIN_NAME && strings.HasSuffix(kind, "chain"):
			about = " " + d.String()
		case d.Type() == unix.NFTA_SET_ELEM_LIST_ELEMENTS && strings.HasSuffix(kind, "setelem"):
			d.Nested(func(list *netlink.AttributeDecoder) error {
				for list.Next() {
					elements++
				}
				return nil
			})
			about += fmt.Sprint(" ", elements)
		}
	}
	if err := d.Err(); err != nil {
		t.Fatal(err)
	}
	return kind + about
}

// Chains come before the elements that name them and go after those are gone;
// an element is away before its key comes with another value.
func TestChangesComeInTheOrderOfTheirReferences(t *testing.T) {
	got := sent(t, mesh(map[uint16]int{80: 1}), mesh(map[uint16]int{80: 2}))
	if got[0] != "begin" || got[len(got)-1] != "end" {
		t.Errorf("it is no transaction: %v", got)
	}
	order := []string{"newchain d2_16", "newrule d2_16", "delsetelem ports 1", "newsetelem ports 1", "delrule d1_16", "delchain d1_16"}
	last := -1
	for _, m := range order {
		i := slices.Index(got, m)
		if i <= last {
			t.Errorf("%q is message %d, want it behind number %d:\n%s", m, i, last, strings.Join(got, "\n"))
		}
		last = max(i, last)
	}
}

func TestOnlyWhatDiffersIsSent(t *testing.T) {
	got := sent(t, mesh(map[uint16]int{80: 2, 81: 1}), mesh(map[uint16]int{80: 2, 81: 0}))
	slices.Sort(got)
	want := []string{"begin", "delchain d1_17", "delrule d1_17", "delsetelem endpoints 1", "delsetelem ports 1", "end", "newsetelem empty 1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

func TestTableThatIsMissingIsOnlyMade(t *testing.T) {
	want := mesh(map[uint16]int{80: 1})
	spoiled := mesh(map[uint16]int{80: 1})
	spoiled.Chains["publish"].Rules = nil
	for name, tt := range map[string]struct {
		have *Table
		head []string
	}{
		"missing":  {nil, []string{"begin", "newtable", "newset empty"}},
		"replaced": {spoiled, []string{"begin", "newtable", "deltable", "newtable", "newset empty"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := sent(t, tt.have, want)
			if diff := cmp.Diff(tt.head, got[:len(tt.head)]); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
			for name, c := range want.Chains {
				if n := count(got, "newrule "+name); n != len(c.Rules) {
					t.Errorf("chain %s is made with %d rules, want %d", name, n, len(c.Rules))
				}
			}
			for name := range want.Sets {
				if count(got, "newset "+name) != 1 {
					t.Errorf("set %s is not made once", name)
				}
			}
		})
	}
}

func count(messages []string, m string) (n int) {
	for _, got := range messages {
		if got == m {
			n++
		}
	}
	return n
}

// The library loses elements of a message that is too long.
func TestManyElementsGoInManyMessages(t *testing.T) {
	want := mesh(nil)
	want.PutPort(tcp, 80, taskAddrs(want.Family, 2*chunk+7))
	var sizes []string
	for _, m := range sent(t, mesh(nil), want) {
		if size, ok := strings.CutPrefix(m, "newsetelem endpoints "); ok {
			sizes = append(sizes, size)
		}
	}
	if diff := cmp.Diff([]string{"500", "500", "7"}, sizes); diff != "" {
		t.Errorf("elements of the messages (-want +got):\n%s", diff)
	}
}

// The kernel refuses an interval that would begin or end within another, if
// only until the next element is there.
func TestIntervalsAreWrittenWholeAndInOrder(t *testing.T) {
	have, want := mesh(nil), mesh(nil)
	have.PutSubnet(netip.MustParsePrefix("10.0.0.0/24"))
	for _, p := range []string{"10.0.0.128/25", "192.168.0.0/16", "10.0.0.0/25"} {
		want.PutSubnet(netip.MustParsePrefix(p))
	}
	if diff := cmp.Diff([]string{"begin", "delsetelem subnets", "newsetelem subnets 6", "end"}, sent(t, have, want)); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	var order []string
	s := want.Sets[Subnets]
	for _, e := range s.order(s.Elements) {
		order = append(order, s.format(e, ""))
	}
	ordered := []string{"10.0.0.0", "before 10.0.0.128", "10.0.0.128", "before 10.0.1.0", "192.168.0.0", "before 192.169.0.0"}
	if diff := cmp.Diff(ordered, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if got := len(have.Sets[Ports].order(map[Element]string{{Key: "a"}: "", {Key: "b"}: ""})); got != 2 {
		t.Errorf("%d of two elements without an order are left", got)
	}
}

// The transaction that the library cannot say has the same form as its own.
func TestOwnTransactionIsInTheKernelsForm(t *testing.T) {
	tx := transaction{fam: nftables.TableFamilyIPv6}
	tx.add(unix.NFT_MSG_NEWTABLE, netlink.Create, func(e *netlink.AttributeEncoder) { e.String(unix.NFTA_TABLE_NAME, "x") })
	if tx.err != nil || len(tx.messages) != 1 {
		t.Fatalf("%d messages, %v", len(tx.messages), tx.err)
	}
	m := tx.messages[0]
	if got := describe(t, m); got != "newtable" || m.Header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES {
		t.Errorf("it is %s of subsystem %d", got, m.Header.Type>>8)
	}
	if want := netlink.Request | netlink.Create; m.Header.Flags != want {
		t.Errorf("its flags are %s, want %s", m.Header.Flags, want)
	}
	if want := []byte{unix.NFPROTO_IPV6, unix.NFNETLINK_V0, 0, 0}; !slices.Equal(m.Data[:headerLen], want) {
		t.Errorf("its header is %v, want %v", m.Data[:headerLen], want)
	}
	for kind, want := range map[netlink.HeaderType]string{unix.NFNL_MSG_BATCH_BEGIN: "begin", unix.NFNL_MSG_BATCH_END: "end"} {
		if got := edge(kind); describe(t, got) != want || got.Data[3] != unix.NFNL_SUBSYS_NFTABLES {
			t.Errorf("the edge %s is %v", want, got)
		}
	}
}

// What cannot be encoded is not sent without it.
func TestTransactionThatCannotBeEncodedIsNotSent(t *testing.T) {
	tx := transaction{fam: nftables.TableFamilyIPv4}
	broken := errors.New("too long")
	tx.add(unix.NFT_MSG_NEWTABLE, 0, func(e *netlink.AttributeEncoder) {
		e.Do(unix.NFTA_TABLE_NAME, func() ([]byte, error) { return nil, broken })
	})
	tx.add(unix.NFT_MSG_NEWTABLE, 0, func(e *netlink.AttributeEncoder) { e.String(unix.NFTA_TABLE_NAME, "x") })
	if err := tx.commit(); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

func TestVerdictNamesItsChain(t *testing.T) {
	raw, err := attributes(func(e *netlink.AttributeEncoder) {
		e.Uint32(unix.NFTA_VERDICT_CODE, uint32(0xfffffffc)) // goto
		e.String(unix.NFTA_VERDICT_CHAIN, "d1_16")
	})
	if err != nil {
		t.Fatal(err)
	}
	accept, err := attributes(func(e *netlink.AttributeEncoder) { e.Uint32(unix.NFTA_VERDICT_CODE, 1) })
	if err != nil {
		t.Fatal(err)
	}
	for want, raw := range map[string][]byte{"d1_16": raw, "": accept} {
		if got, err := verdictChain(raw); got != want || err != nil {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	if _, err := verdictChain([]byte{1, 2, 3}); err == nil {
		t.Error("what is cut short is read")
	}
}
