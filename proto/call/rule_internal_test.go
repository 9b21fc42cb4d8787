package call

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"

	callpb "github.com/muster/muster/proto/call/v1"
)

// TestHalfARuleIsNone: what a file does not say of a method nobody guesses.
func TestHalfARuleIsNone(t *testing.T) {
	read, node, local := callpb.Effect_EFFECT_READ, callpb.Answer_ANSWER_NODE, []callpb.Caller{callpb.Caller_CALLER_LOCAL}
	tests := map[string]struct {
		effect  callpb.Effect
		answer  callpb.Answer
		callers []callpb.Caller
		ok      bool
	}{
		"whole":         {read, node, local, true},
		"no effect":     {0, node, local, false},
		"no answer":     {read, 0, local, false},
		"no callers":    {read, node, nil, false},
		"newer callers": {read, node, []callpb.Caller{99}, false},
		"nothing":       {},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			options := &descriptorpb.MethodOptions{}
			if tt.effect != 0 {
				proto.SetExtension(options, callpb.E_Effect, tt.effect)
			}
			if tt.answer != 0 {
				proto.SetExtension(options, callpb.E_Answer, tt.answer)
			}
			if len(tt.callers) > 0 {
				proto.SetExtension(options, callpb.E_Callers, tt.callers)
			}
			f, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
				Name: new("x.proto"), Package: new("x"), Syntax: new("proto3"),
				MessageType: []*descriptorpb.DescriptorProto{{Name: new("M")}},
				Service: []*descriptorpb.ServiceDescriptorProto{{
					Name: new("S"),
					Method: []*descriptorpb.MethodDescriptorProto{{
						Name: new("Do"), InputType: new(".x.M"), OutputType: new(".x.M"), Options: options,
					}},
				}},
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if r, ok := ruleOf(f.Services().Get(0).Methods().Get(0)); ok != tt.ok {
				t.Errorf("rule %+v, %v", r, ok)
			}
		})
	}
}
