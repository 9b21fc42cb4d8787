package nodes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// diskTimeout bounds a command about a disk, which may first write what waits.
const diskTimeout = 30 * time.Second

// Disk is the file system of its own that a node keeps its state on, see
// Config.Disk. It outlives a power-off.
type Disk struct {
	image, point string
	size         int64 // in bytes; 0 when the node has none
}

// mount makes the disk unless there is one, and mounts it.
func (d *Disk) mount() error {
	if d.size == 0 {
		return nil
	}
	if _, err := os.Stat(d.image); errors.Is(err, fs.ErrNotExist) {
		if err := diskCommand("mkfs.ext4", "-q", d.image, strconv.FormatInt(d.size>>10, 10)+"k"); err != nil {
			return err
		}
	}
	return diskCommand("mount", "-o", "loop", d.image, d.point)
}

// mounted reports whether the node has a disk, and power.
func (d *Disk) mounted() (bool, error) {
	points, err := mountsBelow(filepath.Dir(d.point))
	return slices.Contains(points, d.point), err
}

// Freeze has the disk stand still until it is thawed: who writes waits, and
// cannot even be killed. What was written before is on the disk.
func (d *Disk) Freeze() error { return diskCommand("fsfreeze", "--freeze", d.point) }

// Thaw has a disk that stands still go on.
func (d *Disk) Thaw() error { return diskCommand("fsfreeze", "--unfreeze", d.point) }

// Fill takes all the room that is left on the disk.
func (d *Disk) Fill() error {
	f, err := os.Create(d.ballast())
	if err != nil {
		return err
	}
	chunk := make([]byte, 1<<20)
	for size := len(chunk); size > 0; { // the last page too
		if _, err := f.Write(chunk[:size]); errors.Is(err, unix.ENOSPC) {
			size /= 2
		} else if err != nil {
			return errors.Join(err, f.Close())
		}
	}
	err = f.Sync()
	return errors.Join(err, f.Close())
}

// Free gives the room back that Fill took.
func (d *Disk) Free() error { return os.Remove(d.ballast()) }

func (d *Disk) ballast() string { return filepath.Join(d.point, "ballast") }

// Wipe takes everything off the disk of a node that is powered off.
func (d *Disk) Wipe() error { return os.Remove(d.image) }

// wake thaws the disk if it stands still: what waits for it can be killed then.
func (d *Disk) wake() error {
	if is, err := d.mounted(); !is {
		return err
	}
	if err := d.Thaw(); err != nil && !strings.Contains(err.Error(), "Invalid argument") { // it does not stand still
		return err
	}
	return nil
}

// released waits until the kernel has let go of a disk that is unmounted. Until
// then it is not as it would be after a reboot.
func (d *Disk) released() error {
	return poll("the disk "+d.image+" to be released", diskTimeout, func() error {
		files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
		if err != nil {
			return err
		}
		for _, file := range files {
			// One that is gone, or was never used, has no content.
			if b, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(b)) == d.image {
				return fmt.Errorf("it is %s", file)
			}
		}
		return nil
	})
}

func diskCommand(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), diskTimeout)
	defer cancel()
	_, err := output(exec.CommandContext(ctx, name, args...))
	return err
}
