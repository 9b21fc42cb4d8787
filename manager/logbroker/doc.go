// Package logbroker is the log broker: it brings what tasks print to whoever asks.
//
// A client subscribes at the leader. The broker asks the nodes of the tasks,
// through their sessions, to publish; they answer with streams of their own,
// which it merges in order of time (proto/logmerge). Nothing is stored:
// what the client does not take in time, the nodes do not read.
package logbroker
