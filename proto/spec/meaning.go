package spec

import (
	"cmp"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	"github.com/muster/muster/proto/image"
	"github.com/muster/muster/proto/pod"
)

// SameTask reports whether tasks made from both specs, whose images stand for
// what is given, would be alike: what counts is what a spec means and not how
// it is written. A default that is spelled out is the default, and of lists
// without an order the order does not count.
//
// What an image may say as well (its user, its working directory, its stop
// signal, its health check) is another thing when it is spelled out.
func SameTask(a, b *clusterpb.TaskSpec, imagesOfA, imagesOfB []*clusterpb.ResolvedImage) bool {
	return proto.Equal(meaning(a, imagesOfA), meaning(b, imagesOfB))
}

// SameButPlacement is SameTask for what runs, wherever it does.
func SameButPlacement(a, b *clusterpb.TaskSpec, imagesOfA, imagesOfB []*clusterpb.ResolvedImage) bool {
	x, y := meaning(a, imagesOfA), meaning(b, imagesOfB)
	x.Placement, y.Placement = nil, nil
	return proto.Equal(x, y)
}

// SamePorts reports whether both lists publish the same, in any order.
func SamePorts(a, b []*clusterpb.Port) bool {
	return slices.EqualFunc(inOrder(a), inOrder(b), func(p, q *clusterpb.Port) bool { return proto.Equal(p, q) })
}

func inOrder(ports []*clusterpb.Port) []*clusterpb.Port {
	return slices.SortedFunc(slices.Values(ports), func(a, b *clusterpb.Port) int {
		return cmp.Or(cmp.Compare(a.GetProtocol(), b.GetProtocol()), cmp.Compare(a.GetPublished(), b.GetPublished()),
			cmp.Compare(a.GetTarget(), b.GetTarget()), cmp.Compare(a.GetMode(), b.GetMode()))
	})
}

// meaning is a spec with everything spelled out, in one way. It is never nil.
func meaning(t *clusterpb.TaskSpec, images []*clusterpb.ResolvedImage) *clusterpb.TaskSpec {
	t = proto.CloneOf(t)
	if t == nil {
		t = &clusterpb.TaskSpec{}
	}
	for _, c := range t.GetContainers() {
		c.Image = content(images, c.GetImage())
		c.StopGracePeriod = durationpb.New(StopGracePeriod(c))
		c.DrainTimeout = durationpb.New(DrainTimeout(c))
		c.Init = new(c.GetInit())
		if s, err := Signal(c.GetStopSignal()); err == nil {
			c.StopSignal = strconv.Itoa(int(s))
		}
		c.CapAdd, c.CapDrop = asSet(c.GetCapAdd()), asSet(c.GetCapDrop())
		slices.SortFunc(c.GetUlimits(), func(a, b *clusterpb.Ulimit) int { return cmp.Compare(a.GetName(), b.GetName()) })
	}
	r := t.GetRestart()
	t.Restart = &clusterpb.RestartPolicy{
		Condition: cmp.Or(r.GetCondition(), clusterpb.RestartPolicy_CONDITION_ANY), MaxAttempts: r.GetMaxAttempts(),
		Delay: durationpb.New(RestartDelay(r)), MaxDelay: durationpb.New(RestartMaxDelay(r)), Window: durationpb.New(r.GetWindow().AsDuration()),
	}
	return t
}

// content is what an image stands for: its digest, wherever it is fetched from
// and however it is named; the name while that is not known.
func content(images []*clusterpb.ResolvedImage, name string) string {
	pinned := pod.Pinned(images, name)
	ref, err := image.Parse(pinned)
	if err != nil || !ref.IsPinned() {
		return pinned
	}
	return ref.Digest.String()
}

func asSet(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }
