package spec

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/muster/muster/internal/text"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/port"
)

// MinHealthTime is the shortest interval or timeout of a health check, as in
// Docker. Images may say less, which counts as nothing said.
const MinHealthTime = time.Millisecond

func validateHealth(h *clusterpb.HealthCheck) error {
	if h == nil {
		return nil
	}
	for _, t := range []timed{
		{"interval", h.GetInterval()},
		{"timeout", h.GetTimeout()},
		{"start period", h.GetStartPeriod()},
		{"start interval", h.GetStartInterval()},
	} {
		if d := t.AsDuration(); d != 0 && (d < MinHealthTime || d > longest) {
			return invalid("health %s %s: use 0s, or 1ms to %gh", t.name, d, longest.Hours())
		}
	}
	kinds := 0
	for _, set := range []bool{len(h.GetTest()) > 0, h.GetHttp() != "", h.GetTcp() != 0} {
		if set {
			kinds++
		}
	}
	if kinds > 1 {
		return invalid("a service has one health check: a command, http or tcp")
	}
	if h.GetTcp() > port.Max {
		return invalid("health tcp port %d: use 1 to 65535", h.GetTcp())
	}
	if target := h.GetHttp(); target != "" {
		if _, err := HTTPCheckURL(target, ""); err != nil {
			return err
		}
	}
	return validateTest(h.GetTest())
}

func validateTest(test []string) error {
	switch {
	case len(test) == 0 || test[0] == "NONE":
		return nil
	case test[0] != "CMD" && test[0] != "CMD-SHELL":
		return invalid("health test %s: use NONE, CMD or CMD-SHELL first", text.Quote(test[0]))
	case len(test) == 1 || test[1] == "":
		return invalid("health test %s: a command has to follow", test[0])
	}
	return nil
}

// HTTPCheckURL returns where on a host the HTTP check of a task, PORT[/PATH],
// asks. InvalidArgument when it is none.
func HTTPCheckURL(check, host string) (*url.URL, error) {
	number, path, _ := strings.Cut(check, "/")
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 0 || strings.ContainsAny(path, " \t") {
		return nil, invalid("health http %s: use PORT[/PATH] such as 8080/healthz", text.Quote(check))
	}
	u, err := url.Parse("http://" + net.JoinHostPort(host, strconv.FormatUint(n, 10)) + "/" + path)
	if err != nil {
		return nil, invalid("health http %s: use a path of a URL: %v", text.Quote(check), err)
	}
	return u, nil
}
