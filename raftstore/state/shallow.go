package state

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// shallow copies a message but not the messages within it, which the copy
// shares. That is safe because nothing in a State is ever changed, and it
// keeps one copy of a task's spec in memory however often its status moves.
func shallow[M proto.Message](m M) M {
	from := m.ProtoReflect()
	to := from.New()
	from.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		to.Set(field, value)
		return true
	})
	to.SetUnknown(from.GetUnknown())
	return to.Interface().(M) //nolint:forcetypeassert // made as the type of from
}
