package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/oci"
	continuity "github.com/containerd/continuity/fs"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// userKey is what the user of a process depends on: the image's passwd and
// group files, and the names.
type userKey struct {
	chainID, user, groups string
}

// user finds the ids of NAME|UID[:GROUP|GID] and of additional groups in the
// root file system of a snapshot. Looking costs reading two files through the
// snapshotter, so the answer is kept for the image.
func (x *Executor) user(ctx context.Context, chainID, snapshot, name string, groups []string) (specs.User, error) {
	if err := checkUser(name); err != nil {
		return specs.User{}, err
	}
	key := userKey{chainID, name, strings.Join(groups, ",")}
	x.mu.Lock()
	u, ok := x.users[key]
	x.mu.Unlock()
	if ok {
		return u, nil
	}
	layers, err := x.snapshots().Mounts(ctx, snapshot)
	if err != nil {
		return specs.User{}, fmt.Errorf("find root file system: %w", err)
	}
	if err := mount.WithReadonlyTempMount(ctx, layers, checkAccounts); err != nil {
		return specs.User{}, err
	}
	c := &containers.Container{Snapshotter: x.cfg.Snapshotter, SnapshotKey: snapshot}
	s := &oci.Spec{Root: &specs.Root{}, Linux: &specs.Linux{}, Process: &specs.Process{}}
	if err := oci.ApplyOpts(ctx, x.cfg.Client, c, s, userOpts(name, groups)...); err != nil {
		return specs.User{}, fmt.Errorf("find user %q in the image: %w: %w", name, err, errdefs.ErrInvalidArgument)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.users[key] = s.Process.User
	return s.Process.User, nil
}

// maxAccounts bounds the files that users and groups are looked up in.
const maxAccounts = 16 << 20

// checkAccounts refuses the root file system of an image whose users cannot be
// looked up in a moment: what opens or reads a FIFO or a device may never return,
// and holds a start slot.
func checkAccounts(root string) error {
	for _, name := range []string{"/etc/passwd", "/etc/group"} {
		path, err := continuity.RootPath(root, name)
		if err != nil {
			return fmt.Errorf("find %s in the image: %w", name, err)
		}
		switch info, err := os.Stat(path); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return fmt.Errorf("look at %s of the image: %w", name, err)
		case !info.Mode().IsRegular():
			return fmt.Errorf("%s of the image is no file (%s): users cannot be looked up in it: %w", name, info.Mode().Type(), errdefs.ErrInvalidArgument)
		case info.Size() > maxAccounts:
			return fmt.Errorf("%s of the image has %d bytes: users are looked up in %d at most: %w", name, info.Size(), maxAccounts, errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

func userOpts(name string, groups []string) []oci.SpecOpts {
	var opts []oci.SpecOpts
	account, group, _ := strings.Cut(name, ":")
	if account == "" {
		account = "root"
	} else {
		opts = append(opts, oci.WithUser(name))
	}
	// Docker gives the groups that the account is a member of, unless a group
	// is named.
	if group == "" {
		opts = append(opts, memberships(account))
	}
	if len(groups) > 0 {
		opts = append(opts, oci.WithAppendAdditionalGroups(groups...))
	}
	return opts
}

// memberships adds the groups of an account. An account given by number may
// not be in the image's passwd file: it has no groups then.
func memberships(account string) oci.SpecOpts {
	return func(ctx context.Context, client oci.Client, c *containers.Container, s *oci.Spec) error {
		if _, err := strconv.Atoi(account); err == nil {
			account = strconv.FormatUint(uint64(s.Process.User.UID), 10)
		}
		return oci.WithAdditionalGIDs(account)(ctx, client, c, s)
	}
}
