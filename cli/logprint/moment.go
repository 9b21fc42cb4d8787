package logprint

import (
	"strconv"
	"strings"
	"time"

	"github.com/muster/muster/cli/command"
)

// ParseTime reads --since and --until: seconds since 1970, a duration before
// now, or a time as RFC 3339, which may leave out its end: the seconds, the
// hour, and the offset, for which the machine's own stands.
func ParseTime(s string, now time.Time) (time.Time, error) {
	// Seconds come first: 0 would pass as a duration too.
	if t, ok := parseUnix(s); ok {
		return t, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		for _, offset := range []string{"Z07:00", ""} {
			if t, err := time.ParseInLocation(layout+offset, s, time.Local); err == nil {
				return t, nil
			}
		}
	}
	return time.Time{}, command.Misusef("must be a time such as 2026-01-02T15:04:05Z, seconds since 1970, or a duration such as 42m")
}

// parseUnix reads SECONDS[.FRACTION] since 1970.
func parseUnix(s string) (time.Time, bool) {
	whole, fraction, _ := strings.Cut(s, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || seconds < 0 || len(fraction) > 9 {
		return time.Time{}, false
	}
	nanos, err := strconv.ParseUint("0"+fraction+strings.Repeat("0", 9-len(fraction)), 10, 32)
	if err != nil {
		return time.Time{}, false
	}
	return time.Unix(seconds, int64(nanos)), true
}
