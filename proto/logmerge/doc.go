// Package logmerge puts what many sources of log lines give in order of time:
// the tasks of a node, and the nodes that a manager asked.
//
// Each source gives its own lines in order. So the next line of all is the
// earliest of the first ones, once every source has a line or is at its end.
// Who follows cannot wait for that, since a source may have nothing to say for
// hours: a [Merge] with a window waits that long for a source that has no line,
// and keeps a line until it is that old.
package logmerge
