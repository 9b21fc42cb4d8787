// Package scheduler places tasks on nodes.
//
// It places all waiting tasks in one pass. Tasks with the same service and
// spec_version are alike, so each node is judged once for such a group and
// then kept in a heap: the work is nodes + tasks, not nodes × tasks.
//
// Which nodes can take a task is up to the filters (filter.go); which one gets
// it is up to Swarm's spread order (spread.go): placement preferences first,
// then nodes where the service does not keep failing, then the fewest tasks of
// the service, then the fewest tasks. A task that cannot be placed says why.
//
// Addresses are not its business: manager/allocator gives them to what it
// placed, within the same change.
//
// See DESIGN.md for what is counted and when.
package scheduler
