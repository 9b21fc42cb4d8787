// Package integration tests what no package can test alone: who may import
// whom, that packages say what they are for, and, in the packages below, the
// whole cluster.
package integration
