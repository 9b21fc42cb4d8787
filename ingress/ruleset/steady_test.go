package ruleset

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// TestSteadyChains: chains are listed again when others changed some meanwhile, and not for ever.
func TestSteadyChains(t *testing.T) {
	for changes, want := range map[int]struct {
		lists int
		err   error
	}{0: {1, nil}, 3: {4, nil}, 100: {steadyTries, unix.EAGAIN}} {
		t.Run(fmt.Sprint(changes), func(t *testing.T) {
			inKernel(t, func() error {
				c, err := open()
				if err != nil {
					return err
				}
				defer c.CloseLasting() //nolint:errcheck // nothing is buffered
				lists := 0
				_, err = steadyChains(func() ([]*nftables.Chain, error) {
					chains, err := c.ListChains()
					if lists++; lists <= changes {
						c.AddTable(&nftables.Table{Name: fmt.Sprint("other", lists), Family: nftables.TableFamilyIPv4})
						err = errors.Join(err, c.Flush())
					}
					return chains, err
				})
				if lists != want.lists || !errors.Is(err, want.err) {
					t.Errorf("%d lists, %v, want %d, %v", lists, err, want.lists, want.err)
				}
				return nil
			})
		})
	}
}
