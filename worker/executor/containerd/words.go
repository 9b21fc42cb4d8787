package containerd

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/muster/muster/internal/text"
)

// maxWords is what Linux takes of all arguments and variables (execve(2)).
const maxWords = 6 << 20

// checkWords refuses what no process can be given. A service's own words were
// checked with it, one by one; an image may say anything.
func checkWords(p *specs.Process) error {
	all := 0
	for _, of := range []struct {
		what  string
		words []string
	}{{"argument", p.Args}, {"environment variable", p.Env}, {"working directory", []string{p.Cwd}}} {
		for i, w := range of.words {
			if strings.Contains(w, "\x00") {
				return fmt.Errorf("%s %d of the process has a NUL character: %w", of.what, i+1, errdefs.ErrInvalidArgument)
			}
			if len(w) > text.MaxWord {
				return fmt.Errorf("%s %d of the process has %d bytes, at most %d are allowed: %w", of.what, i+1, len(w), text.MaxWord, errdefs.ErrInvalidArgument)
			}
			all += len(w) + 1
		}
	}
	if all > maxWords {
		return fmt.Errorf("the arguments and environment of the process have %d bytes, at most %d are allowed: %w", all, maxWords, errdefs.ErrInvalidArgument)
	}
	return nil
}

// maxUser bounds the names that are looked up.
const maxUser = 253

// checkUser refuses what is no user, whatever the image's files say.
func checkUser(name string) error {
	if len(name) > maxUser {
		return fmt.Errorf("user %s has %d bytes, at most %d are allowed: %w", text.Quote(name), len(name), maxUser, errdefs.ErrInvalidArgument)
	}
	return nil
}
