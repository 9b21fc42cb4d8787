// Package gossipkeys gives gossip new keys from time to time, as Swarm does, so
// that what somebody learned of one is soon worth nothing.
package gossipkeys

import (
	"crypto/rand"
	"time"

	"github.com/muster/muster/manager/control"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
	raftpb "github.com/muster/muster/proto/raft/v1"
	"github.com/muster/muster/raftstore/state"
)

const (
	// period is how long a key encrypts.
	period = 12 * time.Hour
	// hurried is how long it does while a removed node knows it. The others learn
	// the next one within seconds; who cannot be reached for minutes goes without
	// gossip until it can.
	hurried = time.Minute
	// size selects AES-256.
	size = 32
	// agenda is the controller's only key: there is one set of secrets.
	agenda = "gossip"
)

// First returns the keys of a new cluster.
func First() [][]byte { return [][]byte{newKey(), newKey()} }

func newKey() []byte {
	key := make([]byte, size)
	_, _ = rand.Read(key) // never fails
	return key
}

// Controller returns the controller that rotates the keys.
func Controller() *control.Controller { return controller(newKey) }

func controller(newKey func() []byte) *control.Controller {
	return &control.Controller{
		Name: "gossip keys",
		Keys: func(*state.State) []string { return []string{agenda} },
		KeysOf: func(_ *state.State, ref state.Ref) []string {
			if ref.Kind == state.KindSecrets {
				return []string{agenda}
			}
			return nil
		},
		Plan: func(s *state.State, _ string, now time.Time) ([]*raftpb.Change, time.Duration) {
			return plan(s.Secrets(), now, newKey)
		},
	}
}

// plan moves every key on by one place when their time is over. Nodes learn a
// key one period before any of them encrypts with it, and keep it for one
// more, so no two that have heard of the managers within a period ever differ.
func plan(secrets *clusterpb.ClusterSecrets, now time.Time, newKey func() []byte) ([]*raftpb.Change, time.Duration) {
	keys := secrets.GetGossipKeys()
	if len(keys) == 0 {
		return nil, 0 // no cluster yet
	}
	life := period
	if secrets.GetGossipRotationsDue() > 0 {
		life = hurried
	}
	if left := secrets.GetGossipKeysAt().AsTime().Add(life).Sub(now); left > 0 {
		return nil, left
	}
	var next [][]byte
	if len(keys) == 1 {
		next = [][]byte{keys[0], newKey()}
	} else {
		next = [][]byte{keys[1], newKey(), keys[0]}
	}
	return []*raftpb.Change{state.RotateGossipKeys(secrets.GetVersion(), next)}, life
}
