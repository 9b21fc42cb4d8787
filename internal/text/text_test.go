package text

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	_ "github.com/muster/muster/proto/control/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

func TestClean(t *testing.T) {
	tests := map[string]struct {
		s     string
		limit int
		want  string
	}{
		"plain":                         {"all is well", 100, "all is well"},
		"umlauts and signs":             {"größe 30 µs, 温度", 100, "größe 30 µs, 温度"},
		"lines and tabs":                {"a\tb\nc\n", 100, "a\tb\nc\n"},
		"lines of other systems":        {"a\r\nb\rc", 100, "a\nb\nc"},
		"not UTF-8":                     {"\xff\xfe", 100, "\ufffd\ufffd"},
		"a terminal's orders":           {"\x1b[31mred\x07", 100, "\ufffd[31mred\ufffd"},
		"of eight bits":                 {"\u009b31m", 100, "\ufffd31m"},
		"NUL and DEL":                   {"a\x00b\x7f", 100, "a\ufffdb\ufffd"},
		"text turned around":            {"exe.\u202etxt", 100, "exe.\ufffdtxt"},
		"cut":                           {strings.Repeat("x", 200), 10, "xxxxxxx…"},
		"cut inside of a character":     {"aéééééé", 8, "aéé…"},
		"cut inside of a longer one":    {"a😀😀😀", 10, "a😀…"},
		"cut, and no character before":  {strings.Repeat("\xff", 20), 10, "\ufffd\ufffd…"},
		"longer by what is replaced":    {"\x00\x00\x00\x00", 6, "\ufffd…"},
		"just as long":                  {"abcdef", 6, "abcdef"},
		"nothing":                       {"", 6, ""},
		"no room":                       {"abcdef", 3, "…"},
		"a sign of replacement, itself": {"a\ufffdb", 100, "a\ufffdb"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := Clean(tt.s, tt.limit)
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
			if again := Clean(got, tt.limit); again != got {
				t.Errorf("cleaned twice it is %q", again)
			}
		})
	}
}

func FuzzClean(f *testing.F) {
	f.Add("\xff\x1b[31mé\r\n", 5)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = 3 + (limit%5000+5000)%5000
		if got := Clean(s, limit); !clean(got) || len(got) > limit {
			t.Errorf("%q becomes %q within %d", s, got, limit)
		}
	})
}

// messages are all message types of the project.
func messages(t *testing.T) (all []protoreflect.MessageDescriptor) {
	t.Helper()
	protoregistry.GlobalFiles.RangeFiles(func(fd protoreflect.FileDescriptor) bool {
		for i := range fd.Messages().Len() {
			if m := fd.Messages().Get(i); strings.HasSuffix(string(m.ParentFile().Package()), ".v1") {
				all = append(all, m)
			}
		}
		return true
	})
	if len(all) < 50 {
		t.Fatalf("only %d messages are known", len(all))
	}
	return all
}

// fill sets every text in m, a few levels deep, and reports whether there is any.
func fill(m protoreflect.Message, s string, depth int) (any bool) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		switch {
		case fd.IsMap():
			if fd.MapKey().Kind() == protoreflect.StringKind && fd.MapValue().Kind() == protoreflect.StringKind {
				m.Mutable(fd).Map().Set(protoreflect.ValueOfString(s).MapKey(), protoreflect.ValueOfString(s))
				any = true
			}
		case fd.Kind() == protoreflect.StringKind && fd.IsList():
			m.Mutable(fd).List().Append(protoreflect.ValueOfString(s))
			any = true
		case fd.Kind() == protoreflect.StringKind:
			m.Set(fd, protoreflect.ValueOfString(s))
			any = true
		case fd.Kind() == protoreflect.MessageKind && depth > 0 && fd.IsList():
			l := m.Mutable(fd).List()
			v := l.NewElement()
			any = fill(v.Message(), s, depth-1) || any
			l.Append(v)
		case fd.Kind() == protoreflect.MessageKind && depth > 0:
			any = fill(m.Mutable(fd).Message(), s, depth-1) || any
		}
	}
	return any
}

// TestEveryTextOfEveryMessage: whatever a message holds, cleaned it can be sent.
func TestEveryTextOfEveryMessage(t *testing.T) {
	for _, md := range messages(t) {
		m := dynamicpb.NewMessage(md)
		if !fill(m, "x\xff\x1b", 4) {
			continue
		}
		if _, err := proto.Marshal(m); err == nil {
			t.Errorf("%s can be sent as it is: the test shows nothing", md.FullName())
		}
		if Check(m) == nil {
			t.Errorf("%s is not refused", md.FullName())
		}
		CleanMessage(m)
		if _, err := proto.Marshal(m); err != nil {
			t.Errorf("%s cannot be sent: %v", md.FullName(), err)
		}
		if err := Check(m); err != nil {
			t.Errorf("cleaned, %s is refused: %v", md.FullName(), err)
		}
	}
}

func TestCleanMessageKeepsTheRest(t *testing.T) {
	got := &clusterpb.NodeDescription{
		Hostname: "n\x1b1", Labels: map[string]string{"a": "1", "b\x00": "2", "c": "\xff"}, Troubles: []string{"well", "\x07"},
		Resources: &clusterpb.Resources{NanoCpus: 5},
	}
	CleanMessage(got)
	want := &clusterpb.NodeDescription{
		Hostname: "n\ufffd1", Labels: map[string]string{"a": "1", "b\ufffd": "2", "c": "\ufffd"}, Troubles: []string{"well", "\ufffd"},
		Resources: &clusterpb.Resources{NanoCpus: 5},
	}
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	long := &dispatchpb.Peer{Id: strings.Repeat("é", MaxObserved)}
	CleanMessage(long)
	if len(long.GetId()) > MaxObserved || !utf8.ValidString(long.GetId()) {
		t.Errorf("%d bytes are left", len(long.GetId()))
	}
}

func TestCheck(t *testing.T) {
	container := func(c *clusterpb.ContainerSpec) proto.Message {
		return &clusterpb.ServiceSpec{Task: &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{c}}}
	}
	tests := map[string]struct {
		m    proto.Message
		want string
	}{
		"well":             {container(&clusterpb.ContainerSpec{Env: []string{"A=\x1b[0m\nline"}}), ""},
		"NUL":              {container(&clusterpb.ContainerSpec{Env: []string{"OK=1", "A=\x00"}}), `env "A=\x00": has a NUL character`},
		"a key":            {&clusterpb.NodeSpec{Labels: map[string]string{"\xff": "1"}}, `labels "\xff": is not valid UTF-8`},
		"too long":         {container(&clusterpb.ContainerSpec{Args: []string{strings.Repeat("x", MaxAsked+1)}}), `args "` + strings.Repeat("x", 64) + `"…: has 131073 bytes, at most 131072 are allowed`},
		"an unknown word":  {&clusterpb.ServiceSpec{Ports: []*clusterpb.Port{{Mode: 77}}}, "mode 77: this version knows 0 to 2"},
		"another":          {&clusterpb.NodeSpec{Availability: -1}, "availability -1: this version knows 0 to 3"},
		"a field of later": {container(withUnknown(&clusterpb.ContainerSpec{})), "ContainerSpec has 4 bytes of fields that this version does not know"},
		"in an entry":      {withUnknown(&clusterpb.NodeSpec{}), "NodeSpec has 4 bytes"},
		"a duration":       {&clusterpb.ServiceSpec{Update: &clusterpb.UpdateConfig{Delay: &durationpb.Duration{Seconds: 1 << 60}}}, "delay: "},
		"another duration": {&clusterpb.ServiceSpec{Update: &clusterpb.UpdateConfig{Delay: &durationpb.Duration{Seconds: 1, Nanos: -1}}}, "delay: "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := Check(tt.m)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want) || !errors.Is(err, errdefs.ErrInvalidArgument)):
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// withUnknown sets a field that nobody knows.
func withUnknown[M proto.Message](m M) M {
	m.ProtoReflect().SetUnknown(protoreflect.RawFields{0xf8, 0xff, 0x01, 0x01})
	return m
}

// TestCleanMessageDropsUnknownFields: they would be kept without a bound.
func TestCleanMessageDropsUnknownFields(t *testing.T) {
	m := withUnknown(&clusterpb.TaskStatus{
		Message: "on", Containers: []*clusterpb.ContainerStatus{withUnknown(&clusterpb.ContainerStatus{Pid: 7})},
		Health: withUnknown(&clusterpb.HealthStatus{FailingStreak: 1}),
	})
	CleanMessage(m)
	want := &clusterpb.TaskStatus{
		Message: "on", Containers: []*clusterpb.ContainerStatus{{Pid: 7}}, Health: &clusterpb.HealthStatus{FailingStreak: 1},
	}
	if !proto.Equal(m, want) {
		t.Errorf("left: %v", m)
	}
}

// TestCleanMessageDropsWhatCannotBeShown: no time of day and no JSON can be made
// of such a time, and no sense of such a word.
func TestCleanMessageDropsWhatCannotBeShown(t *testing.T) {
	const later = 99 // a word of a later version
	m := &clusterpb.TaskStatus{
		State: clusterpb.TaskState_TASK_STATE_RUNNING, At: &timestamppb.Timestamp{Seconds: 1 << 62},
		HostPorts: []*clusterpb.Port{{Published: 80, Mode: later}},
		Health: &clusterpb.HealthStatus{State: later, Log: []*clusterpb.HealthResult{
			{Start: &timestamppb.Timestamp{Seconds: 5}, End: &timestamppb.Timestamp{Nanos: -1}},
		}},
	}
	CleanMessage(m)
	want := &clusterpb.TaskStatus{
		State:     clusterpb.TaskState_TASK_STATE_RUNNING,
		HostPorts: []*clusterpb.Port{{Published: 80}},
		Health:    &clusterpb.HealthStatus{Log: []*clusterpb.HealthResult{{Start: &timestamppb.Timestamp{Seconds: 5}}}},
	}
	if d := cmp.Diff(want, m, protocmp.Transform()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if err := Check(m); err != nil {
		t.Errorf("cleaned, it is refused: %v", err)
	}
}

func TestCheckLine(t *testing.T) {
	for s, ok := range map[string]bool{"": true, "größe": true, "a b": true, "a\nb": false, "a\tb": false, "\x1b": false, "\xff": false} {
		if err := CheckLine("label", s); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
}
