package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/spf13/pflag"
)

func TestParseEndpoint(t *testing.T) {
	tests := map[string]string{
		"unix:///run/muster/muster.sock": "unix:///run/muster/muster.sock",
		"tcp://192.0.2.1":                "tcp://192.0.2.1:2377",
		"tcp://192.0.2.1:2400":           "tcp://192.0.2.1:2400",
		"tcp://manager.example.com":      "tcp://manager.example.com:2377",
		"tcp://[2001:db8::1]:2400":       "tcp://[2001:db8::1]:2400",
		"tcp://[2001:db8::1]":            "tcp://[2001:db8::1]:2377",
		"tcp://2001:db8::1":              "tcp://[2001:db8::1]:2377",
	}
	for in, want := range tests {
		if got, err := parseEndpoint(in); err != nil || got.String() != want {
			t.Errorf("parseEndpoint(%q) = %s, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "192.0.2.1", "unix://", "unix://relative", "tcp://", "tcp://:2377", "tcp://a:0", "tcp://a:b", "tcp://a/b", "tcp://a:1:2", "http://a"} {
		if got, err := parseEndpoint(in); ExitStatus(err) != ExitMisuse || !strings.Contains(err.Error(), "must be unix:///PATH or tcp://HOST[:PORT]") {
			t.Errorf("parseEndpoint(%q) = %s, %v, want a misuse", in, got, err)
		}
	}
}

func TestExitStatus(t *testing.T) {
	tests := map[string]struct {
		err  error
		want int
	}{
		"success":              {nil, ExitOK},
		"failure":              {errors.New("x"), ExitFailure},
		"not found":            {errdefs.ErrNotFound, ExitFailure},
		"misuse":               {Misusef("x"), ExitMisuse},
		"wrapped misuse":       {fmt.Errorf("a: %w", Misusef("x")), ExitMisuse},
		"refused by a manager": {fmt.Errorf("x: %w", errdefs.ErrInvalidArgument), ExitMisuse},
		"rolled back":          {&StatusError{ExitRolledBack, errors.New("x")}, ExitRolledBack},
		"one of several":       {errors.Join(errors.New("x"), &StatusError{ExitPaused, errors.New("y")}), ExitPaused},
		"interrupted":          {fmt.Errorf("x: %w", context.Canceled), ExitInterrupted},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := ExitStatus(tt.err); got != tt.want {
				t.Errorf("ExitStatus(%v) = %d, want %d", tt.err, got, tt.want)
			}
		})
	}
}

func TestReport(t *testing.T) {
	tests := map[string]struct {
		err  error
		want string
	}{
		"plain":              {errors.New("x"), "muster: x\n"},
		"several targets":    {errors.Join(errors.New("a"), errors.Join(errors.New("b"), errors.New("c"))), "muster: a\nmuster: b\nmuster: c\n"},
		"one target":         {errors.Join(errors.New("a")), "muster: a\n"},
		"lines":              {errors.New("a\n  b"), "muster: a b\n"},
		"kind behind":        {fmt.Errorf("port 80 is taken: %w", errdefs.ErrFailedPrecondition), "muster: port 80 is taken\n"},
		"kind before":        {fmt.Errorf("%w: port 80 is taken", errdefs.ErrInvalidArgument), "muster: port 80 is taken\n"},
		"kind that tells":    {fmt.Errorf("service web: %w", errdefs.ErrNotFound), "muster: service web: not found\n"},
		"not there":          {fmt.Errorf("no service %q: %w", "a b", errdefs.ErrNotFound), "muster: no service \"a b\"\n"},
		"nor of a kind":      {fmt.Errorf("logs: no service or task is called web: %w", errdefs.ErrNotFound), "muster: logs: no service or task is called web\n"},
		"no, but of another": {fmt.Errorf("no use: service web: %w", errdefs.ErrNotFound), "muster: no use: service web: not found\n"},
		"conflict":           {fmt.Errorf("web has changed; look at it again: %w", errdefs.ErrConflict), "muster: web has changed; look at it again\n"},
		"interrupted":        {&StatusError{ExitInterrupted, context.Canceled}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if Report(&b, tt.err); b.String() != tt.want {
				t.Errorf("report = %q, want %q", b.String(), tt.want)
			}
		})
	}
}

func TestFlagError(t *testing.T) {
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	fs.Usage = func() {}
	fs.Uint("number", 0, "")
	fs.BoolP("switch", "s", false, "")
	tests := map[string]string{
		"--number=x": `--number "x": must be a non-negative integer`,
		"--switch=x": `--switch "x": must be true or false`,
		"--nope":     `unknown flag: --nope; see "muster --help"`,
		"-z":         `unknown shorthand flag: 'z' in -z; see "muster --help"`,
		"--number":   `flag needs an argument: --number; see "muster --help"`,
	}
	for arg, want := range tests {
		err := Misused("muster", fs.Parse([]string{arg}))
		if err == nil || err.Error() != want || ExitStatus(err) != ExitMisuse {
			t.Errorf("%s: %v, want %q as a misuse", arg, err, want)
		}
	}
	if err := errors.New("x"); Misused("muster", err) != err { //nolint:errorlint // the very same
		t.Error("an error of another kind was changed")
	}
}
