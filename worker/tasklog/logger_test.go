package tasklog

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/timestamppb"

	logspb "github.com/muster/muster/proto/logs/v1"
)

// place is the directories of one node and the logger on it.
type place struct {
	Config
	stop func()
}

func newPlace(t *testing.T) *place {
	t.Helper()
	dir := t.TempDir()
	return &place{Config: Config{RunDir: filepath.Join(dir, "run"), StateDir: filepath.Join(dir, "state")}}
}

// start runs a logger until the test ends or stop is called.
func (p *place) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- RunLogger(ctx, p.Config) }()
	stopped := false
	p.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("logger: %v", err)
		}
	}
	t.Cleanup(p.stop)
}

// writers are the ends of a task's pipes that a shim holds.
type writers struct{ out, err *os.File }

// task makes the pipes of a task and holds them as a shim does: open at both
// ends.
func (p *place) task(t *testing.T, id string) *writers {
	t.Helper()
	pipes := PipesOf(p.RunDir, id, false)
	hold, err := pipes.Create()
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	if err := hold.Await(t.Context(), 10*time.Second); err != nil {
		t.Fatal(err)
	}
	open := func(path string) *os.File {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	return &writers{out: open(pipes.Stdout), err: open(pipes.Stderr)}
}

func (w *writers) close() {
	_ = w.out.Close()
	_ = w.err.Close()
}

func (w *writers) print(t *testing.T, format string, args ...any) {
	t.Helper()
	if _, err := fmt.Fprintf(w.out, format, args...); err != nil {
		t.Fatal(err)
	}
}

// read returns the text of a task's logs; it waits for their end with Follow.
func (p *place) read(t *testing.T, id string, o *logspb.LogOptions) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var b strings.Builder
	r := &Reader{StateDir: p.StateDir}
	err := r.Read(ctx, id, o, func(m *logspb.LogMessage) error {
		if m.GetTaskId() != id {
			t.Errorf("message of task %q, want %q", m.GetTaskId(), id)
		}
		if m.GetStream() == stderr {
			b.WriteString("E:")
		}
		b.Write(m.GetData())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatalf("the logs of %s did not end; so far: %q", id, b.String())
	}
	return b.String()
}

// all follows the logs from their beginning to their end.
func all() *logspb.LogOptions { return &logspb.LogOptions{Tail: -1, Follow: true} }

func TestLogsOfATask(t *testing.T) {
	p := newPlace(t)
	p.start(t)
	w := p.task(t, "t1")
	w.print(t, "one\ntwo\n")
	w.print(t, "unfinished")
	w.close()
	if got := p.read(t, "t1", all()); got != "one\ntwo\nunfinished" {
		t.Errorf("logs = %q", got)
	}
	w2 := p.task(t, "t2")
	if _, err := fmt.Fprint(w2.err, "oops\n"); err != nil {
		t.Fatal(err)
	}
	w2.close()
	if got := p.read(t, "t2", all()); got != "E:oops\n" {
		t.Errorf("logs = %q", got)
	}
	entries, _ := os.ReadDir(PipeDir(p.RunDir))
	if len(entries) != 0 {
		t.Errorf("pipes left: %v", entries)
	}
}

// What never ends its line is read all the same, and its line goes on.
func TestUnfinishedLineArrivesWhileTheTaskRuns(t *testing.T) {
	p := newPlace(t)
	p.start(t)
	w := p.task(t, "t1")
	w.print(t, "\r10%%")
	p.eventually(t, "t1", "\r10%")
	w.print(t, "\r20%%")
	p.eventually(t, "t1", "\r10%\r20%")
	w.print(t, "\ndone\n")
	w.close()
	if got := p.read(t, "t1", all()); got != "\r10%\r20%\ndone\n" {
		t.Errorf("logs = %q", got)
	}
}

func TestUnfinished(t *testing.T) {
	var u unfinished
	now := time.Unix(1000, 0)
	a, b := &pipe{}, &pipe{}
	if u.wait(now) != -1 || u.due(now) != nil {
		t.Error("there is nothing to wait for")
	}
	a.rest, b.rest = []byte("a"), []byte("b")
	u.note(a, now)
	u.note(b, now.Add(300*time.Millisecond))
	u.note(a, now.Add(500*time.Millisecond)) // it has waited since its first
	if got := u.wait(now.Add(500 * time.Millisecond)); got != 501 {
		t.Errorf("waits for %d ms", got)
	}
	if got := u.due(now.Add(time.Second)); len(got) != 1 || got[0] != a {
		t.Errorf("due are %v, want the first", got)
	}
	if got := u.wait(now.Add(time.Second)); got != 301 {
		t.Errorf("waits for %d ms more", got)
	}
	b.rest = nil
	if u.note(b, now); u.wait(now) != -1 || u.due(now.Add(time.Hour)) != nil {
		t.Error("a line that has ended is waited for")
	}
}

func TestLinesArriveWhileTheTaskRuns(t *testing.T) {
	p := newPlace(t)
	p.start(t)
	lines := make(chan string)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		r := &Reader{StateDir: p.StateDir}
		done <- r.Read(ctx, "t1", all(), func(m *logspb.LogMessage) error {
			lines <- string(m.GetData())
			return nil
		})
		close(lines)
	}()
	w := p.task(t, "t1")
	for i := range 5 {
		want := fmt.Sprintf("line %d\n", i)
		w.print(t, "%s", want)
		if got := <-lines; got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	w.close()
	if extra, ok := <-lines; ok {
		t.Errorf("unexpected %q", extra)
	}
	if err := <-done; err != nil || ctx.Err() != nil {
		t.Errorf("Read = %v, %v", err, ctx.Err())
	}
}

// TestRestart checks that a task neither blocks nor loses lines while the
// logger is away, and that the logs of a task which ended meanwhile end too.
func TestRestart(t *testing.T) {
	p := newPlace(t)
	p.start(t)
	w := p.task(t, "t1")
	gone := p.task(t, "gone")
	gone.print(t, "before\n")
	w.print(t, "before\n")
	for _, id := range []string{"t1", "gone"} {
		p.eventually(t, id, "before\n")
	}
	p.stop()
	w.print(t, "between\n")
	gone.close()
	if err := RemovePipes(p.RunDir, "gone"); err != nil {
		t.Fatal(err)
	}
	p.start(t)
	for fd := int(w.out.Fd()); !taken(fd); {
		time.Sleep(time.Millisecond)
	}
	w.print(t, "after\n")
	w.close()
	if got := p.read(t, "t1", all()); got != "before\nbetween\nafter\n" {
		t.Errorf("logs = %q", got)
	}
	if got := p.read(t, "gone", all()); got != "before\n" {
		t.Errorf("logs = %q", got)
	}
}

// eventually waits until the logs hold want.
func (p *place) eventually(t *testing.T, id, want string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for p.read(t, id, &logspb.LogOptions{Tail: -1}) != want {
		if time.Now().After(deadline) {
			t.Fatalf("logs of %s are %q, want %q", id, p.read(t, id, &logspb.LogOptions{Tail: -1}), want)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestSecondLoggerIsRefused(t *testing.T) {
	p := newPlace(t)
	p.start(t)
	w := p.task(t, "t1")
	w.print(t, "x\n")
	p.eventually(t, "t1", "x\n")
	err := RunLogger(t.Context(), p.Config)
	if err == nil || !strings.Contains(err.Error(), "another logger runs") {
		t.Errorf("second logger: %v", err)
	}
}

func TestRotation(t *testing.T) {
	p := newPlace(t)
	p.MaxSize, p.MaxFiles = 4096, 3
	p.start(t)
	w := p.task(t, "t1")
	const lines = 500 // at 56 bytes: seven files, of which three are kept
	for i := range lines {
		w.print(t, "line number %03d\n", i)
	}
	w.close()
	p.read(t, "t1", all()) // ends once the last line is there; it may see files that rotate away meanwhile
	got := p.read(t, "t1", all())
	kept := strings.Count(got, "\n")
	if kept < 100 || kept > 3*4096/50 {
		t.Errorf("%d lines kept", kept)
	}
	for i, line := range strings.Split(strings.TrimSpace(got), "\n") {
		if want := fmt.Sprintf("line number %03d", lines-kept+i); line != want {
			t.Fatalf("line %d is %q, want %q", i, line, want)
		}
	}
	numbers, err := files(taskDir(p.StateDir, "t1"))
	if err != nil || len(numbers) != 3 {
		t.Errorf("files %v, %v, want three", numbers, err)
	}
	for _, n := range []int{0, 1, 60, 99, 100, kept, 10000} {
		want := min(n, kept)
		tail := p.read(t, "t1", &logspb.LogOptions{Tail: int64(n)})
		if got := strings.Count(tail, "\n"); got != want {
			t.Errorf("tail %d has %d lines, want %d", n, got, want)
		}
		if want > 0 && !strings.HasSuffix(got, tail) {
			t.Errorf("tail %d is not the end of the logs", n)
		}
	}
}

func TestFollowAcrossRotation(t *testing.T) {
	p := newPlace(t)
	p.MaxSize, p.MaxFiles = 1000, 1000
	p.start(t)
	w := p.task(t, "t1")
	go func() {
		for i := range 300 {
			_, _ = fmt.Fprintf(w.out, "line %03d\n", i)
		}
		w.close()
	}()
	got := p.read(t, "t1", all())
	var want strings.Builder
	for i := range 300 {
		fmt.Fprintf(&want, "line %03d\n", i)
	}
	if got != want.String() {
		t.Errorf("followed %d lines, want 300", strings.Count(got, "\n"))
	}
}

func TestSinceAndUntil(t *testing.T) {
	p := newPlace(t)
	dir := taskDir(p.StateDir, "t1")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	var b []byte
	for i := range 5 {
		b = appendRecord(b, time.Unix(int64(i), 0), stdout, whole, fmt.Appendf(nil, "%d", i))
	}
	if err := os.WriteFile(filePath(dir, 1), b, 0o640); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		o    *logspb.LogOptions
		want string
	}{
		"all":          {&logspb.LogOptions{Tail: -1}, "0\n1\n2\n3\n4\n"},
		"since":        {&logspb.LogOptions{Tail: -1, Since: timestamppb.New(time.Unix(3, 0))}, "3\n4\n"},
		"until":        {&logspb.LogOptions{Tail: -1, Until: timestamppb.New(time.Unix(1, 0))}, "0\n1\n"},
		"between":      {&logspb.LogOptions{Tail: -1, Since: timestamppb.New(time.Unix(1, 1)), Until: timestamppb.New(time.Unix(3, 0))}, "2\n3\n"},
		"tail, since":  {&logspb.LogOptions{Tail: 3, Since: timestamppb.New(time.Unix(1, 0))}, "2\n3\n4\n"},
		"tail, until":  {&logspb.LogOptions{Tail: 2, Until: timestamppb.New(time.Unix(2, 0))}, "1\n2\n"},
		"tail of none": {&logspb.LogOptions{Tail: 0, Until: timestamppb.New(time.Unix(2, 0))}, ""},
		"tail between": {&logspb.LogOptions{Tail: 2, Since: timestamppb.New(time.Unix(1, 0)), Until: timestamppb.New(time.Unix(3, 0))}, "2\n3\n"},
		"long tail":    {&logspb.LogOptions{Tail: 9, Since: timestamppb.New(time.Unix(1, 0)), Until: timestamppb.New(time.Unix(2, 0))}, "1\n2\n"},
		"until, there": {&logspb.LogOptions{Tail: -1, Until: timestamppb.New(time.Unix(2, 0)), Follow: true}, "0\n1\n2\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := p.read(t, "t1", tt.o); got != tt.want {
				t.Errorf("logs = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestHalfARecordIsPassedOver(t *testing.T) {
	p := newPlace(t)
	dir := taskDir(p.StateDir, "t1")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	torn := appendRecord(nil, time.Unix(1, 0), stdout, whole, []byte("first"))
	if err := os.WriteFile(filePath(dir, 1), append(torn, "2026-11-"...), 0o640); err != nil {
		t.Fatal(err)
	}
	p.start(t)
	w := p.task(t, "t1")
	w.print(t, "second\n")
	w.close()
	if got := p.read(t, "t1", all()); got != "first\nsecond\n" {
		t.Errorf("logs = %q", got)
	}
}

// TestLogsThatCannotBeStored: a task must not hang because nobody reads what it
// prints, and its logs go on once there is a place for them.
func TestLogsThatCannotBeStored(t *testing.T) {
	p := newPlace(t)
	dir := taskDir(p.StateDir, "t1")
	if err := os.MkdirAll(filepath.Dir(dir), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o640); err != nil { // no directory can be made there
		t.Fatal(err)
	}
	p.start(t)
	w := p.task(t, "t1")
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		for range 1000 {
			w.print(t, "%s\n", strings.Repeat("x", 1000))
		}
	}()
	select {
	case <-printed:
	case <-time.After(20 * time.Second):
		t.Fatal("the task hangs")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	w.print(t, "at last\n")
	w.close()
	if got := p.read(t, "t1", all()); !strings.HasSuffix(got, "at last\n") {
		t.Errorf("logs = %q", got)
	}
}

func TestFollowEndsWhenLogsAreDeleted(t *testing.T) {
	p := newPlace(t)
	p.start(t)
	w := p.task(t, "t1")
	w.print(t, "x\n")
	p.eventually(t, "t1", "x\n")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r := &Reader{StateDir: p.StateDir}
	err := r.Read(ctx, "t1", all(), func(*logspb.LogMessage) error { return Remove(p.StateDir, "t1") })
	if err != nil || ctx.Err() != nil {
		t.Errorf("Read = %v, %v", err, ctx.Err())
	}
}

// TestMemory lets 200 tasks print and measures what each of them costs the
// process that the logger runs in: at most 1 MB is allowed.
func TestMemory(t *testing.T) {
	p := newPlace(t)
	p.start(t)
	const tasks = 200
	before := resident(t)
	writers := make([]*writers, tasks)
	for i := range writers {
		writers[i] = p.task(t, fmt.Sprintf("t%d", i))
		writers[i].print(t, "%s\nbeginning of another", strings.Repeat("x", 40_000))
	}
	for i := range writers {
		writers[i].print(t, " line\n")
		id := fmt.Sprintf("t%d", i)
		deadline := time.Now().Add(20 * time.Second)
		for !strings.HasSuffix(p.read(t, id, &logspb.LogOptions{Tail: 1}), "beginning of another line\n") {
			if time.Now().After(deadline) {
				t.Fatalf("logs of %s are not there", id)
			}
			time.Sleep(time.Millisecond)
		}
	}
	grown := resident(t) - before
	t.Logf("%d tasks: %d KiB, %d KiB each", tasks, grown>>10, grown>>10/tasks)
	if grown/tasks > 1<<20 {
		t.Errorf("a task costs %d bytes, want at most 1 MB", grown/tasks)
	}
}

// resident is the memory of this process in bytes.
func resident(t *testing.T) int64 {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(raw), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(unix.Getpagesize())
}
