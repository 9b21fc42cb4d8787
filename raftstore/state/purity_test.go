package state_test

import (
	"go/build"
	"slices"
	"testing"
)

// TestImportsArePure: a package that is not in this list may bring a clock, chance
// or I/O into the state machine, and replicas would differ by it. Of package time
// only the types may be used; the linter looks after that.
func TestImportsArePure(t *testing.T) {
	pure := []string{
		"bufio", "bytes", "cmp", "encoding/binary", "errors", "fmt", "io", "iter", "maps", "net/netip", "slices", "strconv", "strings", "time",
		"github.com/containerd/errdefs",
		"github.com/hashicorp/go-immutable-radix/v2",
		"github.com/muster/muster/proto/cluster/v1",
		"github.com/muster/muster/proto/lifecycle",
		"github.com/muster/muster/proto/spec",
		"github.com/muster/muster/proto/network",
		"github.com/muster/muster/proto/port",
		"github.com/muster/muster/proto/raft/v1",
		"github.com/muster/muster/proto/rollout",
		"google.golang.org/protobuf/encoding/protodelim",
		"google.golang.org/protobuf/proto",
		"google.golang.org/protobuf/reflect/protoreflect",
		"google.golang.org/protobuf/types/known/durationpb",
		"google.golang.org/protobuf/types/known/timestamppb",
	}
	pkg, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, imp := range pkg.Imports {
		if !slices.Contains(pure, imp) {
			t.Errorf("package state may not import %s", imp)
		}
	}
}
