package command

import (
	"strconv"
	"strings"
	"unicode"
)

// Printable returns s with what is no visible text written as Go writes it in
// strings: \n, \x1b. What nodes and containers tell of themselves is shown on
// the terminals of users, which it must not steer.
func Printable(s string) string {
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// hidden reports whether a terminal shows no sign for r. Spaces of other
// alphabets it does.
func hidden(r rune) bool { return !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r) }
