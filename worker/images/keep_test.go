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
	if _, err := s.Remove(t.Context(), "other:1", false, nobody); err != nil {
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
		if removed, err := s.Remove(t.Context(), "web@"+first, false, nobody); err != nil || len(removed.GetUntagged()) != 1 {
			t.Errorf("Remove = %v, %v", removed, err)
		}
		wantHeld(t, s, "web:1")
	})
	t.Run("the content goes with its last tag", func(t *testing.T) {
		if _, err := s.Remove(t.Context(), "web@"+second, false, nobody); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "web:1 stands for it") {
			t.Errorf("Remove = %v", err)
		}
		if removed, err := s.Remove(t.Context(), "web:1", false, nobody); err != nil || len(removed.GetUntagged()) != 1 {
			t.Errorf("Remove = %v, %v", removed, err)
		}
		wantHeld(t, s)
	})
}

// nobody needs an image.
func nobody(context.Context, *dispatchpb.FindImageUsersRequest) (*dispatchpb.FindImageUsersResponse, error) {
	return nil, nil
}

// TestRemoveWhatTheClusterNeeds: what a service names, or may go back to, may be
// on this node alone. Managers know, and are asked when it is removed.
func TestRemoveWhatTheClusterNeeds(t *testing.T) {
	const forced = "; --force removes it from this node all the same"
	tests := map[string]struct {
		answer *dispatchpb.FindImageUsersResponse
		err    error
		want   string
	}{
		"one service":  {&dispatchpb.FindImageUsersResponse{Services: []string{"a"}}, nil, `conflict: image "web:1" is used by service a` + forced},
		"services":     {&dispatchpb.FindImageUsersResponse{Services: []string{"a", "b"}, More: 3}, nil, `conflict: image "web:1" is used by services a, b (and 3 more)` + forced},
		"a copy":       {&dispatchpb.FindImageUsersResponse{Elsewhere: true}, nil, `conflict: image "web:1" is a copy of what was loaded on another node, kept for when that is lost` + forced},
		"nobody tells": {nil, errdefs.ErrUnavailable, `image "web:1": no manager says whether a service needs it` + forced},
	}
	s := store(t, nil)
	dgst := load(t, s, "web:1", sample(t))
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			asked := func(_ context.Context, r *dispatchpb.FindImageUsersRequest) (*dispatchpb.FindImageUsersResponse, error) {
				if !slices.Equal(r.GetNames(), []string{"docker.io/library/web:1"}) || r.GetDigest() != dgst {
					t.Errorf("the cluster is asked about %v", r)
				}
				return tt.answer, tt.err
			}
			if _, err := s.Remove(t.Context(), "web:1", false, asked); err == nil || !strings.HasPrefix(err.Error(), tt.want) || errdefs.IsUnavailable(err) != (tt.err != nil) {
				t.Errorf("Remove = %v, want %s", err, tt.want)
			}
			wantHeld(t, s, "web:1")
		})
	}
	t.Run("force asks nobody", func(t *testing.T) {
		went, err := s.Remove(t.Context(), "web:1", true, nil)
		if err != nil || !slices.Equal(went.GetDeleted(), []string{dgst}) {
			t.Errorf("Remove = %v, %v", went, err)
		}
		wantHeld(t, s)
	})
}

// TestRemoveOneOfTwoTags takes the name alone: the cluster is asked about that,
// and the content stays.
func TestRemoveOneOfTwoTags(t *testing.T) {
	s, img := store(t, nil), sample(t)
	dgst := load(t, s, "web:1", img)
	load(t, s, "web:2", img)
	named := func(_ context.Context, r *dispatchpb.FindImageUsersRequest) (*dispatchpb.FindImageUsersResponse, error) {
		if r.GetDigest() != "" {
			t.Errorf("the cluster is asked about the content, which stays: %v", r)
		}
		if slices.Contains(r.GetNames(), "docker.io/library/web:1") {
			return &dispatchpb.FindImageUsersResponse{Services: []string{"a"}}, nil
		}
		return nil, nil
	}
	if _, err := s.Remove(t.Context(), "web:1", false, named); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("Remove of the tag that a spec names = %v", err)
	}
	if went, err := s.Remove(t.Context(), "web:2", false, named); err != nil || len(went.GetUntagged()) != 1 || len(went.GetDeleted()) != 0 {
		t.Errorf("Remove of the other = %v, %v", went, err)
	}
	wantHeld(t, s, "web:1")
	if went, err := s.Remove(t.Context(), "web:1", false, nobody); err != nil || !slices.Equal(went.GetDeleted(), []string{dgst}) {
		t.Errorf("Remove of the last = %v, %v", went, err)
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
