package state

import (
	"encoding/binary"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	raftpb "github.com/muster/muster/proto/raft/v1"
)

// A request is remembered while it is among the last keepRequests, and for
// keepRequestsFor at least: longer than any client retries.
const (
	keepRequests    = 4096
	keepRequestsFor = 10 * time.Minute
)

const requestByIndex = 0

func requestKind() *kind[*raftpb.AppliedRequest] {
	return &kind[*raftpb.AppliedRequest]{
		name: "request",
		key:  (*raftpb.AppliedRequest).GetRequestId,
		indexes: []func(*raftpb.AppliedRequest) []string{
			requestByIndex: func(r *raftpb.AppliedRequest) []string { return []string{appliedOrder(r)} },
		},
		item: func(r *raftpb.AppliedRequest) *raftpb.SnapshotItem {
			return &raftpb.SnapshotItem{Kind: &raftpb.SnapshotItem_Request{Request: r}}
		},
		object:    (*raftpb.SnapshotItem).GetRequest,
		unwatched: true,
		setBack: func(old *raftpb.AppliedRequest, by time.Duration) *raftpb.AppliedRequest {
			r := shallow(old)
			earlier(by, &r.At)
			return r
		},
	}
}

// appliedOrder sorts like the log index. It is hexadecimal so that it holds no
// zero byte.
func appliedOrder(r *raftpb.AppliedRequest) string {
	const digits = "0123456789abcdef"
	var raw [8]byte
	binary.BigEndian.PutUint64(raw[:], r.GetIndex())
	text := make([]byte, 0, 16)
	for _, b := range raw {
		text = append(text, digits[b>>4], digits[b&15])
	}
	return string(text)
}

// Request is a user's: a repetition of it changes nothing.
type Request struct {
	// ID is the same for all repetitions; empty for what the cluster does itself.
	ID string
	// Of says what is asked for and by whom. It is part of the request: the same
	// id with another one is no repetition, and refused.
	Of string
}

// Applied returns what became of the user's request with that id. Ids are
// forgotten after 4096 further ones, but not before 10 minutes have passed.
func (s *State) Applied(requestID string) (*raftpb.AppliedRequest, bool) {
	if requestID == "" {
		return nil, false
	}
	return s.requests.get(requestID)
}

// remember keeps the outcome for a repetition of the request, and forgets what
// is too old to be repeated.
func (tx *tx) remember(r Request, out Outcome) {
	c, text := split(out.Err)
	set(tx, &tx.requests, &raftpb.AppliedRequest{
		RequestId: r.ID,
		Of:        r.Of,
		At:        timestamppb.New(tx.now),
		Index:     tx.index,
		ErrorKind: string(c),
		Error:     text,
		ObjectId:  out.ObjectID,
	})
	// At most a few a command go, so that no command pays for all.
	for range 2 {
		oldest, ok := tx.requests.first(requestByIndex)
		if !ok || tx.requests.len() <= keepRequests || tx.now.Sub(oldest.GetAt().AsTime()) < keepRequestsFor {
			return
		}
		remove(tx, &tx.requests, oldest)
	}
}

// AppliedError returns the refusal that the request was answered with, or nil
// when it succeeded. of is what the repetition asks for: ErrInvalidArgument if
// that is something else.
func AppliedError(r *raftpb.AppliedRequest, of string) error {
	if r.GetOf() != of {
		return refuse(invalid, "request id %q was used already, for another request: use a new one for each", r.GetRequestId())
	}
	if r.GetErrorKind() == "" {
		return nil
	}
	return refuse(cause(r.GetErrorKind()), "%s", r.GetError())
}
