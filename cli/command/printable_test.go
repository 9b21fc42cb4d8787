package command

import (
	"errors"
	"testing"
)

func TestPrintable(t *testing.T) {
	for s, want := range map[string]string{
		"":                        "",
		"node-7":                  "node-7",
		"größe 大きさ\u00a0✓":        "größe 大きさ\u00a0✓",
		"a\x1b[2Jb":               `a\x1b[2Jb`,
		"a\nfake row\tx\r":        `a\nfake row\tx\r`,
		"\u009b31m":               `\u009b31m`,
		"safe\u202egnp.exe":       `safe\u202egnp.exe`,
		`what was written so: \n`: `what was written so: \n`,
	} {
		if got := Printable(s); got != want {
			t.Errorf("%q is shown as %q, want %q", s, got, want)
		}
	}
	if got := Text(errors.New("task failed:\n\x1b]0;x\a")); got != `task failed: \x1b]0;x\a` {
		t.Errorf("an error is told as %q", got)
	}
}
