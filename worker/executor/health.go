package executor

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/spec"
)

// MergeHealth returns the health check that applies to a task: what own
// sets, else what the image's check sets, else Docker's defaults. It is nil
// when there is no check or when the test is NONE. Both arguments may be nil.
//
// An own one that names a check of its own (test, http or tcp) replaces the
// image's test but, as in Docker, inherits its timing.
func MergeHealth(own, image *clusterpb.HealthCheck) *clusterpb.HealthCheck {
	h := &clusterpb.HealthCheck{}
	if image != nil {
		h = proto.CloneOf(image)
		for _, d := range []**durationpb.Duration{&h.Interval, &h.Timeout, &h.StartPeriod, &h.StartInterval} {
			if (*d).AsDuration() < spec.MinHealthTime { // an image may say anything
				*d = nil
			}
		}
	}
	if len(own.GetTest()) > 0 || own.GetHttp() != "" || own.GetTcp() != 0 {
		h.Test, h.Http, h.Tcp = own.GetTest(), own.GetHttp(), own.GetTcp()
	}
	if !spec.Checks(h) {
		return nil
	}
	override(&h.Interval, own.GetInterval(), spec.DefaultHealthInterval)
	override(&h.Timeout, own.GetTimeout(), spec.DefaultHealthTimeout)
	override(&h.StartPeriod, own.GetStartPeriod(), 0)
	override(&h.StartInterval, own.GetStartInterval(), spec.DefaultHealthStartInterval)
	if own.GetRetries() > 0 {
		h.Retries = own.GetRetries()
	}
	if h.GetRetries() == 0 {
		h.Retries = spec.DefaultHealthRetries
	}
	return h
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
