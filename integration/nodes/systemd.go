package nodes

import (
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// shutdownTimeout is how long systemd waits for the daemon: TimeoutStopSec of
// muster.service.
const shutdownTimeout = 90 * time.Second

// systemd is the directory of a node's systemctl, which its daemon alone finds.
type systemd string

func systemdOf(n *Node) systemd { return systemd(filepath.Join(n.Dir, "systemd")) }

// is sets the state that systemctl tells.
func (s systemd) is(state string) error {
	if err := os.MkdirAll(string(s), 0o700); err != nil {
		return err
	}
	file := filepath.Join(string(s), "state")
	if err := os.WriteFile(file, []byte(state+"\n"), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(string(s), "systemctl"), []byte("#!/bin/sh\ncat "+file+"\n"), 0o700)
}

// Shutdown switches the node off as "systemctl poweroff" does. Start boots it.
func (n *Node) Shutdown() {
	n.rack.t.Helper()
	err := systemdOf(n).is("stopping")
	if err == nil {
		err = n.signalDaemon(unix.SIGTERM, shutdownTimeout)
	}
	if err == nil {
		err = n.kill()
	}
	if err != nil {
		n.rack.t.Fatalf("shut %s down: %v", n.Name, err)
	}
}
