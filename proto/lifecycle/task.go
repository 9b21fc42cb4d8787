package lifecycle

import (
	"cmp"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Wanted reports whether managers want the task to run now or later: it is
// neither asked to stop nor has it ended.
func Wanted(t *clusterpb.Task) bool {
	return t.GetDesired() <= Running && !Ended(t.GetStatus().GetState())
}

// Serving reports whether the task takes connections: it runs, is healthy,
// and is not asked to stop.
func Serving(t *clusterpb.Task) bool {
	return t.GetDesired() == Running && t.GetStatus().GetState() == Running
}

// Asked reports whether the task had been asked to stop before it was seen to
// end, as the tasks of a node are that is lost and comes back without them.
func Asked(t *clusterpb.Task) bool {
	return t.GetDesired() > Running && t.GetDesiredAt().AsTime().Before(t.GetStatus().GetAppliedAt().AsTime())
}

// NewestFirst orders the tasks of a slot by creation: each is made with a later
// time than those before it, whoever leads.
func NewestFirst(a, b *clusterpb.Task) int {
	return cmp.Or(
		b.GetCreatedAt().AsTime().Compare(a.GetCreatedAt().AsTime()),
		cmp.Compare(a.GetId(), b.GetId()),
	)
}
