package page_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	controlpb "github.com/muster/muster/proto/control/v1"
	"github.com/muster/muster/proto/page"
)

func tasks(n, bytes int) []*clusterpb.Task {
	all := make([]*clusterpb.Task, n)
	for i := range all {
		all[i] = &clusterpb.Task{Id: fmt.Sprintf("t%05d", i), ServiceName: strings.Repeat("x", bytes)}
	}
	return all
}

func cut(t *testing.T, all []*clusterpb.Task, r *controlpb.ListTasksRequest) ([]*clusterpb.Task, string) {
	t.Helper()
	p, err := page.Of("tasks", r)
	if err != nil {
		t.Fatal(err)
	}
	return page.Cut(p, slices.Values(all), (*clusterpb.Task).GetId, func(t *clusterpb.Task) *clusterpb.Task { return t })
}

// TestPages: every object is on one page, and no page is too large.
func TestPages(t *testing.T) {
	tests := map[string]struct {
		objects, bytes int
		size           int32
		pages          int
	}{
		"none":               {0, 0, 0, 1},
		"a few":              {3, 0, 0, 1},
		"as many as fit":     {1000, 0, 0, 1},
		"one more":           {1001, 0, 0, 2},
		"more than the most": {2500, 0, 100_000, 3},
		"small pages":        {10, 0, 3, 4},
		"large objects":      {20, 1 << 20, 0, 5},
		"larger than a page": {3, 5 << 20, 0, 3},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			all, pages := tasks(tt.objects, tt.bytes), 0
			got, err := page.All(func(token string) ([]*clusterpb.Task, string, error) {
				pages++
				part, next := cut(t, all, &controlpb.ListTasksRequest{PageSize: tt.size, PageToken: token})
				return part, next, nil
			})
			if err != nil || pages != tt.pages {
				t.Errorf("%d pages, %v; want %d", pages, err, tt.pages)
			}
			if !slices.Equal(got, all) {
				t.Errorf("%d objects of %d, or in another order", len(got), len(all))
			}
		})
	}
}

// TestChangesBetweenPages: what is there all the time is listed once, though
// what the token names is gone and others came.
func TestChangesBetweenPages(t *testing.T) {
	all := tasks(6, 0)
	first, next := cut(t, all, &controlpb.ListTasksRequest{PageSize: 3})
	later := slices.Concat([]*clusterpb.Task{{Id: "a"}}, all[:2], all[3:], []*clusterpb.Task{{Id: "z"}})
	rest, end := cut(t, later, &controlpb.ListTasksRequest{PageToken: next})
	var ids []string
	for _, o := range slices.Concat(first, rest) {
		ids = append(ids, o.GetId())
	}
	want := []string{"t00000", "t00001", "t00002", "t00003", "t00004", "t00005", "z"}
	if diff := cmp.Diff(want, ids); diff != "" || end != "" {
		t.Errorf("listed (-want +got):\n%s, then %q", diff, end)
	}
}

func TestRefused(t *testing.T) {
	_, token := cut(t, tasks(2, 0), &controlpb.ListTasksRequest{PageSize: 1})
	tests := map[string]struct {
		list  string
		size  int32
		token string
		says  string
	}{
		"a size below none":     {"tasks", -1, "", "page size -1: want 1 to 1000"},
		"no base64":             {"tasks", 0, "\x1b[31m", `page token "\x1b[31m": want the next_page_token`},
		"no token":              {"tasks", 0, "bm90aGluZw", "want the next_page_token"},
		"of another list":       {"nodes", 0, token, "want the next_page_token"},
		"without a key":         {"tasks", 0, "dGFza3MK", "want the next_page_token"},
		"no UTF-8":              {"tasks", 0, "dGFza3MK_w", "want the next_page_token"},
		"longer than any token": {"tasks", 0, strings.Repeat("A", 1<<20), "want the next_page_token"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := page.Of(tt.list, &controlpb.ListTasksRequest{PageSize: tt.size, PageToken: tt.token})
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), tt.says) || len(err.Error()) > 300 {
				t.Errorf("got %v, want %q", err, tt.says)
			}
		})
	}
}

// TestListThatDoesNotEnd: a client does not ask for the same page for ever.
func TestListThatDoesNotEnd(t *testing.T) {
	_, err := page.All(func(string) ([]int, string, error) { return []int{1}, "again", nil })
	if !errdefs.IsInternal(err) {
		t.Errorf("got %v", err)
	}
	broken := errors.New("broken")
	if got, err := page.All(func(string) ([]int, string, error) { return []int{1}, "", broken }); !errors.Is(err, broken) || got != nil {
		t.Errorf("got %v, %v", got, err)
	}
}
