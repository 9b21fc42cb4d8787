// Package bench measures the figures that muster promises, on real nodes and
// against the peer in the same run. `make bench` runs it; nothing here fails
// for being slow.
package bench
