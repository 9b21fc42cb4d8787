package credential

import (
	"cmp"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Redact returns m without the fields that are marked debug_redact in the
// messages, however deep they are. It returns m itself when it holds none, and
// never changes it: objects of the state are shared.
func Redact[M proto.Message](m M) M {
	if !m.ProtoReflect().IsValid() || !visit(m.ProtoReflect(), found) {
		return m
	}
	clone := proto.CloneOf(m)
	visit(clone.ProtoReflect(), clearField)
	return clone
}

// found stops at the first secret.
func found(protoreflect.Message, protoreflect.FieldDescriptor) (stop bool) { return true }

// clearField goes on to the next.
func clearField(m protoreflect.Message, f protoreflect.FieldDescriptor) (stop bool) {
	m.Clear(f)
	return false
}

// visit calls do for every secret that is set in m, until it returns true.
func visit(m protoreflect.Message, do func(protoreflect.Message, protoreflect.FieldDescriptor) bool) (stopped bool) {
	for _, f := range waysFrom(m.Descriptor()) {
		switch {
		case !m.Has(f):
		case isSecret(f):
			stopped = do(m, f)
		case f.IsMap():
			m.Get(f).Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				stopped = visit(v.Message(), do)
				return !stopped
			})
		case f.IsList():
			for list, i := m.Get(f).List(), 0; i < list.Len() && !stopped; i++ {
				stopped = visit(list.Get(i).Message(), do)
			}
		default:
			stopped = visit(m.Get(f).Message(), do)
		}
		if stopped {
			return true
		}
	}
	return false
}

func isSecret(f protoreflect.FieldDescriptor) bool {
	options, ok := f.Options().(*descriptorpb.FieldOptions)
	return ok && options.GetDebugRedact()
}

// ways remembers, by message, the fields that are secrets or lead to some:
// most messages have none, and a list may have 100,000 of them.
var ways sync.Map //nolint:gochecknoglobals // what it holds follows from the messages alone

func waysFrom(d protoreflect.MessageDescriptor) []protoreflect.FieldDescriptor {
	if known, ok := ways.Load(d); ok {
		return known.([]protoreflect.FieldDescriptor) //nolint:forcetypeassert // what is stored below
	}
	var list []protoreflect.FieldDescriptor
	for i := range d.Fields().Len() {
		if f := d.Fields().Get(i); isSecret(f) || leadsToSecret(messageOf(f), map[protoreflect.MessageDescriptor]bool{}) {
			list = append(list, f)
		}
	}
	ways.Store(d, list)
	return list
}

// leadsToSecret reports whether a message of type d can hold a secret. Messages
// may hold themselves: seen are those that were looked at.
func leadsToSecret(d protoreflect.MessageDescriptor, seen map[protoreflect.MessageDescriptor]bool) bool {
	if d == nil || seen[d] {
		return false
	}
	seen[d] = true
	for i := range d.Fields().Len() {
		if f := d.Fields().Get(i); isSecret(f) || leadsToSecret(messageOf(f), seen) {
			return true
		}
	}
	return false
}

// messageOf returns the message that a field holds, or that the values of a map
// are; nil for other fields.
func messageOf(f protoreflect.FieldDescriptor) protoreflect.MessageDescriptor {
	if f.IsMap() {
		return f.MapValue().Message()
	}
	return f.Message()
}

// Keep carries the credential of old over to next: readers never see it, so a
// spec that was read and written back has none. Another image may be another
// registry's, which must not get it.
func Keep(next, old *clusterpb.ServiceSpec) {
	auth := make(map[string]string) // by image
	for _, c := range old.GetTask().GetContainers() {
		auth[c.GetImage()] = cmp.Or(auth[c.GetImage()], c.GetRegistryAuth())
	}
	for _, c := range next.GetTask().GetContainers() {
		if c.GetRegistryAuth() == "" {
			c.RegistryAuth = auth[c.GetImage()]
		}
	}
}
