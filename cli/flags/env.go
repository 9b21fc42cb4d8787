package flags

import (
	"bufio"
	"os"
	"strings"
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
		for n := 1; lines.Scan(); n++ {
			line := strings.TrimLeft(lines.Text(), " \t")
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			entry, err := env.Parse(line)
			if err != nil {
				return nil, errorf("line %d: %q: %w", n, line, err)
			}
			if entry != "" {
				list = append(list, entry)
			}
		}
		return list, lines.Err()
	}}
}
