package dns

import (
	"errors"
	"io/fs"
	"iter"
	"log/slog"
	"maps"
	"sync"

	"github.com/muster/muster/ingress/dns/names"
	"github.com/muster/muster/ingress/namespace"
)

// doors are where all clients ask.
type doors struct {
	resolver *resolver
	loop     *loop
	log      *slog.Logger

	mu      sync.Mutex
	of      map[string]*door  // by client
	trouble map[string]string // why a client has no door
}

func newDoors(r *resolver, log *slog.Logger) *doors {
	return &doors{resolver: r, log: log, of: make(map[string]*door), trouble: make(map[string]string)}
}

// update opens and closes what an update says; the table has it already. It
// returns why clients have no door, by client.
func (ds *doors) update(t *names.Table, u *names.Update) map[string]string {
	if u.Whole {
		return ds.look(t)
	}
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for _, id := range u.GoneClients {
		if t.Client(id) == nil {
			ds.forget(id)
		}
	}
	ds.open(func(yield func(*names.Client) bool) {
		for i := range u.Clients {
			if c := t.Client(u.Clients[i].ID); c != nil && !yield(c) {
				return
			}
		}
	})
	return maps.Clone(ds.trouble)
}

// look makes the doors those of the table's clients, whatever became of their
// network namespaces. It returns why clients have none.
func (ds *doors) look(t *names.Table) map[string]string {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for id := range maps.Clone(ds.of) {
		if t.Client(id) == nil {
			ds.forget(id)
		}
	}
	for id := range maps.Clone(ds.trouble) {
		if t.Client(id) == nil {
			ds.forget(id)
		}
	}
	ds.open(t.Clients())
	return maps.Clone(ds.trouble)
}

// open opens the doors of clients that have none in their namespace.
func (ds *doors) open(clients iter.Seq[*names.Client]) {
	closed := ds.closed(clients)
	if len(closed) == 0 {
		return
	}
	err := namespace.Visit(func(enter func(string) error) error {
		for _, d := range closed {
			ds.note(d.client, d.in(enter, func() error { return ds.begin(d) }))
		}
		// Where there was a resolver before, questions are led to the sockets already.
		for _, d := range closed {
			if ds.of[d.client] != d {
				continue
			}
			if err := d.in(enter, redirect); err != nil {
				ds.forget(d.client)
				ds.note(d.client, err)
			}
		}
		return nil
	})
	if err != nil {
		ds.log.Error("cannot open sockets in network namespaces: will retry", "err", err)
	}
}

// closed returns the doors that are to be opened. A door in another namespace
// than its client's is closed: a socket would keep that one.
func (ds *doors) closed(clients iter.Seq[*names.Client]) (closed []*door) {
	for c := range clients {
		room, err := roomAt(c.Netns)
		if d := ds.of[c.ID]; d != nil {
			if err == nil && d.room == room && d.netns == c.Netns {
				continue
			}
			ds.forget(c.ID)
		}
		if err != nil {
			ds.note(c.ID, err)
			continue
		}
		closed = append(closed, &door{client: c.ID, netns: c.Netns, room: room})
	}
	return closed
}

// begin opens a door in the network namespace of the calling thread.
func (ds *doors) begin(d *door) error {
	if err := d.open(ds.resolver.succeeds); err != nil {
		return err
	}
	if err := ds.loop.add(d); err != nil {
		ds.loop.remove(d)
		d.close()
		return err
	}
	ds.of[d.client] = d
	return nil
}

// note remembers why a client has no door, nil if it has one, and logs what is new.
// A namespace that is not there is none of our trouble: its task starts or ends.
func (ds *doors) note(client string, err error) {
	if err == nil {
		delete(ds.trouble, client)
		return
	}
	if ds.trouble[client] == err.Error() {
		return
	}
	ds.trouble[client] = err.Error()
	if !errors.Is(err, fs.ErrNotExist) {
		ds.log.Error("a task has no resolver: will retry", "task", client, "err", err)
	}
}

func (ds *doors) forget(client string) {
	delete(ds.trouble, client)
	if d := ds.of[client]; d != nil {
		delete(ds.of, client)
		ds.loop.remove(d)
		d.close()
	}
}

// drain takes what waits at each door, once the loop has ended, and has
// connections end.
func (ds *doors) drain() {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for _, d := range ds.of {
		ds.loop.drain(d)
		d.hurry()
	}
}

func (ds *doors) closeAll() {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for id := range maps.Clone(ds.of) {
		ds.forget(id)
	}
}
