package control

import (
	"strings"
	"testing"
	"time"
)

func TestAgenda(t *testing.T) {
	now := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	a := newAgenda()
	expect := func(at time.Time, want string, wait time.Duration) {
		t.Helper()
		if got := strings.Join(a.take(at), " "); got != want {
			t.Errorf("due: %q, want %q", got, want)
		}
		if got := a.wait(at); got != wait {
			t.Errorf("waits %s, want %s", got, wait)
		}
	}
	a.add("b", time.Time{})
	a.add("a", time.Time{})
	a.add("b", time.Time{})
	expect(now, "b a", time.Hour) // in the order they came, each once

	a.add("c", now.Add(3*time.Minute))
	a.add("c", now.Add(2*time.Minute))
	a.add("c", now.Add(4*time.Minute))
	expect(now, "", 2*time.Minute) // the earliest counts
	a.add("c", time.Time{})
	expect(now, "c", time.Hour) // and now is earlier still

	// A key whose plan took long rests, and is not forgotten.
	a.pause("d", now.Add(time.Second))
	a.add("d", time.Time{})
	a.add("e", time.Time{})
	expect(now, "e", time.Second)
	expect(now.Add(time.Second), "d", time.Hour)
	a.add("d", time.Time{})
	expect(now.Add(time.Second), "d", time.Hour)
}
