package gossip

import (
	"sync/atomic"

	"github.com/hashicorp/memberlist"
)

// What the first byte of a node's metadata says; the user's follow.
const (
	staying = 0
	leaving = 1
)

// MaxMeta is how much metadata a node can have, in bytes.
const MaxMeta = memberlist.MetaMaxSize - 1

// delegate tells memberlist this node's metadata, and nothing else.
type delegate struct {
	meta    []byte
	leaving atomic.Bool
}

func (d *delegate) NodeMeta(int) []byte {
	state := byte(staying)
	if d.leaving.Load() {
		state = leaving
	}
	return append([]byte{state}, d.meta...)
}

func (d *delegate) NotifyMsg([]byte)                {}
func (d *delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (d *delegate) LocalState(bool) []byte          { return nil }
func (d *delegate) MergeRemoteState([]byte, bool)   {}
