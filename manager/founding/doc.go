// Package founding decides what a new cluster begins with: its root
// certificate, its secrets, the network of its published ports, and the first manager.
// It changes nothing; the first manager proposes [Founding.Changes] to its
// empty store.
package founding
