package slot

import (
	"slices"
	"testing"
)

// The order is Swarm's: what serves nothing, then from the fullest node, then
// the higher numbers. Slots are read as in parse.
func TestSurplus(t *testing.T) {
	tests := map[string]struct {
		tasks string
		keep  uint32
		want  string // numbers in the order that they go
	}{
		"none to spare":                     {"1:running@a 2:running@b", 2, ""},
		"fewer than may stay":               {"1:running@a", 3, ""},
		"no slots":                          {"", 0, ""},
		"the higher number":                 {"1:running@a 2:running@b", 1, "2"},
		"all":                               {"1:running@a 2:running@b 3:pending", 0, "3 2 1"},
		"what does not serve yet":           {"1:starting@a 2:running@b 3:running@c", 2, "1"},
		"what is on its way out":            {"1:running@a! 2:running@b", 1, "1"},
		"what serves nothing, higher first": {"1:failed@a 2:pending 3:running@a 4:starting@b", 1, "4 2 1"},
		"of the fullest node":               {"1:running@a 2:running@a 3:running@b", 2, "2"},
		"until nodes are even":              {"1:running@a 2:running@a 3:running@a 4:running@b", 2, "3 2"},
		"then in turns":                     {"1:running@a 2:running@a 3:running@b 4:running@b", 1, "4 2 3"},
		"idle slots do not fill a node":     {"1:starting@a 2:starting@a 3:running@a 4:running@b 5:running@b", 2, "2 1 5"},
		"a slot counts once":                {"1:running@a 1:starting@a 2:running@b 3:running@b", 2, "3"},
		"numbers with gaps":                 {"2:running@a 7:running@b 9:running@a", 2, "9"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			slots := group(t, tt.tasks)
			before := slices.Clone(slots)
			if got := numbers(Surplus(slots, tt.keep)); got != tt.want {
				t.Errorf("%q go, want %q", got, tt.want)
			}
			if numbers(slots) != numbers(before) {
				t.Errorf("the caller's slots are %s now", numbers(slots))
			}
		})
	}
}

// Every leader takes the same slots away, however a map is walked.
func TestSurplusIsTheSameEachTime(t *testing.T) {
	slots := group(t, "1:running@a 2:running@b 3:running@c 4:running@d 5:running@e 6:running@f")
	for range 50 {
		if got := numbers(Surplus(slots, 2)); got != "6 5 4 3" {
			t.Fatalf("%s go, want 6 5 4 3", got)
		}
	}
}
