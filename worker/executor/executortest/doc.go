// Package executortest has a container runtime made of memory and timers, for
// tests of everything above the executor. It follows the executor contract,
// runs under testing/synctest, and does what each image's [Behaviour] says.
package executortest
