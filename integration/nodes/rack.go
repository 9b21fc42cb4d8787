package nodes

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config says what a rack is made of. The zero value of a field means its default.
type Config struct {
	// Nodes is how many there are, 1 to 99; default 3.
	Nodes int
	// Spare is how many machines there are beside the nodes; with them 99 at most.
	Spare int
	// Clients is how many machines outside of the cluster there are, 1 to 99; default 1.
	Clients int
	// Number names the rack and is the third octet of its addresses; by default
	// the first free one from 1 on. 0 and 251 to 255 are never taken by default,
	// so a rack that is kept may use them: set Keep too to mean 0.
	Number int
	// Dir is where the nodes' directories are; by default a new temporary one. Keep
	// it below 25 characters: containerd takes no socket directory beyond 42.
	Dir string
	// Bin is where muster, containerd, its shim and runc are; default the repository's bin.
	Bin string
	// Keep leaves the rack standing when the test or program ends; see Attach.
	Keep bool
	// Command is what a node runs; default `muster daemon` with the node's flags.
	Command func(n *Node) []string
	// Ready returns nil once a started node is up; by default when its daemon
	// accepts connections on its socket.
	Ready func(n *Node) error
	// Flags are added to every daemon's.
	Flags []string
	// Disk is how large the disk is, in bytes, that each node, but no spare one,
	// keeps its state on; 0 when it shares the machine's.
	Disk int64
}

// Rack is a switch with nodes and clients.
type Rack struct {
	// Nodes and Clients are numbered from 1 in names and addresses, from 0 here.
	Nodes   []*Node
	Clients []*Client
	// Spare are wired like nodes, numbered after them, and not started with them.
	Spare []*Node
	// Dir holds a directory for each node.
	Dir string

	t      T
	config Config
	claim  *claim
	wire   *wire
}

// New builds a rack of n nodes that are wired but not started, and takes it
// down when the test ends. It skips the test where there is no root.
func New(t T, n int) *Rack {
	t.Helper()
	return Build(t, Config{Nodes: n})
}

// Build is New with more to say.
func Build(t T, config Config) *Rack {
	t.Helper()
	if why := unable(); why != "" {
		if s, ok := t.(skipper); ok {
			s.Skipf("no rack here: %s", why)
		}
		t.Fatalf("no rack here: %s", why)
	}
	r, err := build(t, config)
	if err != nil {
		t.Fatalf("build rack: %v", err)
	}
	return r
}

// Attach takes over the rack of that number that an earlier process kept. It
// returns ErrNotExist when there is none.
func Attach(t T, config Config) (*Rack, error) {
	claim, err := claimNumber(config.Number)
	if err != nil {
		return nil, err
	}
	if claim.dir() == "" {
		return nil, errors.Join(fmt.Errorf("rack %d: %w", config.Number, os.ErrNotExist), claim.end())
	}
	config.Dir, config.Keep = claim.dir(), true
	r := newRack(t, config, claim)
	r.find()
	return r, nil
}

func build(t T, config Config) (*Rack, error) {
	claim, err := claimFor(config)
	if err != nil {
		return nil, err
	}
	// What a process that died left under this number goes first.
	if old := claim.dir(); old != "" {
		remains := newRack(t, Config{Dir: old}, claim)
		remains.find()
		if err := remains.clear(); err != nil {
			return nil, fmt.Errorf("sweep the remains of an earlier rack: %w", err)
		}
	}
	if config.Dir == "" {
		if config.Dir, err = os.MkdirTemp("", fmt.Sprintf("mn%d-", claim.number)); err != nil {
			return nil, err
		}
	}
	r := newRack(t, config, claim)
	if config.Keep {
		err = claim.keep()
	} else {
		t.Cleanup(r.end)
	}
	if err := errors.Join(err, claim.setDir(config.Dir)); err != nil {
		return nil, err
	}
	r.fill(r.config.Nodes, r.config.Clients)
	for i := range config.Spare {
		r.Spare = append(r.Spare, r.newNode(len(r.Nodes)+i+1))
	}
	return r, r.assemble()
}

func claimFor(config Config) (*claim, error) {
	if config.Number == 0 && !config.Keep {
		return claimAny()
	}
	return claimNumber(config.Number)
}

func newRack(t T, config Config, c *claim) *Rack {
	if config.Bin == "" {
		config.Bin = filepath.Join(repository(), "bin")
	}
	if config.Command == nil {
		config.Command = (*Node).daemonCommand
	}
	if config.Ready == nil {
		config.Ready = (*Node).answers
	}
	if config.Nodes == 0 {
		config.Nodes = 3
	}
	if config.Clients == 0 {
		config.Clients = 1
	}
	wire := &wire{Namespace{Name: fmt.Sprintf("mn%d-sw", c.number)}}
	return &Rack{Dir: config.Dir, t: t, config: config, claim: c, wire: wire}
}

// fill makes the nodes and clients, on paper.
func (r *Rack) fill(nodes, clients int) {
	for i := 1; i <= nodes; i++ {
		n := r.newNode(i)
		n.Disk.size = r.config.Disk
		r.Nodes = append(r.Nodes, n)
	}
	for i := 1; i <= clients; i++ {
		name := fmt.Sprintf("c%d", i)
		r.Clients = append(r.Clients, &Client{
			Namespace: r.namespace(name),
			Addr:      r.addr(clientHost + i), Addr6: r.addr6(clientHost + i),
			port: port{r.wire, name},
		})
	}
}

// find fills the rack with what stands.
func (r *Rack) find() {
	count := func(kind string) int {
		n := 0
		for r.standing(fmt.Sprintf("%s%d", kind, n+1)) {
			n++
		}
		return n
	}
	r.fill(count("n"), count("c"))
}

// standing reports whether there is, or was before a power-off, a machine of that name.
func (r *Rack) standing(name string) bool {
	ns := r.namespace(name)
	_, err := os.Stat(filepath.Join(r.Dir, name))
	return err == nil || ns.exists()
}

// assemble makes the switch and what is connected to it.
func (r *Rack) assemble() error {
	if err := r.wire.build(); err != nil {
		return err
	}
	for _, n := range r.machines() {
		if err := n.boot(); err != nil {
			return err
		}
	}
	for _, c := range r.Clients {
		if err := c.port.connect(c.Namespace, prefix(c.Addr), prefix(c.Addr6)); err != nil {
			return err
		}
	}
	return nil
}

// machines are the nodes and the spare ones.
func (r *Rack) machines() []*Node { return slices.Concat(r.Nodes, r.Spare) }

// Start starts every node, all at once, and waits until all are up.
func (r *Rack) Start() {
	r.t.Helper()
	errs := make([]error, len(r.Nodes))
	var wg sync.WaitGroup
	for i, n := range r.Nodes {
		wg.Go(func() { errs[i] = n.start() })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		r.t.Fatalf("start: %v", err)
	}
}

// Eventually is [Eventually] for the rack's test.
func (r *Rack) Eventually(what string, timeout time.Duration, f func() error) {
	r.t.Helper()
	Eventually(r.t, what, timeout, f)
}

// Close takes the rack down and leaves nothing of it.
func (r *Rack) Close() error { return errors.Join(r.clear(), r.claim.end()) }

// end is what happens to the rack when its test ends.
func (r *Rack) end() {
	if r.t.Failed() {
		for _, n := range r.Nodes {
			r.t.Logf("--- log of %s, its end ---\n%s", n.Name, n.LogTail(200))
		}
	}
	if err := r.Close(); err != nil {
		r.t.Errorf("take the rack down: %v", err)
	}
}

// clear takes everything down but the claim on the number.
func (r *Rack) clear() error {
	var errs []error
	for _, n := range r.machines() {
		errs = append(errs, n.destroy())
	}
	for _, c := range r.Clients {
		errs = append(errs, c.destroy())
	}
	errs = append(errs, r.wire.destroy(), removeCgroups(r.cgroup()), os.RemoveAll(r.Dir))
	return errors.Join(errs...)
}

// destroy ends what runs in the namespace, and the namespace.
func (n *Namespace) destroy() error {
	if !n.exists() {
		return nil
	}
	err := killAll("the processes in "+n.Name, func() ([]Process, error) { return processesOf(*n, "/none") })
	_, del := output(exec.Command("ip", "netns", "del", n.Name))
	return errors.Join(err, del)
}

// clientHost + i is the last part of client i's addresses.
const clientHost = 100

func (r *Rack) addr(host int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 77, byte(r.claim.number), byte(host)})
}

func (r *Rack) addr6(host int) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x77, 7: byte(r.claim.number), 15: byte(host)})
}

// prefix is addr with the length of the rack's network.
func prefix(addr netip.Addr) netip.Prefix {
	if addr.Is4() {
		return netip.PrefixFrom(addr, 24)
	}
	return netip.PrefixFrom(addr, 64)
}

func (r *Rack) namespace(name string) Namespace {
	return Namespace{Name: fmt.Sprintf("mn%d-%s", r.claim.number, name)}
}

// cgroup is the parent of the nodes' cgroups.
func (r *Rack) cgroup() string { return fmt.Sprintf("/mn%d", r.claim.number) }

// repository is the root of the source tree this package was built from.
func repository() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// unable says why there can be no rack here, empty if there can.
func unable() string {
	if os.Getuid() != 0 {
		return "it needs root"
	}
	var missing []string
	for _, tool := range []string{"ip", "nsenter", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool)
		}
	}
	if len(missing) > 0 {
		return "missing: " + strings.Join(missing, ", ") + "; run 'make setup'"
	}
	return ""
}
