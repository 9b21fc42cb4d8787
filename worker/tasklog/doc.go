// Package tasklog keeps what tasks print. One logger process for each node reads
// the pipes of all its tasks, stamps every line and writes it to rotated files;
// a [Reader] reads them back, following them while the task runs. The logger
// outlives the daemon, and the tasks outlive the logger: see DESIGN.md.
package tasklog
