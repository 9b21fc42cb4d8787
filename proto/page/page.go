// Package page cuts lists into pages, as AIP-158 says: a list is asked for with
// a size and a token, and answered with a part and the token of the next one.
// Thus no list is too long for a message, however many objects a cluster has.
//
// A list is ordered by a key that each of its objects has for ever, and a token
// names the last key that was sent. So what exists from the first page to the
// last is in the list once, whatever comes and goes meanwhile, and any manager
// can go on with what another began.
package page

import (
	"encoding/base64"
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
)

const (
	// Most is how many objects a page has at most, and unless fewer are asked
	// for.
	Most = 1000
	// MostBytes is the size in bytes from which on a page takes no further
	// object.
	MostBytes = 4 << 20
	// longestToken is the longest token in bytes: keys are ids and names.
	longestToken = 4096
)

// Request is what asks for a page of a list.
type Request interface {
	GetPageSize() int32
	GetPageToken() string
}

// Page is the part of a list that is asked for.
type Page struct {
	list string
	// After is the key of the last object of the page before; empty for the
	// first page.
	After string
	// Most is how many objects the page may have.
	Most int
}

// Of reads which page of a list is asked for. A list is named by a word without
// a line break. Errors are InvalidArgument.
func Of(list string, r Request) (Page, error) {
	p := Page{list: list, Most: Most}
	if size := r.GetPageSize(); size < 0 {
		return Page{}, fmt.Errorf("page size %d: want 1 to %d, or 0 for the most: %w", size, Most, errdefs.ErrInvalidArgument)
	} else if size > 0 {
		p.Most = min(int(size), Most)
	}
	if r.GetPageToken() == "" {
		return p, nil
	}
	after, ok := p.read(r.GetPageToken())
	if !ok {
		return Page{}, fmt.Errorf("page token %.64q: want the next_page_token of an earlier answer to the same call: %w",
			r.GetPageToken(), errdefs.ErrInvalidArgument)
	}
	p.After = after
	return p, nil
}

// token names the place in the list behind key.
func (p Page) token(key string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(p.list + "\n" + key))
}

func (p Page) read(token string) (key string, ok bool) {
	if len(token) > longestToken {
		return "", false
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || !utf8.Valid(text) {
		return "", false
	}
	list, key, ok := strings.Cut(string(text), "\n")
	return key, ok && list == p.list && key != ""
}

// Cut returns the page of all, which is ordered by key and may begin anywhere
// before the page, and the token of the next page, empty when there is none.
// Only what is on the page is made a view of.
func Cut[T any, V proto.Message](p Page, all iter.Seq[T], key func(T) string, view func(T) V) (views []V, next string) {
	var size Size
	last := ""
	for o := range all {
		k := key(o)
		if k <= p.After {
			continue
		}
		if len(views) == p.Most || size.Full() {
			return views, p.token(last)
		}
		v := view(o)
		size.Add(v)
		views, last = append(views, v), k
	}
	return views, ""
}

// Size is how large what is to be sent has grown.
type Size struct{ objects, bytes int }

// Add counts an object in.
func (s *Size) Add(m proto.Message) {
	s.objects++
	s.bytes += proto.Size(m)
}

// Full reports whether no further object may be added.
func (s *Size) Full() bool { return s.objects >= Most || s.bytes >= MostBytes }

// All asks for one page after the other and returns the whole list.
func All[T any](ask func(token string) (part []T, next string, err error)) ([]T, error) {
	var all []T
	token := ""
	for {
		part, next, err := ask(token)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
		if next == "" {
			return all, nil
		}
		if next == token {
			return nil, fmt.Errorf("the list does not go on: its page %.64q is followed by itself: %w", token, errdefs.ErrInternal)
		}
		token = next
	}
}
