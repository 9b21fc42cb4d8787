package service_test

import (
	"context"
	"strings"
	"testing"

	"github.com/muster/muster/manager/api/apitest"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/pod"
	"github.com/muster/muster/raftstore/state"
)

// tags are images whose content is theirs as of the last time they were pushed.
type tags struct{ push string }

// Resolve implements service.Images.
func (t *tags) Resolve(_ context.Context, _ *state.State, image, _ string) (*clusterpb.ResolvedImage, error) {
	return &clusterpb.ResolvedImage{Image: image, Pinned: image + "@" + t.push}, nil
}

func TestResolveImages(t *testing.T) {
	const (
		changed = controlpb.ResolveImages_RESOLVE_IMAGES_CHANGED
		always  = controlpb.ResolveImages_RESOLVE_IMAGES_ALWAYS
		never   = controlpb.ResolveImages_RESOLVE_IMAGES_NEVER
	)
	byDigest := "nginx:1@sha256:" + strings.Repeat("a", 64)
	tests := map[string]struct {
		create, update controlpb.ResolveImages
		image          string // after the update; nginx:1 before
		want           string // what nodes fetch
	}{
		"the default asks for a new one":           {image: "nginx:2", want: "nginx:2@second"},
		"and keeps what it knows":                  {image: "nginx:1", want: "nginx:1@first"},
		"changed, and it is":                       {changed, changed, "nginx:2", "nginx:2@second"},
		"changed, and it is not":                   {changed, changed, "nginx:1", "nginx:1@first"},
		"changed, and not known since not wanted":  {never, changed, "nginx:1", "nginx:1"},
		"always, and the tag moved":                {always, always, "nginx:1", "nginx:1@second"},
		"never":                                    {never, never, "nginx:2", "nginx:2"},
		"never forgets what it knows":              {always, never, "nginx:1", "nginx:1@first"},
		"never asks for a new one":                 {always, never, "nginx:2", "nginx:2"},
		"a digest of the user's needs no question": {always, always, byDigest, byDigest},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := apitest.New(t)
			registry := &tags{push: "first"}
			api := serve(s)
			api.Images = registry
			made, err := api.CreateService(t.Context(), &controlpb.CreateServiceRequest{Spec: web(), Resolve: tt.create})
			if err != nil {
				t.Fatal(err)
			}
			registry.push = "second"
			next := web()
			pod.Main(next.Task).Image = tt.image
			planned, err := api.UpdateService(t.Context(), &controlpb.UpdateServiceRequest{
				Service: "web", Version: made.GetService().GetVersion(), Spec: next, Resolve: tt.update, Plan: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			updated, err := api.UpdateService(t.Context(), &controlpb.UpdateServiceRequest{
				Service: "web", Version: made.GetService().GetVersion(), Spec: next, Resolve: tt.update,
			})
			if err != nil {
				t.Fatal(err)
			}
			for what, svc := range map[string]*clusterpb.Service{"planned": planned.GetService(), "updated": updated.GetService()} {
				if got := pod.Image(svc.GetSpec().GetTask(), svc.GetImages()); got != tt.want {
					t.Errorf("%s: nodes fetch %s, want %s", what, got, tt.want)
				}
				if got := pod.Main(svc.GetSpec().GetTask()).GetImage(); got != tt.image {
					t.Errorf("%s: the spec says %s, want %s as it was written", what, got, tt.image)
				}
			}
		})
	}
}
