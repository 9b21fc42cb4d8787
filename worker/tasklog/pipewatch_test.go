package tasklog

import (
	"os"
	"testing"
)

// TestRunDirectoryIsEmptied: tasks print on, and are read, when the names of
// their pipes are gone; so are those that start later.
func TestRunDirectoryIsEmptied(t *testing.T) {
	for name, empty := range map[string]func(runDir string) error{
		"removed": os.RemoveAll,
		"moved":   func(runDir string) error { return os.Rename(runDir, runDir+".old") },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.start(t)
			old := p.task(t, "old")
			old.print(t, "one\n")
			p.eventually(t, "old", "one\n")
			if err := empty(p.RunDir); err != nil {
				t.Fatal(err)
			}
			later := p.task(t, "later")
			later.print(t, "first\n")
			later.close()
			if got := p.read(t, "later", all()); got != "first\n" {
				t.Errorf("logs of a later task = %q", got)
			}
			old.print(t, "two\n")
			old.close()
			if got := p.read(t, "old", all()); got != "one\ntwo\n" {
				t.Errorf("logs = %q", got)
			}
		})
	}
}
