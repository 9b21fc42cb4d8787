// Package daemon is the command that runs a node. It reads the configuration,
// holds the state directory, runs containerd and the logger as children, and
// gives [node] what it stands on: this machine, its network and its disk.
package daemon
