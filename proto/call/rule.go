package call

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	callpb "github.com/muster/muster/proto/call/v1"
)

// Rule is what a method's proto file says of it.
type Rule struct {
	// Write methods change something that is kept.
	Write bool
	// Leader methods are answered by the manager that leads, whichever manager
	// is asked; others by the node that is asked.
	Leader bool
	// Callers are those who may call it.
	Callers Callers
}

// Lookup returns the rule of a method, written as gRPC does:
// "/control.v1.NodeService/GetNode". False when this program knows no such
// method, or its proto file does not say all of it; nobody may call it then.
func Lookup(fullMethod string) (Rule, bool) {
	service, name, ok := strings.Cut(strings.TrimPrefix(fullMethod, "/"), "/")
	if !ok {
		return Rule{}, false
	}
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return Rule{}, false
	}
	described, ok := d.(protoreflect.ServiceDescriptor)
	if !ok {
		return Rule{}, false
	}
	method := described.Methods().ByName(protoreflect.Name(name))
	if method == nil {
		return Rule{}, false
	}
	return ruleOf(method)
}

// ruleOf reads a method's options.
func ruleOf(method protoreflect.MethodDescriptor) (r Rule, ok bool) {
	options := method.Options()
	effect, _ := proto.GetExtension(options, callpb.E_Effect).(callpb.Effect)
	answer, _ := proto.GetExtension(options, callpb.E_Answer).(callpb.Answer)
	callers, _ := proto.GetExtension(options, callpb.E_Callers).([]callpb.Caller)
	for _, c := range callers {
		r.Callers |= setOf(c)
	}
	r.Write, r.Leader = effect == callpb.Effect_EFFECT_WRITE, answer == callpb.Answer_ANSWER_LEADER
	known := effect != callpb.Effect_EFFECT_UNSPECIFIED && answer != callpb.Answer_ANSWER_UNSPECIFIED && r.Callers != 0
	return r, known
}
