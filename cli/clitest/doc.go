// Package clitest is a small cluster for tests of commands: a server that
// speaks the real APIs over a real socket and keeps services in memory. Its
// tasks run as soon as they are asked for. It records every request, and
// fails those it is told to.
package clitest
