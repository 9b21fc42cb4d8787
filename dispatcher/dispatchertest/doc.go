// Package dispatchertest connects managers and workers inside one test
// process: real gRPC over links in memory that can stall and break, under
// testing/synctest.
package dispatchertest
