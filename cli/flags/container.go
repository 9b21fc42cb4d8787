package flags

import (
	"errors"
	"net/netip"
	"regexp"
	"strings"

	"github.com/docker/go-units"
	"golang.org/x/sys/unix"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/image"
	"github.com/muster/muster/proto/spec"
)

// The kinds of values that describe a container.
var (
	// Image is NAME[:TAG][@DIGEST].
	Image = Kind[string]{"string", parseImage}
	// Capability is the name of one, with or without CAP_, or ALL.
	Capability = Kind[string]{"string", parseCapability}
	// Signal is the name of a signal, with or without SIG, or its number.
	Signal = Kind[string]{"string", parseSignal}
	// Ulimit is NAME=SOFT[:HARD].
	Ulimit = Kind[*clusterpb.Ulimit]{"ulimit", parseUlimit}
	// ExtraHost is NAME:IP; the value is the line "IP NAME".
	ExtraHost = Kind[string]{"host:ip", parseExtraHost}
	// HTTPCheck is PORT[/PATH].
	HTTPCheck = Kind[string]{"port/path", parseHTTPCheck}
	// Port is the number of a port.
	Port = Kind[uint32]{"port", func(s string) (uint32, error) {
		n, err := parsePort(s)
		if err != nil {
			return 0, errorf("must be a port from 1 to 65535")
		}
		return n, nil
	}}
)

func parseImage(s string) (string, error) {
	if _, err := image.Parse(s); err != nil {
		if form, ok := errors.AsType[*image.FormError](err); ok {
			err = errors.New(form.Reason)
		}
		return "", errorf("must be an image as %s (%w)", image.Form, err)
	}
	return s, nil
}

func parseCapability(s string) (string, error) {
	name, err := spec.Capability(s)
	if err != nil {
		return "", errorf("must be a capability of Linux such as NET_ADMIN, or ALL")
	}
	return name, nil
}

var realTimeSignal = regexp.MustCompile(`^(SIG)?RTM(IN(\+[0-9]+)?|AX(-[0-9]+)?)$`)

func parseSignal(s string) (string, error) {
	name := strings.ToUpper(s)
	if n, err := parsePort(name); err == nil && n <= 64 || realTimeSignal.MatchString(name) {
		return name, nil
	}
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if unix.SignalNum(name) == 0 {
		return "", errorf("must be a signal such as SIGTERM or QUIT, or its number from 1 to 64")
	}
	return name, nil
}

func parseUlimit(s string) (*clusterpb.Ulimit, error) {
	u, err := units.ParseUlimit(s)
	if err != nil {
		return nil, errorf("must be NAME=SOFT[:HARD] such as nofile=1024:2048, -1 for unlimited (%w)", err)
	}
	return &clusterpb.Ulimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard}, nil
}

func parseExtraHost(s string) (string, error) {
	name, addr, found := strings.Cut(s, ":")
	if n, a, ok := strings.Cut(s, "="); ok { // Docker's newer form
		name, addr, found = n, a, true
	}
	ip, err := netip.ParseAddr(strings.Trim(addr, "[]"))
	if !found || name == "" || strings.ContainsAny(name, " \t") || err != nil {
		return "", errorf("must be NAME:IP such as db:192.0.2.1")
	}
	return ip.String() + " " + name, nil
}

func parseHTTPCheck(s string) (string, error) {
	if _, err := spec.HTTPCheckURL(s, ""); err != nil {
		return "", errorf("must be PORT[/PATH] such as 8080/healthz")
	}
	return s, nil
}
