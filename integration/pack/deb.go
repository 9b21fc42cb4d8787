package pack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// unpack fills the directory root with the files of packages and all they depend
// on. What is downloaded is kept in debs.
func unpack(ctx context.Context, debs, root string, packages []string) error {
	if err := merged(root); err != nil {
		return err
	}
	files, err := download(ctx, debs, packages)
	if err != nil {
		return err
	}
	for _, deb := range files {
		if err := extract(ctx, deb, root); err != nil {
			return fmt.Errorf("unpack %s: %w", filepath.Base(deb), err)
		}
	}
	return nil
}

// merged makes root's /bin, /lib and so on links into /usr, as they are on an
// installed system; the packages themselves may say either.
func merged(root string) error {
	dirs := []string{"bin", "sbin", "lib"}
	if archHas64() {
		dirs = append(dirs, "lib64")
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(filepath.Join(root, "usr", dir), 0o755); err != nil {
			return err
		}
		if err := os.Symlink("usr/"+dir, filepath.Join(root, dir)); err != nil {
			return err
		}
	}
	return nil
}

// archHas64 reports whether this architecture's loader is in /lib64.
func archHas64() bool {
	_, err := os.Stat("/lib64")
	return err == nil
}

// download fetches the packages and all they depend on into dir, as onto a
// machine that has nothing installed, and returns the files in the order of
// installation.
func download(ctx context.Context, dir string, packages []string) ([]string, error) {
	none := filepath.Join(dir, "none")
	for _, partial := range []string{dir, none} {
		if err := os.MkdirAll(filepath.Join(partial, "partial"), 0o755); err != nil {
			return nil, err
		}
	}
	unlock, err := lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	status := filepath.Join(dir, "status")
	if err := os.WriteFile(status, nil, 0o644); err != nil {
		return nil, err
	}
	apt := func(archives, action string) (string, error) {
		return run(ctx, "apt-get", append([]string{
			"-o", "Dir::State::status=" + status,
			"-o", "Dir::Cache::archives=" + archives + "/",
			"-o", "Debug::NoLocking=1", // dir has our own lock, and the system's state is only read
			"-o", "APT::Sandbox::User=root", // the sandbox's user may not reach dir
			"--yes", "--quiet", "--no-install-recommends", action, "install",
		}, packages...)...)
	}
	// It lists only what is not there yet, so it is shown a directory where nothing is.
	list, err := apt(none, "--print-uris")
	if err != nil {
		// The lists of packages may never have been fetched here.
		if _, updated := run(ctx, "apt-get", "--quiet", "update"); updated != nil {
			return nil, errors.Join(err, updated)
		}
		if list, err = apt(none, "--print-uris"); err != nil {
			return nil, err
		}
	}
	if _, err := apt(dir, "--download-only"); err != nil {
		return nil, err
	}
	return debsOf(dir, list)
}

// lock waits until no other process has the lock on the file path, or ctx ends.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for the lock %s: %w", path, context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// debsOf finds the files that apt's "'URI' FILE SIZE HASH" lines name.
func debsOf(dir, list string) ([]string, error) {
	var files []string
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		if len(fields) < 2 || !strings.HasPrefix(fields[0], "'") {
			continue
		}
		files = append(files, filepath.Join(dir, fields[1]))
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("apt-get lists no package to download:\n%s", list)
	}
	return files, nil
}

// unwanted lists the parts of packages that no container reads.
func unwanted() []string {
	return []string{
		"./usr/share/doc", "./usr/share/man", "./usr/share/info", "./usr/share/locale",
		"./usr/share/lintian", "./usr/share/bash-completion", "./usr/share/debconf", "./usr/share/perl5",
		"./usr/lib/systemd", "./lib/systemd", "./etc/init.d", "./etc/logrotate.d", "./etc/ufw",
	}
}

// extract unpacks one package into root, through the links that are there.
func extract(ctx context.Context, deb, root string) error {
	args := []string{"--extract", "--directory", root, "--numeric-owner", "--same-permissions", "--keep-directory-symlink"}
	for _, path := range unwanted() {
		args = append(args, "--exclude="+path)
	}
	tar := exec.CommandContext(ctx, "tar", args...)
	dpkg := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	pipe, err := dpkg.StdoutPipe()
	if err != nil {
		return err
	}
	var complaints strings.Builder
	tar.Stdin, tar.Stderr = pipe, &complaints
	if err := dpkg.Start(); err != nil {
		return err
	}
	tarred := tar.Run()
	if err := errors.Join(tarred, dpkg.Wait()); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(complaints.String()))
	}
	return nil
}

// run runs a command and returns what it printed.
func run(ctx context.Context, name string, args ...string) (string, error) {
	return output(command(ctx, name, args...))
}

// command prepares a command that asks no questions, in no language but English.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	return cmd
}

// output runs a command; its error tells what it complained about.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
