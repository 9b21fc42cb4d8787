package text

import (
	"fmt"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// checkKnown refuses fields that this version does not know: whoever set them
// asks for something that would not be done.
func checkKnown(m protoreflect.Message) error {
	return eachMessage(m, func(m protoreflect.Message) error {
		if n := len(m.GetUnknown()); n > 0 {
			return fmt.Errorf("%s has %d bytes of fields that this version does not know: %w", m.Descriptor().Name(), n, errdefs.ErrInvalidArgument)
		}
		return nil
	})
}

// dropUnknown takes out what this version would keep, but neither bound nor
// clean, and what it could not show: words that it does not know, and times and
// durations out of range, count as not said.
func dropUnknown(m protoreflect.Message) {
	eachMessage(m, func(m protoreflect.Message) error { //nolint:errcheck // it refuses nothing
		if len(m.GetUnknown()) > 0 {
			m.SetUnknown(nil)
		}
		m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			if !fd.IsMap() && !fd.IsList() && fault(fd, v) != nil {
				m.Clear(fd)
			}
			return true
		})
		return nil
	})
}

// eachMessage calls f with m and each message in it, at any depth, until it
// returns an error, which it returns.
func eachMessage(m protoreflect.Message, f func(protoreflect.Message) error) error {
	err := f(m)
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case err != nil:
		case fd.IsMap() && fd.MapValue().Kind() == protoreflect.MessageKind:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				err = eachMessage(v.Message(), f)
				return err == nil
			})
		case fd.IsMap() || fd.Kind() != protoreflect.MessageKind: // holds no message
		case fd.IsList():
			for i := 0; i < v.List().Len() && err == nil; i++ {
				err = eachMessage(v.List().Get(i).Message(), f)
			}
		default:
			err = eachMessage(v.Message(), f)
		}
		return err == nil
	})
	return err
}
