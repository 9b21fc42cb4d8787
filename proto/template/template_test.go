package template_test

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/proto/template"
)

func values() template.Values {
	return template.Values{
		Service: template.Service{ID: "sid", Name: "web", Labels: map[string]string{"tier": "front", "com.example/x": "1", "long": strings.Repeat("x", 60_000)}},
		Node:    template.Node{ID: "nid", Hostname: "alpha", Platform: template.Platform{OS: "linux", Architecture: "x86_64"}},
		Task:    template.Task{ID: "tid", Name: "web.2.tid", Slot: "2"},
	}
}

func TestExpand(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"no template":            {"a}} {b", "a}} {b"},
		"service":                {"{{.Service.ID}} {{.Service.Name}} {{ .Service.Labels.tier }}", "sid web front"},
		"node":                   {"{{.Node.ID}} {{.Node.Hostname}} {{.Node.Platform.OS}}/{{.Node.Platform.Architecture}}", "nid alpha linux/x86_64"},
		"task":                   {"{{.Task.ID}} {{.Task.Name}}-{{- .Task.Slot -}} !", "tid web.2.tid-2!"},
		"index":                  {`{{index .Service.Labels "com.example/x"}}[{{index .Service.Labels "none"}}]`, "1[]"},
		"join":                   {`{{join "-" .Service.Name .Task.Slot}}`, "web-2"},
		"pipe":                   {`{{.Task.Slot | join "-" .Service.Name}}`, "web-2"},
		"condition":              {`{{if eq .Task.Slot "1"}}first{{else if and (ne .Task.Slot "1") (lt (len .Task.Slot) 2)}}next{{else}}late{{end}}`, "next"},
		"braces":                 {`{{"{{"}}.Name}}`, "{{.Name}}"},
		"what is filled in once": {`{{"{{.Task.ID}}"}}`, "{{.Task.ID}}"},
		"all labels":             {`{{len .Service.Labels}}`, "3"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := template.New(values()).Expand(tt.in); got != tt.want || err != nil {
				t.Errorf("%q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

// TestRefused: what Docker does not know, and what could be endless or long.
func TestRefused(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"unfinished":              {"{{.Task.ID", "unclosed action"},
		"of another program":      {"{{.Name}}", "there is no .Name: use one of .Service.ID"},
		"unknown field":           {"{{.Node.Name}}", "there is no .Node.Name"},
		"behind a field":          {"{{.Task.ID.X}}", "there is no .Task.ID.X"},
		"everything":              {"{{.}}", "cannot be used"},
		"a part":                  {"{{.Service}}", "there is no .Service:"},
		"missing label":           {"{{.Service.Labels.none}}", "the service has no label none"},
		"in a branch not taken":   {`{{if eq .Task.Slot "7"}}{{.Nope}}{{end}}`, "there is no .Nope"},
		"unknown function":        {"{{env .Task.ID}}", `function "env" not defined`},
		"wide format":             {`{{printf "%1000000000d" 1}}`, "there is no function printf"},
		"escape":                  {`{{js .Task.ID}}`, "there is no function js"},
		"call":                    {`{{call .Task.ID}}`, "there is no function call"},
		"endless":                 {`{{range 1000000000000}}x{{end}}`, "cannot be used"},
		"loop over labels":        {`{{range .Service.Labels}}x{{end}}`, "cannot be used"},
		"with":                    {`{{with .Task.ID}}{{.}}{{end}}`, "cannot be used"},
		"variable":                {`{{$x := .Task.ID}}`, "there are no variables"},
		"root":                    {`{{$.Task.ID}}`, "cannot be used"},
		"definition":              {`{{define "x"}}{{template "x"}}{{end}}{{template "x"}}`, "cannot be used"},
		"another kind":            {`{{if eq .Task.Slot 1}}x{{end}}`, "incompatible types"},
		"out of range":            {`{{index .Task.ID 7}}`, "out of range"},
		"long":                    {strings.Repeat("{{.Service.Labels.long}}", 20), "more than 1048576 bytes"},
		"long on its way":         {`{{len (join .Service.Labels.long` + strings.Repeat(" .Task.ID", 20) + `)}}`, "more than 1048576 bytes"},
		"long again and again":    {strings.Repeat(`{{if eq (join "" .Service.Labels.long) "x"}}{{end}}`, 20), "more than 1048576 bytes"},
		"a long name that is not": {"{{.A" + strings.Repeat("a", 5000) + "}}", "there is no .Aaaa"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := template.New(values()).Expand(tt.in)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !errdefs.IsInvalidArgument(err) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%q, %v, want %q", got, err, tt.want)
			}
			if len(err.Error()) > 400 {
				t.Errorf("the message has %d bytes", len(err.Error()))
			}
		})
	}
}

func FuzzExpand(f *testing.F) {
	f.Add(`{{if eq (join "-" .Task.ID "x") "1"}}{{index .Service.Labels "tier"}}{{end}}`)
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := template.New(values()).Expand(s); err == nil && template.Has(s) && len(got) > template.MaxOutput {
			t.Errorf("%d bytes of %q", len(got), s)
		}
	})
}
