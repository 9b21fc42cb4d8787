package edit

import (
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/muster/muster/cli/flags"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// healthFlags are those that make no sense without a check.
var healthFlags = []string{
	"health-cmd", "health-http", "health-tcp", "health-interval", "health-timeout",
	"health-retries", "health-start-period", "health-start-interval",
}

// healthDuration is a duration of a health check, which runs no faster than
// every millisecond; 0 is the default.
var healthDuration = flags.Kind[*durationpb.Duration]{Name: "duration", Parse: func(text string) (*durationpb.Duration, error) {
	d, err := flags.Duration.Parse(text)
	if err == nil && d.AsDuration() > 0 && d.AsDuration() < time.Millisecond {
		return nil, errors.New("must be at least 1ms, or 0 for the default")
	}
	if err == nil && d.AsDuration() == 0 {
		return nil, nil //nolint:nilnil // the default
	}
	return d, err
}}

// health defines the health check.
func (e *Edits) health() {
	one(e, "health-cmd", "", "command line to run in the container as the health check", flags.ShellLine, func(s *Spec, line string) {
		setCheck(s, []string{"CMD-SHELL", line}, "", 0)
	})
	one(e, "health-http", "", "check health by an HTTP request to PORT[/PATH]; a status below 400 is healthy", flags.HTTPCheck, func(s *Spec, v string) {
		setCheck(s, nil, v, 0)
	})
	one(e, "health-tcp", "", "check health by connecting to a TCP port", flags.Port, func(s *Spec, port uint32) {
		setCheck(s, nil, "", port)
	})
	e.toggle("no-healthcheck", "", "disable health checks, including the image's", func(s *Spec, on bool) {
		if on {
			container(s).Health = &clusterpb.HealthCheck{Test: []string{"NONE"}}
		} else if isNone(container(s).GetHealth()) {
			container(s).Health = nil
		}
	})
	duration := func(name, usage, byDefault string, set func(*clusterpb.HealthCheck, *durationpb.Duration)) {
		e.byDefault(one(e, name, "", usage, healthDuration, func(s *Spec, d *durationpb.Duration) { set(healthOf(s), d) }), byDefault)
	}
	duration("health-interval", "time between health checks", "30s", func(h *clusterpb.HealthCheck, d *durationpb.Duration) { h.Interval = d })
	duration("health-timeout", "time that a health check may take", "30s", func(h *clusterpb.HealthCheck, d *durationpb.Duration) { h.Timeout = d })
	duration("health-start-period", "time after the start in which failed checks do not count", "0", func(h *clusterpb.HealthCheck, d *durationpb.Duration) { h.StartPeriod = d })
	duration("health-start-interval", "time between health checks in the start period", "5s", func(h *clusterpb.HealthCheck, d *durationpb.Duration) { h.StartInterval = d })
	e.byDefault(one(e, "health-retries", "", "consecutive failures that make a task unhealthy", flags.Count,
		func(s *Spec, n uint32) { healthOf(s).Retries = n }), "3")
}

// setCheck makes one check the check and keeps its times.
func setCheck(s *Spec, test []string, http string, tcp uint32) {
	h := healthOf(s)
	h.Test, h.Http, h.Tcp = test, http, tcp
}

func isNone(h *clusterpb.HealthCheck) bool { return len(h.GetTest()) > 0 && h.GetTest()[0] == "NONE" }
