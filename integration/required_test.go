package integration_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/muster/muster/integration/cluster"
	"github.com/muster/muster/proto/call"
	callpb "github.com/muster/muster/proto/call/v1"
)

// optional are the texts, words and messages that any request, or the one named,
// may lack, each with what that means.
var optional = map[string]string{
	"advertise_addr":                       "the one address that the machine has",
	"availability":                         "active",
	"data_path_addr":                       "the address that is advertised",
	"listen_addr":                          "the address that is advertised",
	"page_token":                           "the first page",
	"resolve":                              "what has changed",
	"FindImageUsersRequest.digest":         "the content stays under another name",
	"InitClusterRequest.spec":              "the defaults",
	"InitClusterRequest.default_addr_pool": "10.128.0.0/9",
	"IssueNodeCertificateRequest.token":    "the caller's certificate is renewed",
	"MoveNodeRequest.remote_addr":          "a manager that the node knows",
	"PullImageRequest.registry_auth":       "no login",
}

// requests calls f with the name of each method that is asked one request, and
// an empty one.
func requests(t *testing.T, f func(method string, rule call.Rule, empty protoreflect.Message)) {
	t.Helper()
	methods(func(name string, rule call.Rule) {
		service, method, _ := strings.Cut(strings.TrimPrefix(name, "/"), "/")
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service + "." + method))
		if err != nil {
			t.Fatal(err)
		}
		asked := d.(protoreflect.MethodDescriptor)
		if asked.IsStreamingClient() {
			return
		}
		kind, err := protoregistry.GlobalTypes.FindMessageByName(asked.Input().FullName())
		if err != nil {
			t.Fatal(err)
		}
		f(name, rule, kind.New())
	})
}

func isRequired(fd protoreflect.FieldDescriptor) bool {
	required, _ := proto.GetExtension(fd.Options(), callpb.E_Required).(bool)
	return required
}

// TestEveryFieldOfARequestIsRequiredOrNot: what a request may lack was thought
// about. Numbers and flags have a 0 that means something.
func TestEveryFieldOfARequestIsRequiredOrNot(t *testing.T) {
	unused := maps.Clone(optional)
	requests(t, func(_ string, _ call.Rule, empty protoreflect.Message) {
		for i := range empty.Descriptor().Fields().Len() {
			fd := empty.Descriptor().Fields().Get(i)
			switch fd.Kind() {
			case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.EnumKind, protoreflect.MessageKind:
			default:
				continue
			}
			if isRequired(fd) {
				continue
			}
			name := string(fd.Name())
			if _, everywhere := optional[name]; !everywhere {
				name = string(empty.Descriptor().Name()) + "." + name
			}
			delete(unused, name)
			if _, may := optional[name]; !may {
				t.Errorf("%s: is it required, or what does it mean when it is not set? Either its proto file or 'optional' must say", fd.FullName())
			}
		}
	})
	for name := range unused {
		t.Errorf("%s: no request has that; take it out of 'optional'", name)
	}
}

// filled returns a request with what is required.
func filled(empty protoreflect.Message) protoreflect.Message {
	m := empty.New()
	for i := range m.Descriptor().Fields().Len() {
		if fd := m.Descriptor().Fields().Get(i); isRequired(fd) {
			set(m, fd, "nobody")
		}
	}
	return m
}

// set gives a field, or the one element of a list, a value: text where it is one.
func set(m protoreflect.Message, fd protoreflect.FieldDescriptor, text string) {
	var v protoreflect.Value
	switch fd.Kind() {
	case protoreflect.StringKind:
		v = protoreflect.ValueOfString(text)
	case protoreflect.BytesKind:
		v = protoreflect.ValueOfBytes([]byte(text))
	case protoreflect.MessageKind:
		m.Mutable(fd) // there, if empty
		return
	default:
		v = protoreflect.ValueOfEnum(1)
	}
	if fd.IsList() {
		m.Mutable(fd).List().Append(v)
		return
	}
	m.Set(fd, v)
}

// faulty returns requests that are to be refused, each with a word of why.
func faulty(empty protoreflect.Message) map[string]protoreflect.Message {
	bad := make(map[string]protoreflect.Message)
	for i := range empty.Descriptor().Fields().Len() {
		fd := empty.Descriptor().Fields().Get(i)
		if !isRequired(fd) {
			continue
		}
		m, why := filled(empty), strings.ReplaceAll(string(fd.Name()), "_", " ")+" is required"
		m.Clear(fd)
		if fd.IsList() {
			set(m, fd, "")
			why = strings.ReplaceAll(string(fd.Name()), "_", " ") + " is empty"
		}
		bad[why] = m
	}
	within(empty.Descriptor(), nil, func(path []protoreflect.FieldDescriptor, fd protoreflect.FieldDescriptor) {
		m := filled(empty)
		in := reach(m, path)
		if fd == nil {
			in.SetUnknown(protoreflect.RawFields{0xf8, 0xff, 0x01, 0x01}) // field 4095 is 1
			bad[string(in.Descriptor().Name())+" has 4 bytes of fields"] = m
			return
		}
		if v := protoreflect.ValueOfEnum(99); fd.IsList() {
			in.Mutable(fd).List().Append(v)
		} else {
			in.Set(fd, v)
		}
		bad[strings.ReplaceAll(string(fd.Name()), "_", " ")+" 99"] = m
	})
	return bad
}

// within calls f with the way to each message in a message, and to each word in
// those. Of ways that lead on for ever it goes the first steps.
func within(d protoreflect.MessageDescriptor, path []protoreflect.FieldDescriptor, f func(path []protoreflect.FieldDescriptor, word protoreflect.FieldDescriptor)) {
	f(path, nil)
	for i := range d.Fields().Len() {
		fd := d.Fields().Get(i)
		switch {
		case fd.IsMap() || len(path) > 6 || strings.HasPrefix(string(fd.FullName()), "google."):
		case fd.Kind() == protoreflect.EnumKind:
			f(path, fd)
		case fd.Kind() == protoreflect.MessageKind:
			within(fd.Message(), append(slices.Clone(path), fd), f)
		}
	}
}

// reach makes the messages on the way, and returns the last.
func reach(m protoreflect.Message, path []protoreflect.FieldDescriptor) protoreflect.Message {
	for _, fd := range path {
		if fd.IsList() {
			m = m.Mutable(fd).List().AppendMutable().Message()
		} else {
			m = m.Mutable(fd).Message()
		}
	}
	return m
}

// ask calls any method that is asked one request.
func ask(ctx context.Context, conn grpc.ClientConnInterface, method string, request proto.Message) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return err
	}
	// Sending fails when the answer came first; receiving says why.
	_ = errors.Join(stream.SendMsg(request), stream.CloseSend())
	return stream.RecvMsg(&emptypb.Empty{})
}

// TestRequestsThatAreNotWhole are refused by every method, whoever asks, with
// what they lack or have too much; nothing becomes of them.
func TestRequestsThatAreNotWhole(t *testing.T) {
	cluster.Run(t, cluster.Config{Managers: 1, Workers: 2}, func(ctx context.Context, c *cluster.Cluster) {
		c.CreateService("web", 1)
		c.Eventually("a task", func() bool { return len(c.Serving("web")) == 1 })
		w1, m1 := c.Nodes["w1"], c.Nodes["m1"]
		before := c.State()
		asked := 0
		requests(t, func(method string, rule call.Rule, empty protoreflect.Message) {
			conn := c.On(m1)
			if rule.Callers&call.Local == 0 {
				by, to := w1, m1
				if rule.Callers&call.Worker == 0 {
					by, to = m1, m1
				}
				own, err := by.Credentials()
				if err != nil {
					t.Fatal(err)
				}
				dialed, err := by.Connect(to, own)
				if err != nil {
					t.Fatal(err)
				}
				defer dialed.Close()
				conn = dialed
			}
			for why, request := range faulty(empty) {
				asked++
				if err := ask(ctx, conn, method, request.Interface()); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), why) {
					t.Errorf("%s: %v, want it refused for %q", method, err, why)
				}
			}
		})
		if asked < 100 {
			t.Errorf("only %d requests were refused", asked)
		}
		after := c.State()
		if !proto.Equal(before.Cluster(), after.Cluster()) {
			t.Errorf("the cluster became %v", after.Cluster())
		}
		for n := range before.Nodes() {
			if is, _ := after.Node(n.GetId()); !proto.Equal(n.GetSpec(), is.GetSpec()) {
				t.Errorf("node %s became %v", n.GetId(), is.GetSpec())
			}
		}
	})
}
