package nodes

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	startTimeout   = 30 * time.Second
	stopTimeout    = 60 * time.Second
	commandTimeout = 3 * time.Minute
)

// errExit0 says how a daemon ended that had no reason to.
var errExit0 = errors.New("exit status 0")

// Node is a machine of the cluster.
type Node struct {
	Namespace
	// Name is what the node is called in the cluster: node1, node2, …
	Name string
	// Addr and Addr6 are its addresses on the rack's network.
	Addr, Addr6 netip.Addr
	// Dir holds everything the node keeps.
	Dir string
	// Disk is what its state directory is on, see Config.Disk.
	Disk *Disk

	rack *Rack
	port port
	base Inventory
}

func (r *Rack) newNode(i int) *Node {
	short := fmt.Sprintf("n%d", i)
	n := &Node{
		Namespace: r.namespace(short),
		Name:      fmt.Sprintf("node%d", i),
		Addr:      r.addr(i), Addr6: r.addr6(i),
		Dir:  filepath.Join(r.Dir, short),
		rack: r, port: port{r.wire, short},
	}
	n.Disk = &Disk{image: filepath.Join(n.Dir, "disk.img"), point: n.StateDir()}
	return n
}

// StateDir is where the daemon keeps what outlives a reboot.
func (n *Node) StateDir() string { return filepath.Join(n.Dir, "state") }

// RunDir is where the daemon keeps what a reboot empties.
func (n *Node) RunDir() string { return filepath.Join(n.Dir, "run") }

// Socket is where the daemon takes commands.
func (n *Node) Socket() string { return filepath.Join(n.RunDir(), "muster.sock") }

// LogFile is what the daemon prints, of all its runs.
func (n *Node) LogFile() string { return filepath.Join(n.Dir, "daemon.log") }

// Cgroup is below which the node's containers have their cgroups.
func (n *Node) Cgroup() string { return n.rack.cgroup() + "/" + filepath.Base(n.Dir) }

// daemonCommand is the command line of the node's daemon.
func (n *Node) daemonCommand() []string {
	return append([]string{
		filepath.Join(n.rack.config.Bin, "muster"), "daemon",
		"--name", n.Name,
		"--state-dir", n.StateDir(),
		"--run-dir", n.RunDir(),
		"--cgroup-parent", n.Cgroup(),
	}, n.rack.config.Flags...)
}

// containerdSocket is where the daemon's containerd listens.
func (n *Node) containerdSocket() string {
	return filepath.Join(n.RunDir(), "containerd", "containerd.sock")
}

// answers returns nil when the daemon accepts connections.
func (n *Node) answers() error {
	conn, err := net.DialTimeout("unix", n.Socket(), time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

// boot makes the node's kernel state as it is before anything was started.
func (n *Node) boot() error {
	if err := n.port.connect(n.Namespace, prefix(n.Addr), prefix(n.Addr6)); err != nil {
		return err
	}
	for _, dir := range []string{n.StateDir(), n.RunDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if err := n.Disk.mount(); err != nil {
		return err
	}
	if err := systemdOf(n).is("running"); err != nil {
		return err
	}
	base, err := n.inventory()
	n.base = base
	return err
}

// Start starts the node's daemon, after a reboot if the node was powered off,
// and returns when it is up.
func (n *Node) Start() {
	n.rack.t.Helper()
	if err := n.start(); err != nil {
		n.rack.t.Fatalf("%v", err)
	}
}

func (n *Node) start() error {
	if !n.exists() {
		if err := n.boot(); err != nil {
			return fmt.Errorf("boot %s: %w", n.Name, err)
		}
	}
	log, err := os.OpenFile(n.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	defer log.Close()
	argv := n.rack.config.Command(n)
	cmd := n.Command(context.Background(), argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "GOTRACEBACK=all", "PATH="+string(systemdOf(n))+":"+os.Getenv("PATH"))
	// A session of its own: an interrupt of the test's or demo's terminal is not for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the process, which destroy kills at the latest

	return poll(n.Name+" to be up", startTimeout, func() error {
		select {
		case err := <-ended:
			ended <- err
			return fmt.Errorf("its process ended: %w; its log ends:\n%s", cmp.Or(err, errExit0), n.LogTail(30))
		default:
			return n.rack.config.Ready(n)
		}
	})
}

// Stop ends the daemon with SIGTERM and waits until it is gone. What it
// manages runs on.
func (n *Node) Stop() {
	n.rack.t.Helper()
	if err := n.signalDaemon(unix.SIGTERM, stopTimeout); err != nil {
		n.rack.t.Fatalf("stop %s: %v", n.Name, err)
	}
}

// KillDaemon ends the daemon, and nothing else, with SIGKILL.
func (n *Node) KillDaemon() {
	n.rack.t.Helper()
	if err := n.signalDaemon(unix.SIGKILL, stopTimeout); err != nil {
		n.rack.t.Fatalf("kill the daemon of %s: %v", n.Name, err)
	}
}

// KillContainerd ends the node's containerd, and nothing else, with SIGKILL.
func (n *Node) KillContainerd() {
	n.rack.t.Helper()
	p, err := n.Process("containerd")
	if err == nil {
		err = signal(p, unix.SIGKILL, stopTimeout)
	}
	if err != nil {
		n.rack.t.Fatalf("kill the containerd of %s: %v", n.Name, err)
	}
}

func (n *Node) signalDaemon(sig unix.Signal, timeout time.Duration) error {
	argv := n.rack.config.Command(n)
	p, err := n.Process(filepath.Base(argv[0]), argv[1])
	if err != nil {
		return err
	}
	return signal(p, sig, timeout)
}

// signal sends sig and waits until the process is gone.
func signal(p Process, sig unix.Signal, timeout time.Duration) error {
	if err := unix.Kill(p.PID, sig); err != nil {
		return err
	}
	return poll(fmt.Sprintf("process %d to end: %s", p.PID, p), timeout, func() error {
		if now, err := readProcess(p.PID); err == nil && now.Parent == p.Parent {
			return errors.New("it runs")
		}
		// Until its last thread is gone, what it listens on accepts connections.
		if threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.PID)); err == nil && len(threads) > 1 {
			return fmt.Errorf("%d of its threads run", len(threads))
		}
		return nil
	})
}

// Processes lists every process of the node, its containers' too.
func (n *Node) Processes() ([]Process, error) { return processesOf(n.Namespace, n.Cgroup()) }

// Process finds the node's process that runs the program name with the first
// arguments args, say Process("muster", "daemon").
func (n *Node) Process(name string, args ...string) (Process, error) {
	all, err := n.Processes()
	if err != nil {
		return Process{}, err
	}
	for _, p := range all {
		if p.runs(name, args...) {
			return p, nil
		}
	}
	return Process{}, fmt.Errorf("no process on %s runs %s: %w", n.Name, strings.Join(append([]string{name}, args...), " "), os.ErrNotExist)
}

// Result is how a command ended.
type Result struct {
	Stdout, Stderr string
	// Exit is the exit status, -1 when a signal ended the command.
	Exit int
}

// Muster runs the client on the node, against its own daemon.
func (n *Node) Muster(args ...string) Result {
	n.rack.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	res, err := n.Run(n.MusterCommand(ctx, args...))
	if err != nil {
		n.rack.t.Fatalf("muster %s on %s: %v", strings.Join(args, " "), n.Name, err)
	}
	return res
}

// MustMuster is Muster that fails the test unless the command exits with 0;
// it returns stdout.
func (n *Node) MustMuster(args ...string) string {
	n.rack.t.Helper()
	res := n.Muster(args...)
	if res.Exit != 0 {
		n.rack.t.Fatalf("muster %s on %s: exit %d\n%s%s", strings.Join(args, " "), n.Name, res.Exit, res.Stdout, res.Stderr)
	}
	return res.Stdout
}

// MusterCommand prepares a run of the client on the node, for a caller with
// something to say about its input, its output or its end.
func (n *Node) MusterCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := n.Command(ctx, filepath.Join(n.rack.config.Bin, "muster"), args...)
	cmd.Env = append(os.Environ(), "MUSTER_HOST=unix://"+n.Socket())
	return cmd
}

// Run runs a prepared command. The error is that it could not run.
func (n *Node) Run(cmd *exec.Cmd) (Result, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		return Result{}, err
	}
	return Result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}, nil
}

// LogTail is the last lines of the daemon's log.
func (n *Node) LogTail(lines int) string {
	b, err := os.ReadFile(n.LogFile())
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
