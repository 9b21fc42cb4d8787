package ingress

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/muster/muster/ingress/namespace"
)

// CreateNetns makes the network namespace of a task and returns its path. It
// does nothing more if there is one already.
func (p *Plane) CreateNetns(taskID string) (path string, err error) {
	path = p.netns(taskID)
	return path, namespace.Create(path)
}

// DeleteNetns lets go of a task's network namespace, which ends with its last
// process. It does nothing if there is none.
func (p *Plane) DeleteNetns(taskID string) error { return namespace.Delete(p.netns(taskID)) }

// Netns lists the tasks that have a network namespace, in order of their ids.
func (p *Plane) Netns() (taskIDs []string, err error) {
	entries, err := os.ReadDir(p.cfg.TaskDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list network namespaces: %w", err)
	}
	for _, e := range entries {
		taskIDs = append(taskIDs, e.Name())
	}
	return taskIDs, nil
}

// netns is the path of a task's network namespace.
func (p *Plane) netns(taskID string) string { return filepath.Join(p.cfg.TaskDir, taskID) }
