package service

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster/muster/cli/logprint"
	controlpb "github.com/muster/muster/proto/control/v1"
	logspb "github.com/muster/muster/proto/logs/v1"
)

const (
	// logsRetry bounds how long following goes on without a manager.
	logsRetry = 30 * time.Second
	// logsSilence is how long nothing may come before nobody is there: managers
	// send something each second.
	logsSilence = 10 * time.Second
)

// errSilent is why a stream was given up that nothing came on.
var errSilent = errors.New("the managers have sent nothing for " + logsSilence.String())

// copyLogs prints the logs; when following, it goes on at another manager
// where one that went away stopped.
func copyLogs(ctx context.Context, client controlpb.LogServiceClient, printer *logprint.Printer, request *controlpb.SubscribeLogsRequest) error {
	var printing []string // before the last manager was lost
	for lost := time.Now(); ; {
		last := printer.Last
		err := copyStream(ctx, client, printer, request, printing)
		printing = printer.Printing
		if !errdefs.IsUnavailable(err) || !request.GetOptions().GetFollow() {
			return err
		}
		if printer.Last.After(last) {
			lost = time.Now()
			if !goOn(request.GetOptions(), printer.Last) {
				return nil
			}
		}
		if time.Since(lost) > logsRetry {
			return fmt.Errorf("no manager answered for %s: %w", logsRetry, err)
		}
		if errors.Is(err, errSilent) {
			printer.Warn(errSilent.Error() + ", asking again")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// goOn asks for what comes after the last line; it reports whether that may be
// anything.
func goOn(o *logspb.LogOptions, last time.Time) bool {
	since := last.Add(1)
	o.Since, o.Tail = timestamppb.New(since), -1
	return o.GetUntil() == nil || !since.After(o.GetUntil().AsTime())
}

// copyStream prints the logs of one manager, and tells which of the tasks that
// printed before are gone. It is Unavailable when the manager falls silent.
func copyStream(
	ctx context.Context, client controlpb.LogServiceClient, printer *logprint.Printer, request *controlpb.SubscribeLogsRequest, printing []string,
) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(logsSilence, func() { cancel(errSilent) })
	defer silence.Stop()
	stream, err := client.SubscribeLogs(ctx, request)
	if err == nil {
		begun := sync.OnceFunc(func() { printer.WarnOfGone(ctx, printing) })
		err = printer.Copy(ctx, &heard{stream, silence, begun})
	}
	if err != nil && errors.Is(context.Cause(ctx), errSilent) {
		return fmt.Errorf("%w: %w", errSilent, errdefs.ErrUnavailable)
	}
	return err
}

// heard is a stream that tells when something comes. While it is printed, which
// may wait for who reads, nothing is missed.
type heard struct {
	controlpb.LogService_SubscribeLogsClient
	silence *time.Timer
	begun   func() // called when something came
}

// Recv returns what comes next.
func (h *heard) Recv() (*controlpb.SubscribeLogsResponse, error) {
	h.silence.Reset(logsSilence)
	defer h.silence.Stop()
	r, err := h.LogService_SubscribeLogsClient.Recv()
	if err == nil {
		h.begun()
	}
	return r, err
}
