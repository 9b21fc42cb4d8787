package repeat

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f Filter
		passed, skipped := 0, 0
		for range 300 {
			if n, ok := f.Pass("a"); ok {
				passed++
				skipped += n
			}
			time.Sleep(100 * time.Millisecond)
		}
		if _, ok := f.Pass("b"); passed != 3 || skipped != 198 || !ok {
			t.Errorf("said %d times in 30 s, and that it was not %d times; another thing: %t", passed, skipped, ok)
		}
	})
}

// TestPassOfMadeUpThings: there are no more lines for more keys.
func TestPassOfMadeUpThings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f Filter
		for round := range 2 {
			passed := 0
			for i := range 10 * most {
				if _, ok := f.Pass(fmt.Sprint(round, "/", i)); ok {
					passed++
				}
			}
			if passed != most || len(f.said) != most {
				t.Errorf("%d of %d things are said, %d are remembered; want %d", passed, 10*most, len(f.said), most)
			}
			time.Sleep(Every)
		}
	})
}
