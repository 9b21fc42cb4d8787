package executortest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/worker/executor"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
	"github.com/muster/muster/proto/pod"
)

// killedCode is the exit status of a process ended by SIGKILL.
const killedCode = 128 + 9

// Fake is the runtime of one node. Like the real one it outlives the worker:
// give the same Fake to the worker that replaces a crashed one. Its zero value
// is not usable; call New.
type Fake struct {
	mu         sync.Mutex
	behaviours map[string]Behaviour
	tasks      map[string]*process
	calls      []Call
	lastPid    uint32
}

var (
	_ executor.Executor = (*Fake)(nil)
	_ executor.Prober   = (*Fake)(nil)
)

// Call is one call of a method.
type Call struct {
	// Method is the name of the method, such as "Prepare".
	Method string
	TaskID string
	At     time.Time
}

// process is a task on the node.
type process struct {
	behaviour Behaviour
	sources   []*dispatchpb.ImageSource // it was prepared with
	pid       uint32                    // 0 before Start
	startedAt time.Time
	exit      executor.Exit
	ended     chan struct{} // closed once exit is set
	released  bool          // only logs are left
}

// New returns a runtime with nothing on it.
func New() *Fake {
	return &Fake{behaviours: make(map[string]Behaviour), tasks: make(map[string]*process)}
}

// Script sets what tasks of the image, named as in their spec, do from now
// on. Tasks that are prepared already keep what they have.
func (f *Fake) Script(image string, b Behaviour) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.behaviours[image] = b
}

// Change replaces the behaviour of one task that is on the node; timers that
// run already are not affected. It reports whether the task is there.
func (f *Fake) Change(taskID string, b Behaviour) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.tasks[taskID]
	if ok {
		p.behaviour = b
	}
	return ok
}

// End ends the task's process from outside, as a crash would. It reports
// whether there was one.
func (f *Fake) End(taskID string, exit executor.Exit) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.tasks[taskID]
	return ok && p.end(exit)
}

// Reboot ends every process and forgets all but the logs, as a restart of the
// machine does.
func (f *Fake) Reboot() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.tasks {
		p.end(executor.Exit{Code: killedCode})
		p.released = true
	}
}

// Sources returns where the task's images could have been fetched from when it
// was prepared.
func (f *Fake) Sources(taskID string) []*dispatchpb.ImageSource {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p, ok := f.tasks[taskID]; ok {
		return p.sources
	}
	return nil
}

// Calls returns every call so far, oldest first.
func (f *Fake) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// Count returns how often a method was called for a task; an empty taskID
// counts all tasks.
func (f *Fake) Count(method, taskID string) int {
	n := 0
	for _, c := range f.Calls() {
		if c.Method == method && (taskID == "" || c.TaskID == taskID) {
			n++
		}
	}
	return n
}

// Running returns the tasks whose process lives, sorted.
func (f *Fake) Running() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []string
	for id, p := range f.tasks {
		if p.running() {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Prepare implements executor.Executor.
func (f *Fake) Prepare(ctx context.Context, r executor.Request, progress func(string)) error {
	t := r.Task
	f.record("Prepare", t.GetId())
	if _, err := f.process(t.GetId()); err == nil {
		return nil
	}
	image := pod.Main(t.GetSpec()).GetImage()
	f.mu.Lock()
	b := f.behaviours[image]
	f.mu.Unlock()
	progress("preparing " + image)
	if err := pause(ctx, b.PrepareDelay); err != nil {
		return err
	}
	if b.PrepareErr != nil {
		return b.PrepareErr
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if p, ok := f.tasks[t.GetId()]; ok && !p.released {
		return nil
	}
	f.tasks[t.GetId()] = &process{behaviour: b, sources: r.Sources, ended: make(chan struct{})}
	return nil
}

// Start implements executor.Executor. A process that has ended is not started
// again: Wait tells how it ended.
func (f *Fake) Start(ctx context.Context, t *clusterpb.Task) ([]*clusterpb.ContainerStatus, error) {
	f.record("Start", t.GetId())
	p, err := f.process(t.GetId())
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	b, started := p.behaviour, p.pid != 0
	f.mu.Unlock()
	if !started {
		if err := pause(ctx, b.StartDelay); err != nil {
			return nil, err
		}
		if b.StartErr != nil {
			return nil, b.StartErr
		}
		f.run(p)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return []*clusterpb.ContainerStatus{{
		Id: t.GetId(), Pid: p.pid, ExitCode: p.exit.Code, OomKilled: p.exit.OOMKilled,
	}}, nil
}

// run starts the process.
func (f *Fake) run(p *process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.pid != 0 {
		return
	}
	f.lastPid++
	p.pid, p.startedAt = f.lastPid, time.Now()
	switch b := p.behaviour; {
	case b.ExitAtOnce:
		p.end(b.Exit)
	case b.ExitAfter > 0:
		f.endAfter(p, b.ExitAfter, b.Exit)
	}
}

// Wait implements executor.Executor.
func (f *Fake) Wait(ctx context.Context, taskID string) (executor.Exit, error) {
	f.record("Wait", taskID)
	p, err := f.process(taskID)
	if err != nil {
		return executor.Exit{}, err
	}
	f.mu.Lock()
	started := p.pid != 0
	f.mu.Unlock()
	if !started {
		return executor.Exit{}, fmt.Errorf("task %s has no process: %w", taskID, errdefs.ErrNotFound)
	}
	select {
	case <-ctx.Done():
		return executor.Exit{}, context.Cause(ctx)
	case <-p.ended:
		return p.exit, nil
	}
}

// Signal implements executor.Executor.
func (f *Fake) Signal(_ context.Context, t *clusterpb.Task) error {
	f.record("Signal", t.GetId())
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.tasks[t.GetId()]
	if !ok || !p.running() || p.behaviour.IgnoreStop {
		return nil
	}
	exit := executor.Exit{Code: p.behaviour.StopCode}
	if p.behaviour.StopDelay == 0 {
		p.end(exit)
		return nil
	}
	f.endAfter(p, p.behaviour.StopDelay, exit)
	return nil
}

// Kill implements executor.Executor.
func (f *Fake) Kill(_ context.Context, taskID string) error {
	f.record("Kill", taskID)
	f.End(taskID, executor.Exit{Code: killedCode})
	return nil
}

// Release implements executor.Executor.
func (f *Fake) Release(_ context.Context, taskID string) error {
	f.record("Release", taskID)
	f.mu.Lock()
	defer f.mu.Unlock()
	if p, ok := f.tasks[taskID]; ok {
		p.end(executor.Exit{Code: killedCode})
		p.released = true
	}
	return nil
}

// Remove implements executor.Executor.
func (f *Fake) Remove(_ context.Context, taskID string) error {
	f.record("Remove", taskID)
	f.mu.Lock()
	defer f.mu.Unlock()
	if p, ok := f.tasks[taskID]; ok {
		p.end(executor.Exit{Code: killedCode})
		delete(f.tasks, taskID)
	}
	return nil
}

// List implements executor.Executor.
func (f *Fake) List(context.Context) ([]executor.Found, error) {
	f.record("List", "")
	f.mu.Lock()
	defer f.mu.Unlock()
	found := make([]executor.Found, 0, len(f.tasks))
	for id, p := range f.tasks {
		one := executor.Found{TaskID: id, Running: p.running()}
		if one.Running {
			one.Pid = p.pid
		}
		found = append(found, one)
	}
	slices.SortFunc(found, func(a, b executor.Found) int { return cmp.Compare(a.TaskID, b.TaskID) })
	return found, nil
}

// process finds a task that was prepared and not released.
func (f *Fake) process(taskID string) (*process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.tasks[taskID]
	if !ok || p.released {
		return nil, fmt.Errorf("task %s: %w", taskID, errdefs.ErrNotFound)
	}
	return p, nil
}

func (f *Fake) record(method, taskID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, Call{Method: method, TaskID: taskID, At: time.Now()})
}

// endAfter lets the process end later, unless it has ended by then.
func (f *Fake) endAfter(p *process, d time.Duration, exit executor.Exit) {
	time.AfterFunc(d, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		p.end(exit)
	})
}

func (p *process) running() bool {
	if p.pid == 0 {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// end ends a running process; it reports false when there was none.
func (p *process) end(exit executor.Exit) bool {
	if !p.running() {
		return false
	}
	p.exit = exit
	close(p.ended)
	return true
}

// pause waits for d, or less when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
