package state

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	raftpb "github.com/muster/muster/proto/raft/v1"
)

// A snapshot is a SnapshotHeader and SnapshotItems, each preceded by its
// length as a varint, and closed by an item that counts the others. The same
// State always gives the same bytes.
const snapshotFormat = 1

// MaxCommand is how long a command may be once encoded, in bytes: followers get
// log entries whole, and a long one holds up heartbeats and memory.
const MaxCommand = 3 << 19 // 1.5 MiB

// maxItem bounds one object of a snapshot: a service holds up to eleven specs
// of the size that fits a command.
const maxItem = 16 * MaxCommand

// WriteSnapshot writes the state.
func WriteSnapshot(to io.Writer, s *State) error {
	w := snapshotWriter{to: bufio.NewWriter(to)}
	w.write(&raftpb.SnapshotHeader{Format: snapshotFormat, Index: s.Index, Time: timestamppb.New(s.Time)})
	for item := range s.items() {
		w.write(item)
		w.items++
	}
	w.write(&raftpb.SnapshotItem{Kind: &raftpb.SnapshotItem_End{End: &raftpb.SnapshotEnd{Items: w.items}}})
	if w.err == nil {
		w.err = w.to.Flush()
	}
	if w.err != nil {
		return fmt.Errorf("write snapshot: %w", w.err)
	}
	return nil
}

// snapshotWriter keeps the first error.
type snapshotWriter struct {
	to    *bufio.Writer
	items uint64
	err   error
}

func (w *snapshotWriter) write(m proto.Message) {
	if w.err != nil {
		return
	}
	// Deterministic, so that replicas can be compared by their snapshots.
	opts := protodelim.MarshalOptions{MarshalOptions: proto.MarshalOptions{Deterministic: true}}
	_, w.err = opts.MarshalTo(w.to, m)
}

// ReadSnapshot is the inverse of WriteSnapshot.
func ReadSnapshot(from io.Reader) (*State, error) {
	r := snapshotReader{from: bufio.NewReader(from)}
	var header raftpb.SnapshotHeader
	if err := r.read(&header); err != nil {
		return nil, fmt.Errorf("read snapshot header: %w", err)
	}
	if header.GetFormat() != snapshotFormat {
		return nil, fmt.Errorf("snapshot has format %d; this version of muster reads format %d", header.GetFormat(), snapshotFormat)
	}
	tx := NewState().begin(header.GetIndex(), header.GetTime().AsTime())
	for n := uint64(0); ; n++ {
		item := new(raftpb.SnapshotItem)
		if err := r.read(item); err != nil {
			return nil, fmt.Errorf("read snapshot item %d: %w", n+1, err)
		}
		if end := item.GetEnd(); end != nil {
			return tx.commit(), r.finish(end.GetItems(), n)
		}
		if err := tx.restore(item); err != nil {
			return nil, fmt.Errorf("snapshot item %d: %w", n+1, err)
		}
	}
}

type snapshotReader struct {
	from *bufio.Reader
	buf  bytes.Buffer
}

// read reads one message. It makes room only for what is there: a length that
// is garbled must not cost memory.
func (r *snapshotReader) read(m proto.Message) error {
	size, err := binary.ReadUvarint(r.from)
	if err == nil && size > maxItem {
		return fmt.Errorf("an object of %d bytes is longer than any can be", size)
	}
	if err == nil {
		r.buf.Reset()
		_, err = io.CopyN(&r.buf, r.from, int64(size))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the snapshot ends early: it was not written whole")
	}
	if err != nil {
		return err
	}
	return proto.Unmarshal(r.buf.Bytes(), m)
}

func (r *snapshotReader) finish(want, got uint64) error {
	if want != got {
		return fmt.Errorf("snapshot holds %d items and says it has %d", got, want)
	}
	if _, err := r.from.ReadByte(); !errors.Is(err, io.EOF) {
		return errors.New("snapshot goes on after its end")
	}
	return nil
}
