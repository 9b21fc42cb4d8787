package call

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	callpb "github.com/muster/muster/proto/call/v1"
)

// CheckRequired refuses, as InvalidArgument, a request without a field that its
// proto file calls required.
func CheckRequired(request proto.Message) error {
	r := request.ProtoReflect()
	fields := r.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if !isRequired(fd) {
			continue
		}
		what := strings.ReplaceAll(string(fd.Name()), "_", " ")
		method := strings.TrimSuffix(string(r.Descriptor().Name()), "Request")
		switch {
		case !fd.IsList() && !r.Has(fd):
			return fmt.Errorf("%s: %s is required: %w", method, what, errdefs.ErrInvalidArgument)
		case fd.IsList() && hasEmpty(r.Get(fd).List()):
			return fmt.Errorf("%s: one of the %s is empty: %w", method, what, errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

func isRequired(fd protoreflect.FieldDescriptor) bool {
	required, _ := proto.GetExtension(fd.Options(), callpb.E_Required).(bool)
	return required
}

// hasEmpty reports whether one of the texts is empty.
func hasEmpty(texts protoreflect.List) bool {
	for i := range texts.Len() {
		if texts.Get(i).String() == "" {
			return true
		}
	}
	return false
}
