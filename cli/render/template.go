package render

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/template"
	"unicode/utf8"

	"github.com/muster/muster/cli/command"
)

// functions are those Docker gives to --format templates.
func functions() template.FuncMap {
	return template.FuncMap{
		"json": func(v any) (string, error) {
			b, err := marshal(v, "")
			return strings.TrimSpace(string(b)), err
		},
		"split": strings.Split,
		"join":  strings.Join,
		"title": func(s string) string {
			_, n := utf8.DecodeRuneInString(s)
			return strings.ToUpper(s[:n]) + s[n:]
		},
		"lower":   strings.ToLower,
		"upper":   strings.ToUpper,
		"println": fmt.Sprintln,
		"pad": func(s string, before, after int) string {
			if s == "" {
				return s
			}
			return strings.Repeat(" ", max(before, 0)) + s + strings.Repeat(" ", max(after, 0))
		},
		"truncate": func(s string, n int) string {
			if r := []rune(s); len(r) > n && n >= 0 {
				return string(r[:n])
			}
			return s
		},
	}
}

// parseTemplate reads the value of --format.
func parseTemplate(text string) (*template.Template, error) {
	// Shells pass \t and \n on as they are written.
	text = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(text)
	t, err := template.New("").Funcs(functions()).Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, command.Misusef("--format %q: %w", text, err)
	}
	return t, nil
}

// marshal is JSON as people read it, without escapes for HTML.
func marshal(v any, indent string) ([]byte, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	err := e.Encode(v)
	return []byte(b.String()), err
}

// CheckInspect reports a --format that Inspect would refuse whatever the
// objects are, before any call is made. words are those that the command knows.
func CheckInspect(format, words string) error {
	if format == "json" {
		return nil
	}
	if err := checkWord(format, words); err != nil {
		return err
	}
	_, err := parseTemplate(format)
	return err
}

// Inspect writes objects as "inspect" does: an indented JSON array, or one
// line each by a template or, for "json", as compact JSON.
func Inspect(w io.Writer, format string, objects []any) error {
	if format == "" {
		if objects == nil {
			objects = []any{}
		}
		b, err := marshal(objects, "    ")
		if err != nil {
			return fmt.Errorf("write JSON: %w", err)
		}
		_, err = w.Write(b)
		return err
	}
	if format == "json" {
		format = "{{json .}}"
	}
	if err := CheckInspect(format, "json"); err != nil {
		return err
	}
	t, err := parseTemplate(format)
	if err != nil {
		return err
	}
	for _, o := range objects {
		var line strings.Builder
		if err := t.Execute(&line, o); err != nil {
			return explain(format, err)
		}
		fmt.Fprintln(w, line.String())
	}
	return nil
}
