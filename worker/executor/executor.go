// Package executor says what a container runtime must do for a worker.
//
// Every method is idempotent: a worker that restarts calls them again and
// gets the same outcome. Containers outlive the worker and the runtime.
package executor

import (
	"context"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
	dispatchpb "github.com/muster/muster/proto/dispatch/v1"
)

// Executor runs the containers of tasks on this node.
type Executor interface {
	// Prepare makes everything the task's process needs: the image, the
	// network namespace with the task's addresses, the container. progress
	// takes one short line at a time for people ("pulling image 42 %").
	Prepare(ctx context.Context, r Request, progress func(message string)) error

	// Start runs the processes of the prepared containers and tells about each,
	// in the order of the spec; about those that run already it only tells.
	Start(ctx context.Context, t *clusterpb.Task) ([]*clusterpb.ContainerStatus, error)

	// Wait blocks until the process of the main container has ended and says
	// how. It survives a restart of the runtime. NotFound when there is no process.
	Wait(ctx context.Context, taskID string) (Exit, error)

	// Signal sends the stop signal of the task (spec, image, SIGTERM).
	Signal(ctx context.Context, t *clusterpb.Task) error

	// Kill ends the process at once.
	Kill(ctx context.Context, taskID string) error

	// Release frees what a stopped task still holds: process, container,
	// snapshot, network. Logs stay.
	Release(ctx context.Context, taskID string) error

	// Remove releases the task and deletes its logs.
	Remove(ctx context.Context, taskID string) error

	// List returns every task that has left a trace on this node, running or
	// not, whoever started it.
	List(ctx context.Context) ([]Found, error)
}

// Request asks for a task to be prepared.
type Request struct {
	Task *clusterpb.Task
	// Sources say which other nodes hold the task's images; an image without one
	// comes from its registry, if it is not here already.
	Sources []*dispatchpb.ImageSource
}

// Exit is how a process ended.
type Exit struct {
	Code      int32
	OOMKilled bool
	// Reason is why the program could not be executed, "" if it was.
	Reason string
}

// Found is a task that exists on this node.
type Found struct {
	TaskID string
	// Running: its process lives.
	Running bool
	// Pid of the process, 0 when there is none.
	Pid uint32
}

// Prober runs health checks; an optional ability.
type Prober interface {
	// HealthCheck returns the check that applies to the task: the spec's
	// merged over the image's, with Docker's defaults filled in, or nil when
	// there is none.
	HealthCheck(ctx context.Context, t *clusterpb.Task) (*clusterpb.HealthCheck, error)
	// Exec runs argv inside the task's container as its user and returns the
	// exit status and at most 4 KiB of output.
	Exec(ctx context.Context, taskID string, argv []string) (status int32, output string, err error)
}

// Network gives tasks their network namespaces; ingress implements it.
type Network interface {
	// Attach makes the namespace with these attachments and returns its path.
	Attach(ctx context.Context, taskID string, attachments []*clusterpb.Attachment) (netns string, err error)
	// Detach removes it.
	Detach(ctx context.Context, taskID string) error
	// Attached lists the tasks that have one.
	Attached() ([]string, error)
}
