package credential_test

import (
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/credential"
	"github.com/muster/muster/proto/pod"
)

// telling are the names of fields that hold what not everybody may see.
var telling = regexp.MustCompile(`(auth|secret|passw|token|credential|private|_keys?$)`)

// meant are the fields of such names that are there to be shown: who may ask
// for a join token is asking for this, and a page's token is a place in a list.
var meant = regexp.MustCompile(`^control\.v1\.(\w*JoinToken\w*\.\w*token\w*|List\w*\.(next_)?page_token)$`)

// TestEverySecretIsMarked fails for a new field of an object, or of what the
// control API answers, that sounds like a secret and would be shown.
func TestEverySecretIsMarked(t *testing.T) {
	checked := 0
	eachField(t, func(f protoreflect.FieldDescriptor) {
		name := string(f.FullName())
		if !strings.HasPrefix(name, "cluster.v1.") && !strings.HasPrefix(name, "control.v1.") {
			return
		}
		holdsText := f.Kind() == protoreflect.StringKind || f.Kind() == protoreflect.BytesKind
		if !holdsText || !telling.MatchString(string(f.Name())) || meant.MatchString(name) {
			return
		}
		checked++
		if !f.Options().(*descriptorpb.FieldOptions).GetDebugRedact() {
			t.Errorf("%s is shown to every reader: mark it debug_redact, or say in this test why it may be", name)
		}
	})
	if checked == 0 {
		t.Error("no field was looked at")
	}
}

// TestEverySecretIsCleared fills each message of the contract, field by field
// to some depth, and finds nothing marked in what is left.
func TestEverySecretIsCleared(t *testing.T) {
	eachMessage(t, func(mt protoreflect.MessageType) {
		full := mt.New()
		fill(full, 0)
		before := proto.Clone(full.Interface())
		left := credential.Redact(full.Interface()).ProtoReflect()
		if name := remaining(left); name != "" {
			t.Errorf("%s keeps %s", mt.Descriptor().FullName(), name)
		}
		if !proto.Equal(before, full.Interface()) {
			t.Errorf("%s was changed", mt.Descriptor().FullName())
		}
	})
}

func TestRedact(t *testing.T) {
	spec := func() *clusterpb.ServiceSpec {
		return &clusterpb.ServiceSpec{
			Name: "web",
			Task: &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: "nginx", RegistryAuth: "s3cret"}}},
		}
	}
	svc := &clusterpb.Service{Id: "s", Spec: spec(), History: []*clusterpb.SpecRecord{{Number: 1, Spec: spec()}, {Number: 2}}}
	messages := map[string]proto.Message{
		"service": svc,
		"task":    &clusterpb.Task{Id: "t", Spec: spec().GetTask()},
		"answer":  &controlpb.GetServiceResponse{Service: svc},
		"keys":    &clusterpb.ClusterSecrets{Version: 1, RootCaKey: []byte("s3cret"), GossipKeys: [][]byte{[]byte("s3cret")}},
	}
	for name, m := range messages {
		t.Run(name, func(t *testing.T) {
			got := credential.Redact(m)
			if text := got.(interface{ String() string }).String(); strings.Contains(text, "s3cret") {
				t.Errorf("still there: %s", text)
			}
			if proto.Equal(got, m) {
				t.Error("the message it was made from was changed")
			}
		})
	}
	if got := credential.Redact(svc); got.GetId() != "s" || len(got.GetHistory()) != 2 || pod.Main(got.GetSpec().GetTask()).GetImage() != "nginx" {
		t.Errorf("more than the credential is gone: %v", got)
	}
}

func TestRedactNothing(t *testing.T) {
	for name, m := range map[string]proto.Message{
		"no secret is set":  &clusterpb.Service{Id: "s", Spec: &clusterpb.ServiceSpec{Name: "web"}},
		"it can hold none":  &clusterpb.Node{Id: "n"},
		"there is no value": (*clusterpb.Service)(nil),
	} {
		if got := credential.Redact(m); got != m {
			t.Errorf("%s: it was copied", name)
		}
	}
}

func TestKeep(t *testing.T) {
	with := func(image, auth string) *clusterpb.ServiceSpec {
		return &clusterpb.ServiceSpec{Task: &clusterpb.TaskSpec{Containers: []*clusterpb.ContainerSpec{{Image: image, RegistryAuth: auth}}}}
	}
	tests := map[string]struct {
		next, old *clusterpb.ServiceSpec
		want      string
	}{
		"read and written back": {with("r.example.com/a", ""), with("r.example.com/a", "old"), "old"},
		"a new login":           {with("r.example.com/a", "new"), with("r.example.com/a", "old"), "new"},
		"another image":         {with("evil.example.com/a", ""), with("r.example.com/a", "old"), ""},
		"none before":           {with("r.example.com/a", ""), with("r.example.com/a", ""), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			credential.Keep(tt.next, tt.old)
			if got := pod.Main(tt.next.GetTask()).GetRegistryAuth(); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// eachMessage calls do for each message of ours that is linked in.
func eachMessage(t *testing.T, do func(protoreflect.MessageType)) {
	t.Helper()
	n := 0
	protoregistry.GlobalTypes.RangeMessages(func(mt protoreflect.MessageType) bool {
		if name := string(mt.Descriptor().FullName()); !strings.HasPrefix(name, "google.") && !mt.Descriptor().IsMapEntry() {
			n++
			do(mt)
		}
		return true
	})
	if n == 0 {
		t.Fatal("no message is known")
	}
}

func eachField(t *testing.T, do func(protoreflect.FieldDescriptor)) {
	t.Helper()
	eachMessage(t, func(mt protoreflect.MessageType) {
		for i := range mt.Descriptor().Fields().Len() {
			do(mt.Descriptor().Fields().Get(i))
		}
	})
}

// fill sets every string, every byte string and every message of m.
func fill(m protoreflect.Message, depth int) {
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		switch {
		case f.IsMap():
			if f.MapValue().Message() != nil && depth < 6 {
				v := m.NewField(f).Map()
				one := v.NewValue()
				fill(one.Message(), depth+1)
				v.Set(protoreflect.ValueOfString("k").MapKey(), one)
				m.Set(f, protoreflect.ValueOfMap(v))
			}
		case f.IsList():
			list := m.Mutable(f).List()
			one := list.NewElement()
			if f.Message() != nil {
				if depth == 6 {
					continue
				}
				fill(one.Message(), depth+1)
			} else if v, ok := value(f); ok {
				one = v
			}
			list.Append(one)
		case f.Message() != nil:
			if depth < 6 {
				fill(m.Mutable(f).Message(), depth+1)
			}
		default:
			if v, ok := value(f); ok {
				m.Set(f, v)
			}
		}
	}
}

func value(f protoreflect.FieldDescriptor) (protoreflect.Value, bool) {
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("text"), true
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte("text")), true
	default:
		return protoreflect.Value{}, false
	}
}

// remaining names a marked field that is set somewhere in m. It looks
// everywhere, so as not to share the shortcuts of what it tests.
func remaining(m protoreflect.Message) (name string) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Options().(*descriptorpb.FieldOptions).GetDebugRedact():
			name = string(f.FullName())
		case f.IsMap() && f.MapValue().Message() != nil:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				name = remaining(v.Message())
				return name == ""
			})
		case f.IsMap():
		case f.IsList() && f.Message() != nil:
			for i := 0; i < v.List().Len() && name == ""; i++ {
				name = remaining(v.List().Get(i).Message())
			}
		case f.Message() != nil:
			name = remaining(v.Message())
		}
		return name == ""
	})
	return name
}
