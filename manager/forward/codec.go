package forward

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// frame is a message that stays as it came.
type frame struct{ data mem.BufferSlice }

// Codec passes frames through and everything else to the codec for protobuf.
// A server that forwards must be made with grpc.ForceServerCodecV2(Codec()).
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2(proto.Name)} }

type codec struct{ encoding.CodecV2 }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*frame); ok {
		f.data.Ref() // the transport frees what it sends
		return f.data, nil
	}
	return c.CodecV2.Marshal(v)
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if f, ok := v.(*frame); ok {
		data.Ref() // kept beyond this call, until it was sent on
		f.data = data
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}
