package forward

import (
	"context"
	"strconv"

	"google.golang.org/grpc/metadata"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Caller is who made a call, as the server it came in on has verified.
type Caller struct {
	// NodeID is empty for callers without a certificate and for local ones.
	NodeID string
	Role   clusterpb.NodeRole
	// Local callers came over a node's own socket, which only root may open.
	Local bool
}

const (
	keyNode  = "muster-caller-node"
	keyRole  = "muster-caller-role"
	keyLocal = "muster-caller-local"
)

// write replaces what md says of the caller.
func (c Caller) write(md metadata.MD) {
	md.Set(keyNode, c.NodeID)
	md.Set(keyRole, strconv.Itoa(int(c.Role)))
	md.Set(keyLocal, strconv.FormatBool(c.Local))
}

// Forwarded returns the caller that a forwarding server named. Only a server
// whose peers are all managers or this process may believe it.
func Forwarded(ctx context.Context) (Caller, bool) {
	md, ok := metadata.FromIncomingContext(ctx)
	if !ok || len(md.Get(keyRole)) != 1 || len(md.Get(keyNode)) != 1 || len(md.Get(keyLocal)) != 1 {
		return Caller{}, false
	}
	role, err := strconv.Atoi(md.Get(keyRole)[0])
	if err != nil {
		return Caller{}, false
	}
	return Caller{NodeID: md.Get(keyNode)[0], Role: clusterpb.NodeRole(role), Local: md.Get(keyLocal)[0] == "true"}, true
}
