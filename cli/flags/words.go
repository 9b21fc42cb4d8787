package flags

import (
	"encoding/json"
	"regexp"
	"strings"

	"github.com/mattn/go-shellwords"
)

func parseWords(s string) ([]string, error) {
	if err := noArray(s); err != nil {
		return nil, err
	}
	p := shellwords.NewParser()
	words, err := p.Parse(s)
	if err != nil {
		return nil, errorf("is not a command line: check its quotes")
	}
	if p.Position >= 0 {
		// The parser stops there, as a shell would begin another command.
		return nil, errorf("holds a shell operator (one of ;&|<>) outside quotes: quote it, or run it with sh -c")
	}
	return words, nil
}

func parseShellLine(s string) (string, error) {
	if err := noArray(s); err != nil {
		return "", err
	}
	return nonEmpty(s)
}

// array is a command as Dockerfiles and compose files have it, or its like.
// A shell, and Docker's command line, take it for one word.
var array = regexp.MustCompile(`(?s)^\s*\[(\s*|["'].*["']\s*)\]\s*$`)

// noArray refuses a command that is written as an array, and says how it is
// written here.
func noArray(s string) error {
	var words []string
	err := json.Unmarshal([]byte(s), &words)
	switch isArray := err == nil && words != nil; {
	case !isArray && !array.MatchString(s):
		return nil
	case isArray && len(words) == 0:
		return errorf(`is an array: write "" for no words`)
	case isArray && len(s) < 100:
		return errorf("is an array: write its words as for a shell: %s", shellLine(words))
	}
	return errorf("is an array: write its words as for a shell, with spaces between them")
}

// plain is a word that means itself to a shell.
var plain = regexp.MustCompile(`^[-a-zA-Z0-9_./:=,@%+]+$`)

// shellLine writes words as a shell takes them.
func shellLine(words []string) string {
	quoted := make([]string, 0, len(words))
	for _, w := range words {
		if !plain.MatchString(w) {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		quoted = append(quoted, w)
	}
	return strings.Join(quoted, " ")
}
