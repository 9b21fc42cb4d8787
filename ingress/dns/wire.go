package dns

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/muster/muster/ingress/dns/names"
)

// Format is the version of what a daemon and a resolver say to each other. It
// changes only where an older resolver would take something wrong; new fields
// alone do not.
const Format = 1

// maxFrame is how large a message may be: 10,000 clients are a tenth of it.
const maxFrame = 64 << 20

// hello is what a resolver says first.
type hello struct {
	Format int `json:"format"`
	Pid    int `json:"pid"`
}

// applied is what a resolver says after each update, and when the trouble of its
// clients changes. The daemon says names.Update alone.
type applied struct {
	Index uint64 `json:"index"`
	// Updates of this connection that are in effect; one in parts is one.
	Updates uint64 `json:"updates"`
	// Trouble says why clients cannot ask, by client.
	Trouble map[string]string `json:"trouble,omitempty"`
}

// partSize is how many services one part of an update has at most: decoding it
// takes memory that nobody needs afterwards.
const partSize = 500

// parts splits an update. Clients come first, so that they can ask before all
// that there is to answer is known; what they ask waits for it.
func parts(u *names.Update) []*names.Update {
	if len(u.Services) <= partSize {
		return []*names.Update{u}
	}
	head := *u
	head.Services, head.More = nil, true
	all := []*names.Update{&head}
	for services := range slices.Chunk(u.Services, partSize) {
		all = append(all, &names.Update{Index: u.Index, More: true, Services: services})
	}
	all[len(all)-1].More = u.More
	return all
}

// write writes a message: its length in 4 bytes, and JSON.
func write(w io.Writer, message any) error {
	raw, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("write message: %w", err)
	}
	if len(raw) > maxFrame {
		return fmt.Errorf("write message: %d bytes are more than %d", len(raw), maxFrame)
	}
	if _, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(raw))), raw...)); err != nil {
		return fmt.Errorf("write message: %w", err)
	}
	return nil
}

// read reads a message into what message points to.
func read(r io.Reader, message any) error {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxFrame {
		return fmt.Errorf("read message: %d bytes are more than %d", n, maxFrame)
	}
	if err := json.NewDecoder(io.LimitReader(r, int64(n))).Decode(message); err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	return nil
}
