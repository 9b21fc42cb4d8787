package dns

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/muster/muster/ingress/dns/names"
)

// listen makes the socket at path, in place of that of another resolver: its
// connections stay, and new ones are ours.
func listen(ctx context.Context, path string) (net.Listener, error) {
	draft := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listen for the table: %w", err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", draft)
	if err != nil {
		return nil, fmt.Errorf("listen for the table: %w", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) //nolint:forcetypeassert // it is one. The path may be another's by then
	if err := errors.Join(os.Chmod(draft, 0o600), os.Rename(draft, path)); err != nil {
		return nil, errors.Join(fmt.Errorf("listen for the table: %w", err), l.Close())
	}
	return l, nil
}

// join counts this process among the resolvers of a socket until leave is
// called, and reports whether there are others.
func join(socket string) (others bool, leave func() error, err error) {
	f, err := os.OpenFile(socket+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return false, nil, fmt.Errorf("look for other resolvers: %w", err)
	}
	fd := int(f.Fd())
	if err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		others, err = true, nil
	}
	if err == nil {
		err = unix.Flock(fd, unix.LOCK_SH)
	}
	if err != nil {
		return false, nil, errors.Join(fmt.Errorf("look for other resolvers: %w", err), f.Close())
	}
	return others, f.Close, nil
}

// serve takes the table from who connects, the one that connected last, until
// ctx is done and the listener closed. Without a daemon the table stays, and
// what becomes of the clients' namespaces is looked after.
func (r *resolver) serve(ctx context.Context, l net.Listener) {
	var running sync.WaitGroup
	defer running.Wait()
	conns := make(chan net.Conn)
	running.Go(func() {
		defer close(conns)
		for {
			conn, err := l.Accept()
			if err != nil {
				if ctx.Err() == nil {
					r.cfg.Log.Error("cannot listen for the table any more", "err", err)
				}
				return
			}
			select {
			case conns <- conn:
			case <-ctx.Done():
				_ = conn.Close()
			}
		}
	})
	var current *talk
	look := time.NewTicker(lookPeriod)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			current.end()
			return
		case conn, ok := <-conns:
			if !ok {
				current.end()
				<-ctx.Done()
				return
			}
			current.end()
			current = r.begin(conn)
		case u := <-current.updates():
			r.apply(current, u)
		case <-look.C:
			if r.knows {
				current.tell(r.doors.look(r.table.Load()))
			}
		}
	}
}

// apply takes in an update, or a part of one. Names are in effect before their
// clients can ask. Only where there are none yet clients may ask before: what
// they ask then waits, and is not lost.
func (r *resolver) apply(from *talk, u *names.Update) {
	if from.draft == nil {
		from.draft, from.parts = r.table.Load(), names.Update{}
	}
	t, err := from.draft.Apply(u)
	if err != nil {
		r.cfg.Log.Error("the daemon's table is not sound: what is wrong in it is left out", "err", err)
	}
	from.draft = t
	from.parts.Whole = from.parts.Whole || u.Whole
	from.parts.Clients = append(from.parts.Clients, u.Clients...)
	from.parts.GoneClients = append(from.parts.GoneClients, u.GoneClients...)
	if u.More {
		if !r.knows && len(u.Clients) > 0 {
			r.doors.update(t, u)
		}
		return
	}
	r.table.Store(t)
	trouble := r.doors.update(t, &from.parts)
	from.draft = nil
	if !r.knows {
		r.knows = true
		close(r.known)
	}
	from.said.Updates++
	from.said.Index = t.Index()
	from.force(trouble)
}

// talk is the connection to a daemon; nil is none.
type talk struct {
	conn net.Conn
	got  chan *names.Update
	done chan struct{}
	said applied // last
	// draft is the table of an update of which there is more to come, parts what
	// it said of clients.
	draft *names.Table
	parts names.Update
}

// begin greets a daemon and reads its updates.
func (r *resolver) begin(conn net.Conn) *talk {
	t := &talk{conn: conn, got: make(chan *names.Update), done: make(chan struct{})}
	_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
	if err := write(conn, hello{Format: Format, Pid: os.Getpid()}); err != nil {
		r.cfg.Log.Warn("cannot greet the daemon", "err", err)
	}
	go func() {
		in := bufio.NewReader(conn)
		for {
			u := new(names.Update)
			if err := read(in, u); err != nil {
				_ = conn.Close() // it connects again
				return
			}
			select {
			case t.got <- u:
			case <-t.done:
				return
			}
		}
	}()
	return t
}

func (t *talk) updates() <-chan *names.Update {
	if t == nil {
		return nil
	}
	return t.got
}

// tell tells the daemon the clients' trouble if it is new.
func (t *talk) tell(trouble map[string]string) {
	if t != nil && t.said.Updates > 0 && !maps.Equal(t.said.Trouble, trouble) {
		t.force(trouble)
	}
}

// force tells the daemon how things are. A daemon that does not listen has to
// connect again.
func (t *talk) force(trouble map[string]string) {
	t.said.Trouble = trouble
	_ = t.conn.SetWriteDeadline(time.Now().Add(time.Second))
	if err := write(t.conn, t.said); err != nil {
		_ = t.conn.Close()
	}
}

func (t *talk) end() {
	if t != nil {
		_ = t.conn.Close()
		close(t.done)
	}
}
