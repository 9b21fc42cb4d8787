package flags

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// show writes ports as MODE PUBLISHED:TARGET/PROTOCOL.
func show(ports []*clusterpb.Port) string {
	var list []string
	for _, p := range ports {
		mode := strings.ToLower(strings.TrimPrefix(p.GetMode().String(), "MODE_"))
		protocol := strings.ToLower(strings.TrimPrefix(p.GetProtocol().String(), "PROTOCOL_"))
		list = append(list, fmt.Sprintf("%s %d:%d/%s", mode, p.GetPublished(), p.GetTarget(), protocol))
	}
	return strings.Join(list, ", ")
}

func TestPorts(t *testing.T) {
	tests := map[string]struct {
		in, want, wantErr string
	}{
		"target only":          {in: "80", want: "ingress 0:80/tcp"},
		"published":            {in: "8111:80", want: "ingress 8111:80/tcp"},
		"udp":                  {in: "53:53/udp", want: "ingress 53:53/udp"},
		"upper case protocol":  {in: "53/UDP", want: "ingress 0:53/udp"},
		"ranges":               {in: "8000-8002:80-82", want: "ingress 8000:80/tcp, ingress 8001:81/tcp, ingress 8002:82/tcp"},
		"range of targets":     {in: "80-81", want: "ingress 0:80/tcp, ingress 0:81/tcp"},
		"range to one target":  {in: "8000-8001:80", want: "ingress 8000:80/tcp, ingress 8001:80/tcp"},
		"long":                 {in: "target=80,published=8080,protocol=udp,mode=host", want: "host 8080:80/udp"},
		"long, target only":    {in: "target=80", want: "ingress 0:80/tcp"},
		"empty":                {in: "", wantErr: portForm},
		"word":                 {in: "http", wantErr: portForm},
		"zero":                 {in: "0", wantErr: portForm},
		"too large":            {in: "65536", wantErr: portForm},
		"negative":             {in: "-1:80", wantErr: portForm},
		"no published":         {in: ":80", wantErr: portForm},
		"no target":            {in: "80:", wantErr: portForm},
		"lengths differ":       {in: "8000-8001:80-82", wantErr: "differ in length"},
		"backwards":            {in: "82-80", wantErr: "ends before it begins"},
		"sctp":                 {in: "80/sctp", wantErr: `protocol "sctp" is not supported: must be tcp or udp`},
		"address":              {in: "127.0.0.1:8080:80", wantErr: "names an address"},
		"IPv6 address":         {in: "[::1]:8080:80", wantErr: "names an address"},
		"long without target":  {in: "published=80", wantErr: "has no target"},
		"long with sctp":       {in: "target=80,protocol=sctp", wantErr: `protocol "sctp"`},
		"long with bad mode":   {in: "target=80,mode=bridge", wantErr: `mode "bridge"`},
		"long with other key":  {in: "target=80,foo=1", wantErr: `unknown key "foo"`},
		"long with range":      {in: "target=80-81", wantErr: portForm},
		"published 0 in range": {in: "0-1:80-81", wantErr: portForm},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Ports.Parse(tt.in)
			if !matches(err, tt.wantErr) {
				t.Fatalf("Ports(%q) error = %v, want %q", tt.in, err, tt.wantErr)
			}
			if s := show(got); s != tt.want {
				t.Errorf("Ports(%q) = %q, want %q", tt.in, s, tt.want)
			}
		})
	}
}

// matches reports whether err says want; an empty want is no error.
func matches(err error, want string) bool {
	if want == "" || err == nil {
		return want == "" && err == nil
	}
	return strings.Contains(err.Error(), want)
}

// parsed is the text of what a kind makes of s.
func parsed[T any](k Kind[T], s string) string {
	v, err := k.Parse(s)
	if err != nil {
		return "error: " + err.Error()
	}
	if d, ok := any(v).(*durationpb.Duration); ok {
		return d.AsDuration().String()
	}
	return fmt.Sprint(v)
}

func TestScalars(t *testing.T) {
	memory := "error: must be a size in bytes, or with a unit such as 512k, 64m or 2g"
	cpus := "error: must be a number of cores such as 0.5 or 2, with at most 9 decimals and at least 0.001, or 0 for none"
	count := "error: must be a whole number from 0 to 4294967295"
	duration := "error: must be a duration of 0 or more such as 500ms, 10s or 1m30s"
	tests := map[string]struct{ got, want string }{
		"bytes":                 {parsed(Bytes, "64m"), "67108864"},
		"bytes, bare":           {parsed(Bytes, "8388608"), "8388608"},
		"bytes, none":           {parsed(Bytes, "0"), "0"},
		"bytes, too few":        {parsed(Bytes, "1k"), "error: must be 4m or more, or 0 for none"},
		"bytes, negative":       {parsed(Bytes, "-64m"), memory},
		"bytes, unit":           {parsed(Bytes, "64x"), memory},
		"bytes, empty":          {parsed(Bytes, ""), memory},
		"cpus":                  {parsed(CPUs, "0.5"), "500000000"},
		"cpus, whole":           {parsed(CPUs, "2"), "2000000000"},
		"cpus, none":            {parsed(CPUs, "0"), "0"},
		"cpus, too few":         {parsed(CPUs, "0.0001"), cpus},
		"cpus, too fine":        {parsed(CPUs, "1.0000000001"), cpus},
		"cpus, exponent":        {parsed(CPUs, "1e3"), cpus},
		"cpus, fraction":        {parsed(CPUs, "1/2"), cpus},
		"cpus, negative":        {parsed(CPUs, "-1"), cpus},
		"cpus, too many":        {parsed(CPUs, "99999999999999"), cpus},
		"count":                 {parsed(Count, "3"), "3"},
		"count, negative":       {parsed(Count, "-1"), count},
		"count, fraction":       {parsed(Count, "1.5"), count},
		"count, too large":      {parsed(Count, "4294967296"), count},
		"int":                   {parsed(Int(-10, 10), "-10"), "-10"},
		"int, out of range":     {parsed(Int(-10, 10), "11"), "error: must be a whole number from -10 to 10"},
		"int without a limit":   {parsed(Int(1, math.MaxInt64), "x"), "error: must be a whole number, 1 or more"},
		"int, far too many":     {parsed(Int(1, math.MaxInt64), "99999999999999999999"), "error: must be a whole number, 1 or more"},
		"int, very many":        {parsed(Int(1, math.MaxInt64), "9223372036854775807"), "9223372036854775807"},
		"ratio":                 {parsed(Ratio, "0.25"), "0.25"},
		"ratio, large":          {parsed(Ratio, "1.1"), "error: must be a number from 0 to 1"},
		"ratio, NaN":            {parsed(Ratio, "NaN"), "error: must be a number from 0 to 1"},
		"duration":              {parsed(Duration, "1m30s"), "1m30s"},
		"duration, zero":        {parsed(Duration, "0"), "0s"},
		"duration, no unit":     {parsed(Duration, "5"), duration},
		"duration, negative":    {parsed(Duration, "-5s"), duration},
		"duration, least":       {parsed(AtLeast(time.Hour), "59m"), "error: must be at least 1h0m0s"},
		"words":                 {parsed(Words, `sh -c "echo a b"`), "[sh -c echo a b]"},
		"words, none":           {parsed(Words, ""), "[]"},
		"words, quote open":     {parsed(Words, `sh "a`), "error: is not a command line: check its quotes"},
		"words, array":          {parsed(Words, `["sh","-c","echo 'a b'"]`), `error: is an array: write its words as for a shell: sh -c 'echo '\''a b'\'''`},
		"words, array's like":   {parsed(Words, `['sh', '-c']`), "error: is an array: write its words as for a shell, with spaces between them"},
		"words, empty array":    {parsed(Words, "[]"), `error: is an array: write "" for no words`},
		"words, test":           {parsed(Words, `[ -f "a b" ]`), "[[ -f a b ]]"},
		"words, brackets":       {parsed(Words, "[abc] null"), "[[abc] null]"},
		"words, null":           {parsed(Words, "null"), "[null]"},
		"shell line":            {parsed(ShellLine, `[ "$a" = b ] && c`), `[ "$a" = b ] && c`},
		"shell line, array":     {parsed(ShellLine, ` ["curl", "-f"] `), "error: is an array: write its words as for a shell: curl -f"},
		"shell line, none":      {parsed(ShellLine, " "), "error: must not be empty"},
		"words, operator":       {parsed(Words, `a; b`), "error: holds a shell operator (one of ;&|<>) outside quotes: quote it, or run it with sh -c"},
		"ip":                    {parsed(IP, "2001:DB8::1"), "2001:db8::1"},
		"ip, name":              {parsed(IP, "dns.example.com"), "error: must be an IP address such as 192.0.2.1 or 2001:db8::1"},
		"pair":                  {parsed(Pair, "a=b=c"), "[a b=c]"},
		"pair, no value":        {parsed(Pair, "a"), "error: must be KEY=VALUE"},
		"label, no value":       {parsed(Label, "a"), "[a ]"},
		"label, no key":         {parsed(Label, "=a"), "error: must be KEY or KEY=VALUE"},
		"one of":                {parsed(OneOf([]string{"a", "b", "c"}, map[string]int{"b": 2}), "b"), "2"},
		"none of":               {parsed(OneOf([]string{"a", "b", "c"}, map[string]int{"b": 2}), "d"), "error: must be a, b or c"},
		"image":                 {parsed(Image, "nginx:1.29"), "nginx:1.29"},
		"capability":            {parsed(Capability, "net_admin"), "CAP_NET_ADMIN"},
		"capability, all":       {parsed(Capability, "all"), "ALL"},
		"capability, form":      {parsed(Capability, "net-admin"), "error: must be a capability of Linux such as NET_ADMIN, or ALL"},
		"capability, none":      {parsed(Capability, "NOSUCH"), "error: must be a capability of Linux such as NET_ADMIN, or ALL"},
		"signal":                {parsed(Signal, "quit"), "SIGQUIT"},
		"signal, number":        {parsed(Signal, "15"), "15"},
		"signal, real time":     {parsed(Signal, "RTMIN+3"), "RTMIN+3"},
		"signal, unknown":       {parsed(Signal, "SIGNOPE"), "error: must be a signal such as SIGTERM or QUIT, or its number from 1 to 64"},
		"signal, number high":   {parsed(Signal, "65"), "error: must be a signal such as SIGTERM or QUIT, or its number from 1 to 64"},
		"extra host":            {parsed(ExtraHost, "db:192.0.2.1"), "192.0.2.1 db"},
		"extra host, IPv6":      {parsed(ExtraHost, "db:2001:db8::1"), "2001:db8::1 db"},
		"extra host, new form":  {parsed(ExtraHost, "db=[::1]"), "::1 db"},
		"extra host, no ip":     {parsed(ExtraHost, "db"), "error: must be NAME:IP such as db:192.0.2.1"},
		"http check":            {parsed(HTTPCheck, "8080/healthz"), "8080/healthz"},
		"http check, no port":   {parsed(HTTPCheck, "/healthz"), "error: must be PORT[/PATH] such as 8080/healthz"},
		"port":                  {parsed(Port, "80"), "80"},
		"port, zero":            {parsed(Port, "0"), "error: must be a port from 1 to 65535"},
		"constraint":            {parsed(Constraint, "node.labels.zone==a"), "node.labels.zone==a"},
		"spread":                {parsed(Spread, "spread=node.labels.rack"), "node.labels.rack"},
		"spread, by id":         {parsed(Spread, "spread=node.id"), "error: must be spread=node.labels.NAME or spread=engine.labels.NAME"},
		"spread, other":         {parsed(Spread, "binpack=node.labels.a"), "error: must be spread=node.labels.NAME or spread=engine.labels.NAME"},
		"name, empty":           {parsed(Name, " "), "error: must not be empty"},
		"target with protocol":  {parsed(Kind[string]{"", func(s string) (string, error) { p, err := Target.Parse(s); return show([]*clusterpb.Port{p}), err }}, "80/udp"), "unspecified 0:80/udp"},
		"target with published": {parsed(Target, "80:80"), "error: must be the port in the container, as TARGET or TARGET/tcp or TARGET/udp"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.got != tt.want {
				t.Errorf("got %q, want %q", tt.got, tt.want)
			}
		})
	}
}

func TestKindsThatQuoteTheirCause(t *testing.T) {
	tests := map[string]struct{ got, want string }{
		"image":      {parsed(Image, "Nginx:"), "must be an image as NAME[:TAG][@DIGEST]"},
		"ulimit":     {parsed(Ulimit, "files=1"), "must be NAME=SOFT[:HARD]"},
		"constraint": {parsed(Constraint, "zone"), "KEY==VALUE or KEY!=VALUE"},
		"unknown":    {parsed(Constraint, "zone==a"), "node.labels"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if !strings.HasPrefix(tt.got, "error: ") || !strings.Contains(tt.got, tt.want) {
				t.Errorf("got %q, want an error with %q", tt.got, tt.want)
			}
			if strings.Contains(tt.got, "invalid argument") {
				t.Errorf("%q repeats its kind", tt.got)
			}
		})
	}
}

func TestUlimit(t *testing.T) {
	got, err := Ulimit.Parse("nofile=1024:2048")
	if err != nil || got.GetName() != "nofile" || got.GetSoft() != 1024 || got.GetHard() != 2048 {
		t.Errorf("Ulimit = %v, %v", got, err)
	}
}

func lookup(vars map[string]string) Lookup {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

func TestEnvFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(path, []byte("# a comment\nA=1\n\n  B=two words\nHOME\nUNSET\nC=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := EnvFile(lookup(map[string]string{"HOME": "/root"})).Parse(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"A=1", "B=two words", "HOME=/root", "C="}, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if err := os.WriteFile(path, []byte("A=1\nno good=2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := EnvFile(lookup(nil)).Parse(path); err == nil || !strings.Contains(err.Error(), `line 2: "no good=2"`) {
		t.Errorf("error = %v, want the line", err)
	}
	for content, want := range map[string]string{
		"A=1\nB=\xff\n": `line 2: "B=\xff": must be text in UTF-8`, "A=\x00\n": `line 1: "A=\x00": must be text in UTF-8`,
		"A\x00=\x001\x00": "line 1: ", "X=1\nA=" + strings.Repeat("x", 140<<10): "line 2: has more than 131072 bytes",
		"\ufeffA=1\r\nB=2": "", "A=" + strings.Repeat("x", 120<<10): "",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := EnvFile(lookup(nil)).Parse(path)
		if want == "" && (err != nil || !strings.HasPrefix(got[0], "A=")) || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%.20q: %.20q, %v, want %q", content, got, err, want)
		}
	}
	if _, err := EnvFile(lookup(nil)).Parse(path + ".missing"); err == nil {
		t.Error("a file that is not there was read")
	}
}

// FuzzPorts checks that whatever is accepted is a list of valid ports.
func FuzzPorts(f *testing.F) {
	for _, s := range []string{"80", "8111:80/tcp", "8000-8002:80-82/udp", "target=80,published=8080,mode=host", "1-65535:1-65535", "::", "-:-", "=,="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ports, err := Ports.Parse(s)
		if err != nil {
			return
		}
		if len(ports) == 0 {
			t.Fatalf("Ports(%q) is empty", s)
		}
		for _, p := range ports {
			if p.GetTarget() < 1 || p.GetTarget() > 65535 || p.GetPublished() > 65535 {
				t.Fatalf("Ports(%q) = %v: out of range", s, p)
			}
			if p.GetProtocol() == clusterpb.Port_PROTOCOL_UNSPECIFIED || p.GetMode() == clusterpb.Port_MODE_UNSPECIFIED {
				t.Fatalf("Ports(%q) = %v: left open", s, p)
			}
		}
	})
}

// FuzzAmounts checks that whatever is accepted is in range.
func FuzzAmounts(f *testing.F) {
	for _, s := range []string{"64m", "0.5", "-1", "1e9", "9223372036854775807", "1.5.5", "4m", "٣"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := Bytes.Parse(s); err == nil && n != 0 && n < minMemory {
			t.Errorf("Bytes(%q) = %d", s, n)
		}
		if n, err := CPUs.Parse(s); err == nil && n != 0 && n < 1e6 {
			t.Errorf("CPUs(%q) = %d", s, n)
		}
		if d, err := Duration.Parse(s); err == nil && d.AsDuration() < 0 {
			t.Errorf("Duration(%q) = %v", s, d)
		}
	})
}
