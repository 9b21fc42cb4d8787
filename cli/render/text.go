package render

import (
	"strings"
	"time"

	"github.com/docker/go-units"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/proto/id"
	"github.com/muster/muster/proto/image"
)

// ID is an id as lists show it, shortened unless noTrunc.
func ID(s string, noTrunc bool) string {
	if noTrunc {
		return s
	}
	return id.Short(s)
}

// Ago is the time since t: "2 minutes ago"; "" when t is unset. Clocks of
// nodes differ a little, so the future is now.
func Ago(t *timestamppb.Timestamp, now time.Time) string {
	if t == nil {
		return ""
	}
	return strings.ToLower(units.HumanDuration(max(now.Sub(t.AsTime()), 0))) + " ago"
}

// Size is a size on disk: "187MB".
func Size(n int64) string { return units.HumanSizeWithPrecision(float64(n), 3) }

// Memory is an amount of memory: "64MiB".
func Memory(n int64) string { return units.BytesSize(float64(n)) }

// Ellipsis shortens s to n characters, the last one a "…".
func Ellipsis(s string, n int) string {
	r := []rune(s)
	if n <= 0 || len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// Image is an image's name as people write it, without the digest unless
// noTrunc or there is no tag.
func Image(name string, noTrunc bool) string {
	if noTrunc {
		return name
	}
	return image.Brief(name)
}
