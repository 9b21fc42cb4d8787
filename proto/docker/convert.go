package docker

import (
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// meta is what all objects have.
func meta(o interface {
	GetVersion() uint64
	GetCreatedAt() *timestamppb.Timestamp
	GetUpdatedAt() *timestamppb.Timestamp
},
) swarm.Meta {
	return swarm.Meta{
		Version:   swarm.Version{Index: o.GetVersion()},
		CreatedAt: o.GetCreatedAt().AsTime(),
		UpdatedAt: o.GetUpdatedAt().AsTime(),
	}
}

// word is the name of an enum value as Docker writes it, "stop-first" for
// ORDER_STOP_FIRST; "" when it is unset.
func word[T ~string](value fmt.Stringer, prefix string) T {
	name := strings.TrimPrefix(value.String(), prefix)
	if name == "UNSPECIFIED" {
		return ""
	}
	return T(strings.ReplaceAll(strings.ToLower(name), "_", "-"))
}

// labels is an empty map, not null, when there are none.
func labels(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func duration(d *durationpb.Duration) *time.Duration {
	if d == nil {
		return nil
	}
	v := d.AsDuration()
	return &v
}

func at(t *timestamppb.Timestamp) *time.Time {
	if t == nil {
		return nil
	}
	v := t.AsTime()
	return &v
}
