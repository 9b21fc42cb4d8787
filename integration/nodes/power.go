package nodes

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Kill powers the node off: its cable goes silent, every process of it ends at
// once without a goodbye, and its kernel forgets everything. What is left is
// the state directory. Start boots it.
func (n *Node) Kill() {
	n.rack.t.Helper()
	if err := n.kill(); err != nil {
		n.rack.t.Fatalf("power %s off: %v", n.Name, err)
	}
}

func (n *Node) kill() error {
	if !n.exists() {
		return nil
	}
	if err := n.port.unplug(); err != nil {
		return err
	}
	return n.destroy()
}

// destroy ends the node's processes and forgets what a reboot forgets. It leaves
// nothing of the node but what is in its directory.
func (n *Node) destroy() error {
	sockets := n.shimSockets()
	// What waits for a disk ends when that goes on, and not a moment later.
	if _, err := killOnce(n.Processes); err != nil {
		return err
	}
	if err := n.Disk.wake(); err != nil {
		return err
	}
	err := killAll("the processes of "+n.Name, n.Processes)
	if err != nil {
		return err
	}
	var errs []error
	errs = append(errs, unmountBelow(n.Dir), removeCgroups(n.Cgroup()), n.Disk.released())
	for _, s := range sockets {
		if err := os.Remove(s); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if n.exists() {
		// The kernel takes a namespace apart in its own time: without this the
		// cable could still be there when the node boots again.
		errs = append(errs, n.port.remove())
		_, del := output(exec.Command("ip", "netns", "del", n.Namespace.Name))
		errs = append(errs, del)
	}
	return errors.Join(append(errs, os.RemoveAll(n.RunDir()))...)
}

// Isolate cuts the node off from everything, silently, as a broken switch does.
func (n *Node) Isolate() {
	n.rack.t.Helper()
	if err := n.port.unplug(); err != nil {
		n.rack.t.Fatalf("isolate %s: %v", n.Name, err)
	}
}

// Heal connects the node again after Isolate or Split.
func (n *Node) Heal() {
	n.rack.t.Helper()
	if err := n.port.plug(mainBridge); err != nil {
		n.rack.t.Fatalf("heal %s: %v", n.Name, err)
	}
}

// Split moves nodes to a network of their own: they reach each other, but
// neither the other nodes nor any client, until they are healed.
func (r *Rack) Split(nodes ...*Node) {
	r.t.Helper()
	for _, n := range nodes {
		if err := n.port.plug(islandBridge); err != nil {
			r.t.Fatalf("split %s off: %v", n.Name, err)
		}
	}
}

// shimSockets finds the sockets of the node's shims, which are not below its
// directory when that is too deep for them.
func (n *Node) shimSockets() []string {
	var sockets []string
	//nolint:errcheck // a directory that vanishes holds no shim any more
	filepath.WalkDir(n.RunDir(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() == "rootfs" {
			return fs.SkipDir
		}
		if d.Name() != "bootstrap.json" {
			return nil
		}
		var params struct {
			Address string `json:"address"`
		}
		b, err := os.ReadFile(path)
		if err != nil || json.Unmarshal(b, &params) != nil {
			return nil
		}
		sockets = append(sockets, strings.TrimPrefix(params.Address, "unix://"))
		return nil
	})
	return sockets
}

// mountsBelow lists the mount points below dir, deepest first.
func mountsBelow(dir string) ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var points []string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20) // an overlay of many layers has long options
	for lines.Scan() {
		// "ID PARENT MAJOR:MINOR ROOT POINT OPTIONS…", blanks in POINT escaped
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 {
			continue
		}
		if point := strings.ReplaceAll(fields[4], `\040`, " "); strings.HasPrefix(point, dir+"/") {
			points = append(points, point)
		}
	}
	slices.Reverse(points)
	return points, lines.Err()
}

func unmountBelow(dir string) error {
	points, err := mountsBelow(dir)
	if err != nil {
		return fmt.Errorf("unmount below %s: %w", dir, err)
	}
	var errs []error
	for _, p := range points {
		if err := unix.Unmount(p, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", p, err))
		}
	}
	return errors.Join(errs...)
}
