package gossip

import (
	"log/slog"
	"regexp"
	"strings"
)

// suspicion is how memberlist says that a node did not answer. There is no
// callback for it; gossip_test.go notices if a new version says it differently.
var suspicion = regexp.MustCompile(`Suspect (\S+) has failed`)

// logWriter turns memberlist's log lines into ours.
type logWriter struct {
	log     *slog.Logger
	suspect func(id string)
}

// Write takes one line.
func (w *logWriter) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	if m := suspicion.FindStringSubmatch(text); m != nil {
		w.suspect(m[1])
	}
	w.log.Debug(text) //nolint:sloglint // memberlist's own words
	return len(line), nil
}
