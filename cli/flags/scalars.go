package flags

import (
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"google.golang.org/protobuf/types/known/durationpb"
)

func errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }

func anyText(s string) (string, error) { return s, nil }

// The kinds of single values.
var (
	Text  = Kind[string]{"string", anyText}
	Name  = Kind[string]{"string", nonEmpty}
	Bool  = Kind[bool]{"bool", parseBool}
	Count = Kind[uint32]{"uint", parseCount}
	Ratio = Kind[float64]{"float", parseRatio}
	// Duration is 0 or more.
	Duration = Kind[*durationpb.Duration]{"duration", parseDuration}
	// Bytes are an amount with an optional unit, 1024 to the k.
	Bytes = Kind[int64]{"bytes", parseBytes}
	// Size is an amount like Bytes, of any height.
	Size = Kind[int64]{"bytes", parseSize}
	// CPUs are billionths of a core.
	CPUs = Kind[int64]{"decimal", parseCPUs}
	// Words is a command line, split as a shell does.
	Words = Kind[[]string]{"command", parseWords}
	// ShellLine is a command line that a shell runs.
	ShellLine = Kind[string]{"string", parseShellLine}
	// IP is an address.
	IP = Kind[string]{"ip", parseIP}
	// Pair is KEY=VALUE; Label is KEY[=VALUE].
	Pair  = Kind[[2]string]{"key=value", parsePair}
	Label = Kind[[2]string]{"key=value", parseLabel}
)

func nonEmpty(s string) (string, error) {
	if strings.TrimSpace(s) == "" {
		return "", errorf("must not be empty")
	}
	return s, nil
}

func parseBool(s string) (bool, error) {
	b, err := strconv.ParseBool(s)
	if err != nil {
		return false, errorf("must be true or false")
	}
	return b, nil
}

func parseCount(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, errorf("must be a whole number from 0 to %d", uint32(math.MaxUint32))
	}
	return uint32(n), nil
}

// Int is a whole number from low to high; math.MaxInt64 is no limit to name.
func Int(low, high int64) Kind[int64] {
	return Kind[int64]{"int", func(s string) (int64, error) {
		n, err := strconv.ParseInt(s, 10, 64)
		switch {
		case err == nil && n >= low && n <= high:
			return n, nil
		case high == math.MaxInt64:
			return 0, errorf("must be a whole number, %d or more", low)
		}
		return 0, errorf("must be a whole number from %d to %d", low, high)
	}}
}

func parseRatio(s string) (float64, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0 && f <= 1) { // written so that NaN is refused
		return 0, errorf("must be a number from 0 to 1")
	}
	return f, nil
}

func parseDuration(s string) (*durationpb.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return nil, errorf("must be a duration of 0 or more such as 500ms, 10s or 1m30s")
	}
	return durationpb.New(d), nil
}

// Limit is how long a command waits, 0 or more.
var Limit = Kind[time.Duration]{"duration", func(s string) (time.Duration, error) {
	d, err := parseDuration(s)
	return d.AsDuration(), err
}}

// AtLeast is Duration with a lower bound.
func AtLeast(low time.Duration) Kind[*durationpb.Duration] {
	return Kind[*durationpb.Duration]{"duration", func(s string) (*durationpb.Duration, error) {
		d, err := parseDuration(s)
		if err == nil && d.AsDuration() < low {
			err = errorf("must be at least %s", low)
		}
		return d, err
	}}
}

// minMemory is the least that a container gets by with (Docker's bound).
const minMemory = 4 << 20

func parseBytes(s string) (int64, error) {
	n, err := parseSize(s)
	if err == nil && n > 0 && n < minMemory {
		return 0, errorf("must be 4m or more, or 0 for none")
	}
	return n, err
}

func parseSize(s string) (int64, error) {
	n, err := units.RAMInBytes(s)
	if err != nil || n < 0 {
		return 0, errorf("must be a size in bytes, or with a unit such as 512k, 64m or 2g")
	}
	return n, nil
}

func parseCPUs(s string) (int64, error) {
	form := errorf("must be a number of cores such as 0.5 or 2, with at most 9 decimals and at least 0.001, or 0 for none")
	// big.Rat also takes fractions and exponents, which nobody means here.
	if strings.Trim(s, "0123456789.") != "" {
		return 0, form
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return 0, form
	}
	nano := r.Mul(r, big.NewRat(1e9, 1))
	if !nano.IsInt() || !nano.Num().IsInt64() {
		return 0, form
	}
	n := nano.Num().Int64()
	if n > 0 && n < 1e6 {
		return 0, form
	}
	return n, nil
}

func parseIP(s string) (string, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return "", errorf("must be an IP address such as 192.0.2.1 or 2001:db8::1")
	}
	return a.String(), nil
}

func parsePair(s string) ([2]string, error) {
	k, v, found := strings.Cut(s, "=")
	if !found || strings.TrimSpace(k) == "" {
		return [2]string{}, errorf("must be KEY=VALUE")
	}
	return [2]string{k, v}, nil
}

func parseLabel(s string) ([2]string, error) {
	k, v, _ := strings.Cut(s, "=")
	if strings.TrimSpace(k) == "" {
		return [2]string{}, errorf("must be KEY or KEY=VALUE")
	}
	return [2]string{k, v}, nil
}
