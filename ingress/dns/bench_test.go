package dns

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/muster/muster/ingress/dns/names"
	"github.com/muster/muster/ingress/namespace"
	"github.com/muster/muster/integration/needs"
)

// cluster is so many services with three endpoints each, and clients that know
// them all.
func cluster(services int, clients ...names.Client) *names.Update {
	u := &names.Update{Whole: true, Index: 1, Networks: []names.Network{{ID: "n"}}}
	addr := netip.MustParseAddr("10.0.0.1")
	next := func() netip.Addr { addr = addr.Next(); return addr }
	for i := range services {
		s := service("n", fmt.Sprint("svc", i), next().String())
		for slot := range 3 {
			s.Endpoints = append(s.Endpoints, names.Endpoint{Slot: strconv.Itoa(slot + 1), Addrs: []netip.Addr{next()}})
		}
		u.Services = append(u.Services, s)
	}
	for _, c := range clients {
		c.Networks = []string{"n"}
		u.Clients = append(u.Clients, c)
	}
	return u
}

// BenchmarkAnswers asks a resolver on one core for names of 10,000 services.
func BenchmarkAnswers(b *testing.B) {
	needs.Programs(b, "taskset")
	for _, form := range []string{"svc%d.", "tasks.svc%d."} {
		b.Run(fmt.Sprintf(form, 0), func(b *testing.B) {
			n := newNode(b)
			pid := n.pinned()
			task := n.netns("task")
			n.change(*cluster(10_000, names.Client{ID: "task", Netns: task}))
			for b.Loop() {
				before := cpu(b, pid)
				took := n.load(task, form, 8, 3*time.Second)
				b.ReportMetric(float64((cpu(b, pid)-before).Microseconds())/float64(len(took)), "cpu-µs/answer")
				slices.Sort(took)
				b.ReportMetric(float64(len(took))/3, "answers/s")
				b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			}
		})
	}
}

// pinned starts a resolver that has one core for itself, and returns its process id.
func (n *node) pinned() int {
	n.Helper()
	plain := n.command()
	cmd := exec.Command("taskset", append([]string{"-c", "0"}, plain.Args...)...)
	cmd.Env = append(plain.Env, "GOMAXPROCS=1")
	n.begin(cmd)
	return cmd.Process.Pid
}

// cpu is how much time a process had of a processor.
func cpu(t testing.TB, pid int) time.Duration {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	var total time.Duration
	for _, ticks := range strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))[11:13] {
		n, err := strconv.Atoi(ticks)
		if err != nil {
			t.Fatal(err)
		}
		total += time.Duration(n) * 10 * time.Millisecond
	}
	return total
}

// load has clients ask one question at a time each, and returns how long each took.
func (n *node) load(netns, form string, clients int, d time.Duration) (took []time.Duration) {
	n.Helper()
	var mu sync.Mutex
	var running sync.WaitGroup
	end := time.Now().Add(d)
	for k := range clients {
		conn := n.connect(netns, "udp")
		running.Go(func() {
			var mine []time.Duration
			buf := make([]byte, 1500)
			for i := 0; time.Now().Before(end); i++ {
				q := new(dns.Msg)
				q.SetQuestion(fmt.Sprintf(form, (i*7+k*1000)%10_000), dns.TypeA)
				raw, _ := q.Pack()
				began := time.Now()
				_ = conn.SetReadDeadline(began.Add(time.Second))
				if _, err := conn.Conn.Write(raw); err != nil {
					n.Error(err)
					return
				}
				if _, err := conn.Conn.Read(buf); err != nil {
					n.Error(err)
					return
				}
				mine = append(mine, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	running.Wait()
	return took
}

// BenchmarkChange is from the change of an endpoint to its being in effect,
// beside 10,000 services with three endpoints each.
func BenchmarkChange(b *testing.B) {
	n := newNode(b)
	n.resolver()
	u := cluster(10_000, names.Client{ID: "task", Netns: n.netns("task")})
	n.change(*u)
	for b.Loop() {
		var took []time.Duration
		for i := range 1000 {
			s := u.Services[i]
			s.Endpoints = s.Endpoints[:i%3]
			began := time.Now()
			n.change(names.Update{Index: n.index + 1, Services: []names.Service{s}})
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	}
}

// BenchmarkDaemonRestarts asks 100,000 questions while daemons come and go.
func BenchmarkDaemonRestarts(b *testing.B) {
	n := newNode(b)
	n.resolver()
	task := n.netns("task")
	u := cluster(1000, names.Client{ID: "task", Netns: task})
	n.change(*u)
	for b.Loop() {
		a := n.askAll(task, "udp", "svc1.", "NOERROR 10.0.0.6", 8, 5*time.Second)
		restarts := 0
		for ; a.answered.Load() < 100_000; restarts++ {
			n.daemon()
			u.Index++
			n.change(*u)
			a.after(b, 2000)
		}
		a.stop()
		b.ReportMetric(float64(restarts), "restarts")
		b.ReportMetric(float64(a.failed.Load()), "failed")
		b.ReportMetric(float64(a.longest.Load())/1e6, "longest-ms")
	}
}

// BenchmarkRestart kills the resolver of many tasks, in a cluster of 10,000
// services, and waits until the next one answers the last of them.
func BenchmarkRestart(b *testing.B) {
	for _, tasks := range []int{20, 200, 4000} {
		b.Run(fmt.Sprint("tasks=", tasks), func(b *testing.B) {
			n := newNode(b)
			clients := make([]names.Client, tasks)
			for i := range clients {
				clients[i] = names.Client{ID: fmt.Sprintf("%06d", i), Netns: filepath.Join(n.dir, "netns", strconv.Itoa(i))}
				if err := namespace.Create(clients[i].Netns); err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { _ = namespace.Delete(clients[i].Netns) })
			}
			last := clients[tasks-1].Netns
			n.in(last, "ip", "link", "set", "lo", "up")
			c, _ := n.supervised()
			began := time.Now()
			if err := n.feed.Change(cluster(10_000, clients...)); err != nil {
				b.Fatal(err)
			}
			n.until("the first table", func(index uint64, _ map[string]string) bool { return index == 1 })
			first := time.Since(began)
			for b.Loop() {
				began := time.Now()
				p, err := os.FindProcess(c.Pid())
				if err != nil {
					b.Fatal(err)
				}
				if err := p.Kill(); err != nil {
					b.Fatal(err)
				}
				for {
					conn := n.connect(last, "udp")
					if exchange(conn, "svc1.", 5*time.Millisecond) == "NOERROR 10.0.0.6" {
						break
					}
				}
				b.ReportMetric(float64(time.Since(began).Milliseconds()), "down-ms")
			}
			b.ReportMetric(float64(first.Milliseconds()), "first-ms")
			b.ReportMetric(float64(rss(b, c.Pid()))/(1<<20), "rss-MiB")
		})
	}
}

// rss is how much memory a process has.
func rss(t testing.TB, pid int) int {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(raw))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
