package node

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
)

// TestDoctorTellsWhatStays: what passes by itself, as while a node is drained, is
// not told.
func TestDoctorTellsWhatStays(t *testing.T) {
	broken := errors.New("broken")
	tests := map[string]struct {
		looks [][]string // nil fails
		want  []string
		err   error
	}{
		"all is well":              {looks: [][]string{{}}},
		"it passes":                {looks: [][]string{{"route"}, {}}},
		"it stays":                 {looks: [][]string{{"route", "set"}, {"set"}}, want: []string{"set"}},
		"another one comes":        {looks: [][]string{{"route"}, {"set"}}},
		"it cannot look":           {looks: [][]string{nil}, err: broken},
		"it cannot look once more": {looks: [][]string{{"route"}, nil}, err: broken},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				got, err := standing(t.Context(), func(context.Context) ([]string, error) {
					n++
					if tt.looks[n-1] == nil {
						return nil, broken
					}
					return tt.looks[n-1], nil
				})
				if !slices.Equal(got, tt.want) || !errors.Is(err, tt.err) || n != len(tt.looks) {
					t.Errorf("%q, %v after %d looks, want %q, %v after %d", got, err, n, tt.want, tt.err, len(tt.looks))
				}
			})
		})
	}
}

func TestDoctorEndsWithItsCaller(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := standing(ctx, func(context.Context) ([]string, error) { cancel(); return []string{"route"}, nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
}
