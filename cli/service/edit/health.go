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
		return nil, nil
	}
	return d, err
}}

// health defines the health check.
func (e *Edits) health() {
	one(e, "health-cmd", "", "check by a command line run in the container", flags.Name, func(s *Spec, line string) {
		setCheck(s, []string{"CMD-SHELL", line}, "", 0)
	})
	one(e, "health-http", "", "check that the task answers PORT[/PATH] with a status below 400", flags.HTTPCheck, func(s *Spec, v string) {
		setCheck(s, nil, v, 0)
	})
	one(e, "health-tcp", "", "check that the task accepts connections on a port", flags.Port, func(s *Spec, port uint32) {
		setCheck(s, nil, "", port)
	})
	e.toggle("no-healthcheck", "", "run no health check, not even the image's", func(s *Spec, on bool) {
		if on {
			container(s).Health = &clusterpb.HealthCheck{Test: []string{"NONE"}}
		} else if isNone(container(s).GetHealth()) {
			container(s).Health = nil
		}
	})
	duration := func(name, usage string, set func(*clusterpb.HealthCheck, *durationpb.Duration)) {
		one(e, name, "", usage, healthDuration, func(s *Spec, d *durationpb.Duration) { set(healthOf(s), d) })
	}
	duration("health-interval", "time between checks; 30s by default", func(h *clusterpb.HealthCheck, d *durationpb.Duration) { h.Interval = d })
	duration("health-timeout", "how long a check may take; 30s by default", func(h *clusterpb.HealthCheck, d *durationpb.Duration) { h.Timeout = d })
	duration("health-start-period", "time after the start in which failed checks do not count", func(h *clusterpb.HealthCheck, d *durationpb.Duration) { h.StartPeriod = d })
	duration("health-start-interval", "time between checks in the start period; 5s by default", func(h *clusterpb.HealthCheck, d *durationpb.Duration) { h.StartInterval = d })
	one(e, "health-retries", "", "failed checks in a row that make a task unhealthy; 3 by default", flags.Count,
		func(s *Spec, n uint32) { healthOf(s).Retries = n })
}

// setCheck makes one check the check and keeps its times.
func setCheck(s *Spec, test []string, http string, tcp uint32) {
	h := healthOf(s)
	h.Test, h.Http, h.Tcp = test, http, tcp
}

func isNone(h *clusterpb.HealthCheck) bool { return len(h.GetTest()) > 0 && h.GetTest()[0] == "NONE" }
