package id

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestFew(t *testing.T) {
	if err := Few("tasks", make([]string, Most)); err != nil {
		t.Error(err)
	}
	err := Few("tasks", make([]string, Most+1))
	if !errdefs.IsInvalidArgument(err) || !strings.HasPrefix(err.Error(), "1001 tasks in a request: name 1000 at most") {
		t.Errorf("got %v", err)
	}
}

func TestNew(t *testing.T) {
	seen := make(map[string]bool)
	for range 1000 {
		s := New()
		if !Valid(s) {
			t.Fatalf("New() = %q, which is not valid", s)
		}
		if seen[s] {
			t.Fatalf("New() gave %q twice", s)
		}
		seen[s] = true
	}
}

func TestValid(t *testing.T) {
	for s, want := range map[string]bool{
		"":                           false,
		"0123456789abcdefghijklmno":  true,
		"0123456789ABCDEFGHIJKLMNO":  false,
		"0123456789abcdefghijklmn":   false,
		"0123456789abcdefghijklmnop": false,
	} {
		if Valid(s) != want {
			t.Errorf("Valid(%q) = %v, want %v", s, Valid(s), want)
		}
	}
}
