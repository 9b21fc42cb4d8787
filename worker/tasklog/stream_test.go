package tasklog

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestSplit writes a record as FLAG:TEXT; long texts as their length.
func TestSplit(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	tests := map[string]struct {
		reads []string
		want  string
	}{
		"whole lines":               {[]string{"a\nb\n"}, "F:a F:b"},
		"empty lines":               {[]string{"\n\n"}, "F: F:"},
		"a line in two reads":       {[]string{"ab", "cd\n"}, "F:abcd"},
		"no newline at the end":     {[]string{"a\nb"}, "F:a P:b"},
		"as long as may be":         {[]string{long + "\n"}, "F:16384"},
		"one too long":              {[]string{long + "y\n"}, "P:16384 F:y"},
		"long without a newline":    {[]string{long}, "P:16384"},
		"long in two reads":         {[]string{long[:maxLine-1], "xy\n"}, "P:16384 F:y"},
		"carriage returns are kept": {[]string{"a\r\n"}, "F:a\r"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := splitter{stream: stderr}
			var out []byte
			for _, r := range tt.reads {
				out = s.split(out, time.Unix(1, 2), []byte(r))
			}
			out = s.finish(out, time.Unix(1, 2))
			if got := format(t, string(out)); got != tt.want {
				t.Errorf("records %q, want %q", got, tt.want)
			}
		})
	}
}

func format(t *testing.T, out string) string {
	t.Helper()
	var words []string
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		m, err := parseRecord([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		if m.GetStream() != stderr || !m.GetAt().AsTime().Equal(time.Unix(1, 2)) {
			t.Errorf("record %q has stream %v and time %v", line, m.GetStream(), m.GetAt().AsTime())
		}
		text := line[headLen:]
		if len(text) > 100 {
			text = "16384"
		}
		words = append(words, string(line[flagAt])+":"+text)
	}
	return strings.Join(words, " ")
}

func TestParseRecordRefusesGarbage(t *testing.T) {
	for _, line := range []string{"", "hello", strings.Repeat("x", 100)} {
		if m, err := parseRecord([]byte(line)); err == nil {
			t.Errorf("parseRecord(%q) = %v, want an error", line, m)
		}
	}
}

func TestMessageHasTheBytesOfTheTask(t *testing.T) {
	var out []byte
	s := splitter{stream: stdout}
	printed := "a\n\nb\x00c\n" + strings.Repeat("y", 3*maxLine) + "\nend"
	out = s.finish(s.split(out, time.Now(), []byte(printed)), time.Now())
	var got []byte
	for line := range strings.Lines(string(out)) {
		m, err := parseRecord([]byte(strings.TrimSuffix(line, "\n")))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m.GetData()...)
	}
	if diff := cmp.Diff(printed, string(got)); diff != "" {
		t.Errorf("-printed +read\n%s", diff)
	}
}
