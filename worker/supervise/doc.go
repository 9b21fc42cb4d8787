// Package supervise keeps a child process running that must outlive the daemon:
// containerd and the logger. A daemon that starts anew finds the child that an
// earlier one left behind and takes it over instead of starting a second one.
package supervise
