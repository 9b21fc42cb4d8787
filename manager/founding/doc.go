// Package founding decides what a new cluster begins with: its root
// certificate, its secrets, the networks of its tasks, and the first manager.
// It changes nothing; the first manager proposes [Founding.Changes] to its
// empty store.
package founding
