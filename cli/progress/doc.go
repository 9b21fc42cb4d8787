// Package progress follows a service until it has converged: until what the
// user asked for runs and has proven stable, or until the rollout ended
// otherwise. What a view of the service means is decided by Tracker.Look,
// which is pure; Follow feeds it from the cluster and draws what it says.
package progress
