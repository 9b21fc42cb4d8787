package ruleset

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/muster/muster/integration/needs"
)

// inKernel calls f in a network namespace that has no tables, and ends with it.
func inKernel(t *testing.T, f func() error) {
	t.Helper()
	needs.Root(t, "network namespaces")
	ended := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine, and the namespace with the thread
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			ended <- fmt.Errorf("unshare: %w", err)
			return
		}
		ended <- f()
	}()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// bring makes the kernel hold want, and tells what had to be changed.
func bring(want *Table) (Changes, error) {
	have, err := Read(want.ID)
	if err != nil {
		return Changes{}, err
	}
	changes := Diff(have, want)
	if err := Apply(changes, want); err != nil {
		return changes, err
	}
	if have, err = Read(want.ID); err != nil {
		return changes, err
	}
	if left := Diff(have, want); left.Len() != 0 {
		return changes, fmt.Errorf("after %v there are left: %v", changes.Describe(want), left.Describe(want))
	}
	return changes, nil
}

// What was written is read back as it was meant: whatever a table held before,
// afterwards it differs in nothing.
func TestKernelHoldsWhatItIsTold(t *testing.T) {
	for _, fam := range families {
		t.Run(fmt.Sprint("family ", fam), func(t *testing.T) {
			inKernel(t, func() error {
				more := node()[fam]
				more.PutPort(tcp, 81, taskAddrs(fam, 3)) // it had none
				more.PutPort(tcp, 443, taskAddrs(fam, 1200))
				less := New(fam, names)
				less.PutPort(tcp, 80, taskAddrs(fam, 1))
				rebuilt := 0
				for _, want := range []*Table{New(fam, names), node()[fam], more, less, more, New(fam, names)} {
					changes, err := bring(want)
					if err != nil {
						return err
					}
					if changes.Rebuild != "" {
						rebuilt++
					}
				}
				if rebuilt != 1 {
					return fmt.Errorf("the table was replaced %d times, want it only made", rebuilt)
				}
				return nil
			})
		})
	}
}

// Ranges that touch, and the last addresses of all, are where kernels and
// libraries trip: every list of subnets follows on every other.
func TestKernelHoldsSubnets(t *testing.T) {
	var tables []*Table
	for _, subnets := range []string{
		"",
		"10.0.0.0/25",
		"10.0.0.0/24",
		"10.0.0.0/25 10.0.0.128/25",
		"10.0.0.128/25",
		"10.0.0.128/25 10.0.1.0/24 10.0.2.0/24 255.255.255.0/24",
		"10.0.0.7/32 10.0.0.9/32",
		"0.0.0.0/8 10.0.0.8/32",
	} {
		table := New(nftables.TableFamilyIPv4, names)
		for p := range strings.FieldsSeq(subnets) {
			table.PutSubnet(netip.MustParsePrefix(p))
		}
		tables = append(tables, table)
	}
	inKernel(t, func() error {
		for _, from := range tables {
			for _, to := range tables {
				for _, want := range []*Table{from, to} {
					if _, err := bring(want); err != nil {
						return fmt.Errorf("from\n%sto\n%s: %w", from, to, err)
					}
				}
			}
			if err := Remove(from.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestKernelHoldsZones(t *testing.T) {
	inKernel(t, func() error {
		for _, fam := range families {
			other := names
			other.Overlay = "mu1"
			for _, n := range []Names{names, other, other} {
				if _, err := bring(NewZones(fam, n)); errors.Is(err, ErrNoZones) {
					t.Log(err)
				} else if err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// What somebody else did to the table is undone, and only to it.
func TestStrangersChangesAreUndone(t *testing.T) {
	ours := &nftables.Table{Name: Mesh, Family: nftables.TableFamilyIPv4}
	tests := map[string]func(*nftables.Conn){
		"a rule of theirs": func(c *nftables.Conn) {
			c.AddRule(&nftables.Rule{Table: ours, Chain: &nftables.Chain{Name: "forward", Table: ours}, Exprs: []expr.Any{&expr.Counter{}}})
		},
		"a chain emptied": func(c *nftables.Conn) { c.FlushChain(&nftables.Chain{Name: "guard", Table: ours}) },
		"a chain of theirs": func(c *nftables.Conn) {
			c.AddChain(&nftables.Chain{Name: "theirs", Table: ours})
		},
		"a hooked chain of theirs": func(c *nftables.Conn) {
			c.AddChain(&nftables.Chain{
				Name: "theirs", Table: ours, Type: nftables.ChainTypeFilter,
				Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter,
			})
		},
		"a set emptied": func(c *nftables.Conn) { c.FlushSet(&nftables.Set{Name: Peers, Table: ours}) },
		"a set of theirs": func(c *nftables.Conn) {
			_ = c.AddSet(&nftables.Set{Name: "theirs", Table: ours, KeyType: nftables.TypeInetService, ID: 99}, nil)
		},
		"the table deleted": func(c *nftables.Conn) { c.DelTable(ours) },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			inKernel(t, func() error {
				want := node()[nftables.TableFamilyIPv4]
				if _, err := bring(want); err != nil {
					return err
				}
				c, err := open()
				if err != nil {
					return err
				}
				defer c.CloseLasting() //nolint:errcheck // nothing is buffered
				c.AddTable(&nftables.Table{Name: "theirs", Family: nftables.TableFamilyIPv4})
				spoil(c)
				if err := c.Flush(); err != nil {
					return err
				}
				changes, err := bring(want)
				if err != nil {
					return err
				}
				if changes.Len() == 0 {
					return errors.New("nothing was seen of it")
				}
				if theirs, err := Read(ID{nftables.TableFamilyIPv4, "theirs"}); err != nil || theirs == nil {
					return fmt.Errorf("the table that is not ours: %v, %w", theirs, err)
				}
				return nil
			})
		})
	}
}

// A change that cannot be made as a whole is not made at all.
func TestAllOrNothing(t *testing.T) {
	inKernel(t, func() error {
		before := node()[nftables.TableFamilyIPv4]
		if _, err := bring(before); err != nil {
			return err
		}
		peer := map[Element]string{{Key: "\x0a\x00\x00\x01"}: ""}
		impossible := Changes{
			AddElements: map[string]map[Element]string{Peers: peer},
			DelChains:   []string{"d2_16"}, // which a port goes to
		}
		if err := Apply(impossible, before); err == nil {
			return errors.New("a chain in use was deleted")
		}
		have, err := Read(before.ID)
		if err != nil {
			return err
		}
		if left := Diff(have, before); left.Len() != 0 {
			return fmt.Errorf("half of it was made: %v", left.Describe(before))
		}
		return nil
	})
}

func TestRemoveLeavesNothingOfOursAndAllElse(t *testing.T) {
	inKernel(t, func() error {
		for _, fam := range families {
			id := ID{fam, Mesh}
			if have, err := Read(id); err != nil || have != nil {
				return fmt.Errorf("before there was one: %v, %w", have, err)
			}
			if err := Remove(id); err != nil {
				return fmt.Errorf("remove what is not there: %w", err)
			}
			if _, err := bring(node()[fam]); err != nil {
				return err
			}
		}
		if err := Remove(ID{nftables.TableFamilyIPv4, Mesh}); err != nil {
			return err
		}
		if have, err := Read(ID{nftables.TableFamilyIPv4, Mesh}); err != nil || have != nil {
			return fmt.Errorf("it is still there: %v, %w", have, err)
		}
		have, err := Read(ID{nftables.TableFamilyIPv6, Mesh})
		if err != nil || have == nil {
			return fmt.Errorf("that of the other family: %v, %w", have, err)
		}
		want := node()[nftables.TableFamilyIPv6]
		if got := slices.Sorted(maps.Keys(have.Chains)); !slices.Equal(got, slices.Sorted(maps.Keys(want.Chains))) {
			return fmt.Errorf("that of the other family has the chains %v", got)
		}
		return nil
	})
}
