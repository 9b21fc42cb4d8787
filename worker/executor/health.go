package executor

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Docker's defaults for health checks.
const (
	defaultHealthInterval      = 30 * time.Second
	defaultHealthTimeout       = 30 * time.Second
	defaultHealthStartInterval = 5 * time.Second
	defaultHealthRetries       = 3
)

// MergeHealth returns the health check that applies to a task: what spec
// sets, else what the image's check sets, else Docker's defaults. It is nil
// when there is no check or when the test is NONE. Both arguments may be nil.
//
// A spec that names a check of its own (test, http or tcp) replaces the
// image's test but, as in Docker, inherits its timing.
func MergeHealth(spec, image *clusterpb.HealthCheck) *clusterpb.HealthCheck {
	h := &clusterpb.HealthCheck{}
	if image != nil {
		h = proto.CloneOf(image)
	}
	if len(spec.GetTest()) > 0 || spec.GetHttp() != "" || spec.GetTcp() != 0 {
		h.Test, h.Http, h.Tcp = spec.GetTest(), spec.GetHttp(), spec.GetTcp()
	}
	if !checks(h) {
		return nil
	}
	override(&h.Interval, spec.GetInterval(), defaultHealthInterval)
	override(&h.Timeout, spec.GetTimeout(), defaultHealthTimeout)
	override(&h.StartPeriod, spec.GetStartPeriod(), 0)
	override(&h.StartInterval, spec.GetStartInterval(), defaultHealthStartInterval)
	if spec.GetRetries() > 0 {
		h.Retries = spec.GetRetries()
	}
	if h.GetRetries() == 0 {
		h.Retries = defaultHealthRetries
	}
	return h
}

// checks reports whether h has anything to check.
func checks(h *clusterpb.HealthCheck) bool {
	if h.GetHttp() != "" || h.GetTcp() != 0 {
		return true
	}
	return len(h.GetTest()) > 0 && h.GetTest()[0] != "NONE"
}

// override sets d to own unless that is unset, and to fallback when neither
// has a value above zero.
func override(d **durationpb.Duration, own *durationpb.Duration, fallback time.Duration) {
	if own != nil {
		*d = own
	}
	if (*d).AsDuration() <= 0 {
		*d = durationpb.New(fallback)
	}
}
