package render

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/cli/command"
)

var fruit = Table{
	{Field: "ID", Header: "ID", Cell: `{{.ID}}{{if eq .Ripe "true"}} *{{end}}`},
	{Field: "Name", Header: "NAME"},
	{Field: "Ripe", Header: "RIPE", Hidden: true},
}

func TestTable(t *testing.T) {
	rows := []Row{{"ID": "1", "Name": "apple", "Ripe": "true"}, {"ID": "22", "Name": "a <b>", "Ripe": "false"}}
	tests := map[string]struct {
		format, want, wantErr string
	}{
		"default":            {"", "ID        NAME\n1 *       apple\n22        a <b>\n", ""},
		"table":              {"table", "ID        NAME\n1 *       apple\n22        a <b>\n", ""},
		"table of one":       {"table {{.Name}}", "NAME\napple\na <b>\n", ""},
		"table, typed tab":   {`table {{.ID}}\t{{.Ripe}}`, "ID        RIPE\n1         true\n22        false\n", ""},
		"json":               {"json", `{"ID":"1","Name":"apple","Ripe":"true"}` + "\n" + `{"ID":"22","Name":"a <b>","Ripe":"false"}` + "\n", ""},
		"template":           {"{{.ID}}={{upper .Name}}", "1=APPLE\n22=A <B>\n", ""},
		"functions":          {`{{join (split .Name "p") "-"}} {{title .Name}} {{truncate .Name 2}} {{pad .ID 1 1}}|{{json .ID}}`, "a--le Apple ap  1 |\"1\"\na <b> A <b> a   22 |\"22\"\n", ""},
		"condition":          {`{{if eq .Ripe "true"}}{{.Name}}{{else}}-{{end}}`, "apple\n-\n", ""},
		"no such field":      {"{{.Colour}}", "", `--format "{{.Colour}}": no field .Colour; fields are .ID, .Name, .Ripe`},
		"nor in a condition": {"{{if .Colour}}x{{end}}", "", "no field .Colour"},
		"nor with it":        {"{{with .Colour}}x{{end}}", "", "no field .Colour"},
		"nor without it":     {"{{with .Name}}{{.}}{{else}}{{.Colour}}{{end}}", "", "no field .Colour"},
		"nor over it":        {"{{range .Colour}}x{{end}}", "", "no field .Colour"},
		"with":               {"{{with .Name}}{{.}}{{end}}", "apple\na <b>\n", ""},
		"raw":                {"raw", "id: 1\nname: apple\n\nid: 22\nname: a <b>\n\n", ""},
		"text":               {"-", "-\n-\n", ""},
		"a word":             {"pretty", "", `--format "pretty": must be table, "table TEMPLATE", json, raw or a Go template such as {{.ID}}`},
		"nearly a word":      {"tables", "", `--format "tables": must be table,`},
		"syntax":             {"{{.ID", "", `--format "{{.ID"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			err := fruit.Write(&b, tt.format, rows)
			check := fruit.Check(tt.format)
			if (err == nil) != (check == nil) {
				t.Errorf("Check = %v, Write = %v: they disagree", check, err)
			}
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) || command.ExitStatus(err) != command.ExitMisuse {
					t.Errorf("error = %v, want a misuse with %q", err, tt.wantErr)
				}
				return
			}
			if err != nil || trimLines(b.String()) != tt.want {
				t.Errorf("output = %q, %v, want %q", trimLines(b.String()), err, tt.want)
			}
		})
	}
}

// trimLines drops the blanks that pad the last column.
// TestTableHoldsNoControlCharacters: a node says what it is called.
func TestTableHoldsNoControlCharacters(t *testing.T) {
	rows := []Row{{"ID": "1", "Name": "a\x1b[2J\tb\n2  c", "Ripe": "true"}}
	for format, want := range map[string]string{
		"":          "ID        NAME\n1 *       a\\x1b[2J\\tb\\n2  c\n",
		"table":     "ID        NAME\n1 *       a\\x1b[2J\\tb\\n2  c\n",
		"{{.Name}}": "a\x1b[2J     b\n2  c\n",
		"json":      `{"ID":"1","Name":"a\u001b[2J\tb\n2  c","Ripe":"true"}` + "\n",
	} {
		var b strings.Builder
		if err := fruit.Write(&b, format, rows); err != nil || trimLines(b.String()) != want {
			t.Errorf("%q: %q, %v, want %q", format, trimLines(b.String()), err, want)
		}
	}
}

// TestCell: what is made for people is not what programs read.
func TestCell(t *testing.T) {
	rows := []Row{{"ID": Cell{"1", "one"}, "Name": Cell{"äpfel", "\\_ äpfel"}, "Ripe": "true"}}
	for format, want := range map[string]string{
		"":                "ID        NAME\none *     \\_ äpfel\n",
		"table {{.Name}}": "NAME\n\\_ äpfel\n",
		"{{title .Name}}": "Äpfel\n",
		"{{title \"\"}}":  "\n",
		"json":            `{"ID":"1","Name":"äpfel","Ripe":"true"}` + "\n",
	} {
		var b strings.Builder
		if err := fruit.Write(&b, format, rows); err != nil || trimLines(b.String()) != want {
			t.Errorf("%q: %q, %v, want %q", format, trimLines(b.String()), err, want)
		}
	}
}

func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

func TestInspect(t *testing.T) {
	type object struct {
		Name   string
		Labels map[string]string
	}
	objects := []any{object{"a&b", map[string]string{"k": "v"}}, object{"c", nil}}
	tests := map[string]struct{ format, want string }{
		"default": {"", `[
    {
        "Name": "a&b",
        "Labels": {
            "k": "v"
        }
    },
    {
        "Name": "c",
        "Labels": null
    }
]
`},
		"json":     {"json", `{"Name":"a&b","Labels":{"k":"v"}}` + "\n" + `{"Name":"c","Labels":null}` + "\n"},
		"template": {`{{.Name}} {{index .Labels "k"}} {{json .Labels}}`, "a&b v {\"k\":\"v\"}\nc  null\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := Inspect(&b, tt.format, objects); err != nil || b.String() != tt.want {
				t.Errorf("output = %q, %v, want %q", b.String(), err, tt.want)
			}
		})
	}
	deep := []any{struct{ Spec struct{ Restart *object } }{}}
	for format, want := range map[string]string{
		"{{.Nope}}":              "there is no field Nope in .Nope",
		"{{.Spec.Restart.Name}}": ".Spec.Restart.Name has no Name here: what would hold it is not set",
		"{{.Spec.Mode.Global}}":  "there is no field Mode in .Spec.Mode.Global",
		"{{index .Spec 1}}":      "index .Spec 1: error calling index: can't index item",
		"yaml":                   "must be json or a Go template such as {{.ID}}",
		"{{.Spec":                "unclosed action",
	} {
		err := Inspect(&strings.Builder{}, format, deep)
		if command.ExitStatus(err) != command.ExitMisuse || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "object") {
			t.Errorf("%s: %v, want a misuse with %q, without Go's types", format, err, want)
		}
	}
	var none strings.Builder
	if err := Inspect(&none, "", nil); err != nil || none.String() != "[]\n" {
		t.Errorf("nothing: %q, %v, want []", none.String(), err)
	}
}

func filters(t *testing.T, args ...string) (Filters, error) {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	f := FilterFlag(fs, "", "name", "label")
	return f, fs.Parse(args)
}

func TestFilters(t *testing.T) {
	f, err := filters(t, "-f", "name=a", "--filter", "name=b", "-f", "label=x", "-f", "label=y=1")
	if err != nil {
		t.Fatal(err)
	}
	if !f.MatchPrefix("name", "apple") || !f.MatchPrefix("name", "banana") || f.MatchPrefix("name", "cherry") {
		t.Error("values of a key are not joined by or")
	}
	if f.Match("name", "apple") || !f.Match("name", "a") {
		t.Error("Match took a prefix")
	}
	if !f.Match("other", "x") {
		t.Error("a key that is not used filters")
	}
	labels := map[string]string{"x": "", "y": "1"}
	if !f.MatchLabels("label", labels) {
		t.Error("labels do not match")
	}
	labels["y"] = "2"
	if f.MatchLabels("label", labels) {
		t.Error("a label with another value matches")
	}
	if err := f.Check("name", "a", "c"); err == nil || !strings.Contains(err.Error(), `--filter "name=b": name must be one of a, c`) {
		t.Errorf("Check = %v", err)
	}
}

func TestUnknownFilter(t *testing.T) {
	for _, arg := range []string{"colour=red", "name", ""} {
		_, err := filters(t, "--filter", arg)
		if err == nil || !strings.Contains(err.Error(), "must be KEY=VALUE with one of the keys name, label") {
			t.Errorf("filter %q: %v, want the allowed keys", arg, err)
		}
	}
}

func TestText(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ago := func(d time.Duration) string { return Ago(timestamppb.New(now.Add(-d)), now) }
	tests := map[string]struct{ got, want string }{
		"id":             {ID("0123456789abcdef", false), "0123456789ab"},
		"whole id":       {ID("0123456789abcdef", true), "0123456789abcdef"},
		"short id":       {ID("01", false), "01"},
		"minutes":        {ago(2 * time.Minute), "2 minutes ago"},
		"now":            {ago(0), "less than a second ago"},
		"the future":     {ago(-time.Minute), "less than a second ago"},
		"never":          {Ago(nil, now), ""},
		"size":           {Size(187_000_000), "187MB"},
		"memory":         {Memory(64 << 20), "64MiB"},
		"ellipsis":       {Ellipsis("abcdef", 4), "abc…"},
		"fits":           {Ellipsis("abcd", 4), "abcd"},
		"unknown width":  {Ellipsis("abcd", 0), "abcd"},
		"other alphabet": {Ellipsis("äöüß", 3), "äö…"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.got != tt.want {
				t.Errorf("got %q, want %q", tt.got, tt.want)
			}
		})
	}
}

func TestImage(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("0", 64)
	tests := map[string]string{
		"nginx":                              "nginx",
		"nginx:1.29" + digest:                "nginx:1.29",
		"docker.io/library/nginx:1" + digest: "nginx:1",
		"nginx" + digest:                     "nginx" + digest,
		"registry.example.com/a/b:2":         "registry.example.com/a/b:2",
		"Not An Image":                       "Not An Image",
	}
	for in, want := range tests {
		if got := Image(in, false); got != want {
			t.Errorf("Image(%q) = %q, want %q", in, got, want)
		}
		if got := Image(in, true); got != in {
			t.Errorf("Image(%q, whole) = %q", in, got)
		}
	}
}
