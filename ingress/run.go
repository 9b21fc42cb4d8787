package ingress

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/muster/muster/ingress/namespace"
	"github.com/muster/muster/ingress/ruleset"
)

// How long to wait before trying again what failed.
const (
	minRetry = 100 * time.Millisecond
	maxRetry = 10 * time.Second
)

// Run makes the kernel hold what was last set until ctx is done: on every
// change, when it notices that others changed the kernel, and on a timer. What
// the kernel holds stays.
func (p *Plane) Run(ctx context.Context) error {
	runtime.LockOSThread() // its time is measured
	defer runtime.UnlockOSThread()
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		p.watcher.run(ctx)
	}()
	defer func() { <-watching }()
	timer := time.NewTimer(p.cfg.Resync)
	defer timer.Stop()
	var retry time.Duration
	told := "" // the last reason logged
	var pace pace
	var resting <-chan time.Time // from the last change
	for {
		full, changed := false, p.changed
		if resting != nil {
			changed = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-resting:
			resting = nil
			continue
		case <-changed:
		case <-p.watcher.noticed:
			if retry == 0 { // else it looks anyway
				timer.Reset(pace.wait(time.Now()))
			}
			continue
		case <-timer.C:
			full = true
		}
		begin, repairs, spent := time.Now(), p.Repairs(), p.spent.Load()
		err := p.apply(ctx, full || retry > 0)
		resting = time.After(rest(time.Duration(p.spent.Load() - spent)))
		if full || retry > 0 {
			pace.looked(begin, time.Now(), p.Repairs() > repairs)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			retry = min(max(2*retry, minRetry), maxRetry)
			if reason := err.Error(); reason != told { // not the same again
				told = reason
				p.log.WarnContext(ctx, "data plane will retry", "in", retry, "err", err)
			}
			timer.Reset(retry)
		case full || retry > 0:
			retry, told = 0, ""
			timer.Reset(p.cfg.Resync)
		}
	}
}

// apply makes the kernel hold the current want. With full, or if it is not
// known what the kernel holds, it looks first.
func (p *Plane) apply(ctx context.Context, full bool) error {
	w := p.want.Load()
	if w == nil {
		return nil
	}
	lost, err := p.applyWant(ctx, w, full)
	p.failure.Store(&err)
	return errors.Join(err, lost)
}

// Trouble returns why the kernel does not hold what it should, or nil. That a
// task cannot be attached is the task's own trouble.
func (p *Plane) Trouble() error {
	if err := p.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// applyWant returns what became of attaching tasks apart from the rest.
func (p *Plane) applyWant(ctx context.Context, w *Want, full bool) (lost, err error) {
	if err := w.validate(); err != nil {
		return nil, err
	}
	release, err := alone(ctx, p)
	if err != nil {
		return nil, err
	}
	defer release()
	do := func(k *kernel) (err error) {
		began := threadTime()
		defer func() { p.spent.Add(int64(threadTime() - began)) }()
		lost, err = p.applyKernel(ctx, k, w, full)
		return err
	}
	err = p.in(do)
	if errors.Is(err, ruleset.ErrNoZones) {
		p.zoneless = true
		p.log.WarnContext(ctx, "connections from one address and port through two nodes to one task will fail", "err", err)
		err = p.in(do)
	}
	if err != nil {
		return lost, err
	}
	p.index.Store(w.Index)
	if p.cfg.Applied != nil {
		p.cfg.Applied(w.Index)
	}
	return lost, nil
}

func (p *Plane) applyKernel(ctx context.Context, k *kernel, w *Want, full bool) (lost, err error) {
	f, err := p.facts(k, w)
	if err != nil {
		return nil, err
	}
	want := plan(w, f)
	known, have := p.known, p.known
	if full || known == nil {
		if have, err = k.read(want); err != nil {
			return nil, err
		}
		if known != nil {
			p.countRepairs(ctx, drift(have, known))
		}
	}
	tables := diffTables(have, want)
	old, whole := p.held, full || known == nil
	if whole {
		old = nil
	}
	moves := whole || movesFlows(have, want, tables)
	if !full || len(differences(have, want, tables)) > 0 {
		p.known = nil // until all is well: some of it may be changed
	}
	link, err := k.apply(have, want, tables)
	if link != 0 {
		p.watcher.overlay.Store(int64(link))
		p.mtu.Store(int64(want.device.mtu))
		p.made.Do(func() { close(p.ready) })
		lost = p.attachMissing(ctx, k, w, whole)
	}
	if err != nil {
		return lost, err
	}
	p.known, p.held = want, w
	if moves {
		err = k.cutStaleFlows(old, w)
	}
	return lost, err
}

func (p *Plane) facts(k *kernel, w *Want) (facts, error) {
	dev, err := k.underlay(w.Self.Underlay)
	if err != nil {
		return facts{}, err
	}
	k.ipv6 = k.ipv6 && dev.MTU-overhead(w.Self.Underlay) >= leastMTU6
	filter, err := readSysctl("net/ipv4/conf/all/rp_filter")
	loose, unknown := readSysctl("net/netfilter/nf_conntrack_tcp_loose") // not there before anything is tracked
	return facts{
		underlay: dev.Name, mtu: dev.MTU, ipv6: k.ipv6, zones: !p.zoneless, strict: filter == "1",
		noPickup: unknown == nil && loose == "0", vni: p.cfg.VNI, port: vxlanPort(w, p.cfg),
	}, err
}

// vxlanPort is the UDP port of VXLAN.
func vxlanPort(w *Want, cfg Config) int { return cmp.Or(int(w.Port), cfg.Port) }

func (p *Plane) countRepairs(ctx context.Context, lines []string) {
	if len(lines) == 0 {
		return
	}
	p.repairs.Add(uint64(len(lines)))
	p.log.WarnContext(ctx, "kernel state had drifted, repaired", "repairs", len(lines), "first", lines[0])
}

// attachMissing attaches the tasks that should be and are not: after a
// restart of this process nothing, unless somebody deleted their veths.
func (p *Plane) attachMissing(ctx context.Context, k *kernel, w *Want, look bool) error {
	forgetDetached(p, w)
	var attached map[string]bool
	var err error
	if look {
		if attached, err = k.attachedTasks(w.Tasks); err != nil {
			return err
		}
	}
	var errs []error
	for _, t := range w.Tasks {
		p.mu.Lock()
		again := p.attached[t.ID]
		p.mu.Unlock()
		if attached[t.ID] || !look && again || leaving(p, t.ID) {
			continue
		}
		if err := p.Attach(ctx, t); err != nil {
			errs = append(errs, err)
		} else if again {
			p.countRepairs(ctx, []string{"task " + t.ID + " was not attached"})
		}
	}
	return errors.Join(errs...)
}

// leaving reports whether a task that the want still names is on its way out: it
// was detached, or has no network namespace.
func leaving(p *Plane, id string) bool {
	p.mu.Lock()
	detached := p.detached[id]
	p.mu.Unlock()
	return detached || !namespace.Is(p.netns(id))
}

// forgetDetached drops the memory of tasks that the want no longer names.
func forgetDetached(p *Plane, w *Want) {
	named := make(map[string]bool)
	for _, t := range w.Tasks {
		named[t.ID] = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := range p.detached {
		if !named[id] {
			delete(p.detached, id)
		}
	}
}
