package flags

import (
	"bufio"
	"errors"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/muster/muster/internal/text"
)

// Lookup reads a variable of the client's environment.
type Lookup func(string) (string, bool)

// Env is KEY=VALUE, or KEY to take the client's value. The value is "" when
// the client has none: nothing is set then.
func Env(lookup Lookup) Kind[string] {
	return Kind[string]{"env", func(s string) (string, error) {
		key, _, found := strings.Cut(s, "=")
		if key == "" || strings.ContainsAny(key, " \t") {
			return "", errorf("must be KEY=VALUE, or KEY to take the value from this shell")
		}
		if found {
			return s, nil
		}
		if v, ok := lookup(key); ok {
			return key + "=" + v, nil
		}
		return "", nil
	}}
}

// maxEnvLine bounds a line of a file of variables, in bytes: Linux takes no
// longer variable.
const maxEnvLine = text.MaxAsked

// byteOrderMark begins files of some editors and is no part of the first name.
const byteOrderMark = "\ufeff"

// EnvFile is the path of a file with one Env a line; empty lines and lines
// that begin with # are skipped.
func EnvFile(lookup Lookup) Kind[[]string] {
	env := Env(lookup)
	return Kind[[]string]{"file", func(path string) ([]string, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		var list []string
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, maxEnvLine)
		n := 1
		for ; lines.Scan(); n++ {
			read := lines.Text()
			if n == 1 {
				read = strings.TrimPrefix(read, byteOrderMark)
			}
			if !utf8.ValidString(read) || strings.Contains(read, "\x00") {
				return nil, errorf("line %d: %s: must be text in UTF-8", n, text.Quote(read))
			}
			line := strings.TrimLeft(read, " \t")
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			entry, err := env.Parse(line)
			if err != nil {
				return nil, errorf("line %d: %s: %w", n, text.Quote(line), err)
			}
			if entry != "" {
				list = append(list, entry)
			}
		}
		if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
			return nil, errorf("line %d: has more than %d bytes", n, maxEnvLine)
		} else if err != nil {
			return nil, err
		}
		return list, nil
	}}
}
