package main

import (
	"strings"
	"testing"

	"github.com/muster/muster/tools/source"
)

func TestReport(t *testing.T) {
	pkgs, err := source.Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	report(&out, pkgs, 3)
	got := out.String()
	for _, want := range []string{"tests/code", "lines of a function", "methods of a type", "Longest files", "integration/cluster.Cluster", "fewest first"} {
		if !strings.Contains(got, want) {
			t.Errorf("the report does not tell %q:\n%s", want, got)
		}
	}
	if lines := strings.Count(got, "\n"); lines > 40 {
		t.Errorf("%d lines, want three of each list", lines)
	}
}
