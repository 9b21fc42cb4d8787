package images_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/worker/images"
)

func load(t *testing.T, s *images.Store, name string, img v1.Image) (dgst string) {
	t.Helper()
	loaded, err := s.Load(t.Context(), bytes.NewReader(archive(t, name, img)), quiet)
	if err != nil {
		t.Fatal(err)
	}
	return loaded[0].GetDigest()
}

// collect makes containerd drop what nothing names.
func collect(t *testing.T, s *images.Store) {
	t.Helper()
	load(t, s, "other:1", sample(t))
	if _, err := s.Remove(t.Context(), "other:1", false); err != nil {
		t.Fatal(err)
	}
}

// TestMovedTagKeepsContent: a service may go back to what a tag stood for.
func TestMovedTagKeepsContent(t *testing.T) {
	var cfg images.Config
	s := store(t, func(c *images.Config) { cfg = *c })
	first := load(t, s, "web:1", sample(t))
	second := load(t, s, "web:1", sample(t))
	collect(t, s)
	restarted := images.New(cfg) // remembers nothing
	for _, dgst := range []string{first, second} {
		img, err := restarted.Ensure(t.Context(), "web:1@"+dgst, images.Source{}, "", quiet)
		if err != nil || img.Digest.String() != dgst || img.Name != "docker.io/library/web@"+dgst {
			t.Errorf("Ensure = %+v, %v", img, err)
		}
	}
	if img, err := restarted.Ensure(t.Context(), "web:1", images.Source{}, "", quiet); err != nil || img.Digest.String() != second {
		t.Errorf("web:1 is %+v, %v, want the last one", img, err)
	}
	wantHeld(t, s, "web:1", "web@"+first)

	t.Run("remove what it stood for", func(t *testing.T) {
		if removed, err := s.Remove(t.Context(), "web@"+first, false); err != nil || len(removed) != 1 {
			t.Errorf("Remove = %v, %v", removed, err)
		}
		wantHeld(t, s, "web:1")
	})
	t.Run("the content goes with its last tag", func(t *testing.T) {
		if _, err := s.Remove(t.Context(), "web@"+second, false); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "web:1 stands for it") {
			t.Errorf("Remove = %v", err)
		}
		if removed, err := s.Remove(t.Context(), "web:1", false); err != nil || len(removed) != 1 {
			t.Errorf("Remove = %v, %v", removed, err)
		}
		wantHeld(t, s)
	})
}

// TestRemoveWhatTheClusterNeeds: what a service names, or may go back to, may be
// on this node alone.
func TestRemoveWhatTheClusterNeeds(t *testing.T) {
	s, img := store(t, nil), sample(t)
	dgst := load(t, s, "web:1", img)
	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	s.Order(&dispatchpb.ImageOrders{Keep: []string{dgst}})
	if _, err := s.Remove(t.Context(), "web:1", false); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "a service of the cluster") {
		t.Errorf("Remove = %v", err)
	}
	wantHeld(t, s, "web:1")
	if removed, err := s.Remove(t.Context(), "web:1", true); err != nil || len(removed) != 1 {
		t.Errorf("with force: %v, %v", removed, err)
	}
	wantHeld(t, s)
	load(t, s, "web:1", img)
	leave()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if removed, err := s.Remove(t.Context(), "web:1", false); err != nil || len(removed) != 1 {
		t.Errorf("once the node has left: %v, %v", removed, err)
	}
}

// wantHeld checks what the node holds, by short names.
func wantHeld(t *testing.T, s *images.Store, want ...string) {
	t.Helper()
	held, err := s.Held(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range held {
		got = append(got, strings.TrimPrefix(i.GetName(), "docker.io/library/"))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the node holds %q, want %q", got, want)
	}
}

// TestCopyOfALoadedImage is known for one on its node as well, and does not
// take a tag from what was loaded there.
func TestCopyOfALoadedImage(t *testing.T) {
	from := store(t, nil)
	first, second := load(t, from, "web:1", sample(t)), load(t, from, "web:1", sample(t))
	client := dial(t, from)
	s := store(t, func(c *images.Config) { c.Fetcher = peerFetcher(client) })
	for _, dgst := range []string{second, first} {
		source := images.Source{Digest: digestOf(dgst), Addrs: []string{"a:1"}, Loaded: true}
		if _, err := s.Ensure(t.Context(), "web:1@"+dgst, source, "", quiet); err != nil {
			t.Fatal(err)
		}
	}
	held, err := s.Held(t.Context())
	if err != nil || len(held) != 2 {
		t.Fatalf("Held = %v, %v", held, err)
	}
	for _, i := range held {
		if !i.GetLoaded() || i.GetTaggedAt() != 0 {
			t.Errorf("%v, want a copy of what was loaded", i)
		}
	}
}

// TestCopiesAndWhatMayGo: a node fetches what it is told to, and drops what was
// neither named on it nor is wanted.
func TestCopiesAndWhatMayGo(t *testing.T) {
	from := store(t, nil)
	dgst := load(t, from, "web:1", sample(t))
	client := dial(t, from)
	s := store(t, func(c *images.Config) { c.Fetcher = peerFetcher(client) })
	ours := load(t, s, "ours:1", sample(t))
	shelf := images.ShelfOf(s)
	source := images.Source{Digest: digestOf(dgst), Addrs: []string{"a:1"}, Loaded: true}
	if err := shelf.Copy(t.Context(), "web:1@"+dgst, source); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, s, "ours:1", "web:1")
	spare, err := shelf.Spare(t.Context())
	if err != nil || len(spare) != 1 || spare[0].String() != dgst {
		t.Errorf("spare %v, %v, want the copy", spare, err)
	}
	if err := shelf.Discard(t.Context(), digestOf(ours)); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("Discard of what was loaded here = %v", err)
	}
	if err := shelf.Discard(t.Context(), digestOf(dgst)); err != nil {
		t.Error(err)
	}
	wantHeld(t, s, "ours:1")
	if err := shelf.Copy(t.Context(), "web:1", source); !errdefs.IsInvalidArgument(err) {
		t.Errorf("Copy of what has no digest = %v", err)
	}
}
