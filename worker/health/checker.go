package health

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/spec"
)

// unknown is the exit code of a check that timed out or could not run.
const unknown = -1

// maxHeader is how many bytes of header an answer may have: the rest of it is not
// read.
const maxHeader = 256 << 10

// Exec runs argv inside the task's container.
type Exec func(ctx context.Context, taskID string, argv []string) (status int32, output string, err error)

// Checker performs one task's checks.
type Checker struct {
	TaskID string
	// Check has all defaults filled in.
	Check *clusterpb.HealthCheck
	// Addresses of the task; the first is called by http and tcp checks.
	Addresses []string
	Exec      Exec
	// Dial replaces net.Dialer in tests; nil is the network.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Run checks until ctx is done or the task turned unhealthy, and calls changed
// after every check.
func (c *Checker) Run(ctx context.Context, t *Tracker, changed func(*Tracker)) {
	timer := time.NewTimer(t.Wait(time.Now()))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		r, ok := c.once(ctx)
		if ctx.Err() != nil {
			return // the task is being stopped: what failed was not its fault
		}
		if !ok {
			timer.Reset(t.Wait(time.Now()))
			continue
		}
		state := t.Next(r)
		changed(t)
		if state == clusterpb.HealthStatus_STATE_UNHEALTHY {
			return
		}
		timer.Reset(t.Wait(time.Now()))
	}
}

// once performs one check within its timeout. It is not ok when the runtime
// was away: that says nothing about the task.
func (c *Checker) once(ctx context.Context) (r Result, ok bool) {
	timeout := c.Check.GetTimeout().AsDuration()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r.Start = time.Now()
	code, output, err := c.perform(ctx)
	r.End = time.Now()
	switch {
	case errdefs.IsUnavailable(err):
		return r, false
	case err == nil && code == 0:
		// It answered: what it left running may take longer than the timeout.
		r.Output = output
	case ctx.Err() != nil:
		r.ExitCode, r.Output = unknown, fmt.Sprintf("health check exceeded timeout (%v)", timeout)
	case err != nil:
		r.ExitCode, r.Output = unknown, err.Error()
	default:
		r.ExitCode, r.Output = code, output
	}
	return r, true
}

func (c *Checker) perform(ctx context.Context) (int32, string, error) {
	switch {
	case c.Check.GetHttp() != "":
		return c.http(ctx, c.Check.GetHttp())
	case c.Check.GetTcp() != 0:
		return c.tcp(ctx, c.Check.GetTcp())
	}
	argv, err := command(c.Check.GetTest())
	if err != nil {
		return 0, "", err
	}
	return c.Exec(ctx, c.TaskID, argv)
}

// command returns what to run for Docker's form of a test.
func command(test []string) ([]string, error) {
	if len(test) >= 2 {
		switch test[0] {
		case "CMD":
			return test[1:], nil
		case "CMD-SHELL":
			return []string{"/bin/sh", "-c", strings.Join(test[1:], " ")}, nil
		}
	}
	return nil, fmt.Errorf("health check %q is not [CMD, arg…] or [CMD-SHELL, line]: %w", test, errdefs.ErrInvalidArgument)
}

// http asks PORT[/PATH] of the task; any status below 400 is healthy.
func (c *Checker) http(ctx context.Context, target string) (int32, string, error) {
	host, err := c.address()
	if err != nil {
		return 0, "", err
	}
	at, err := spec.HTTPCheckURL(target, host)
	if err != nil {
		return 0, "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return 0, "", fmt.Errorf("health check http %q: %w", target, err)
	}
	req.Close = true
	client := http.Client{
		Transport: &http.Transport{DialContext: c.dial, DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeader},
		// A redirect is an answer; where it leads is not the task's health.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return 1, err.Error(), nil //nolint:nilerr // that is the finding
	}
	_ = resp.Body.Close()
	if resp.StatusCode >= http.StatusBadRequest {
		return 1, fmt.Sprintf("GET %s: %s", at.RequestURI(), resp.Status), nil
	}
	return 0, resp.Status, nil
}

// tcp tries to connect to a port of the task.
func (c *Checker) tcp(ctx context.Context, port uint32) (int32, string, error) {
	host, err := c.address()
	if err != nil {
		return 0, "", err
	}
	addr := net.JoinHostPort(host, strconv.FormatUint(uint64(port), 10))
	conn, err := c.dial(ctx, "tcp", addr)
	if err != nil {
		return 1, err.Error(), nil //nolint:nilerr // that is the finding
	}
	_ = conn.Close()
	return 0, "connected to " + addr, nil
}

func (c *Checker) address() (string, error) {
	if len(c.Addresses) == 0 {
		return "", fmt.Errorf("health check: the task has no address: %w", errdefs.ErrFailedPrecondition)
	}
	return c.Addresses[0], nil
}

func (c *Checker) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if c.Dial != nil {
		return c.Dial(ctx, network, addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}
