package tasklog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	// fileExt ends the names of log files: NUMBER.log, counting up.
	fileExt = ".log"
	// endName is the file that says that a task will print no more.
	endName = "ended"
)

// Dir is the directory of the tasks' logs.
func Dir(stateDir string) string { return filepath.Join(stateDir, "logs") }

func taskDir(stateDir, taskID string) string { return filepath.Join(Dir(stateDir), taskID) }

// Tasks lists the tasks that have logs.
func Tasks(stateDir string) ([]string, error) {
	entries, err := os.ReadDir(Dir(stateDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list logs: %w", err)
	}
	ids := make([]string, 0, len(entries))
	for _, e := range entries {
		if e.IsDir() {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// Remove deletes the logs of a task.
func Remove(stateDir, taskID string) error {
	if err := os.RemoveAll(taskDir(stateDir, taskID)); err != nil {
		return fmt.Errorf("remove logs of task %s: %w", taskID, err)
	}
	return nil
}

// files returns the numbers of the log files in dir, oldest first.
func files(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), fileExt)
		if !ok {
			continue
		}
		if n, err := strconv.ParseUint(digits, 10, 64); err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

func filePath(dir string, number uint64) string {
	return filepath.Join(dir, strconv.FormatUint(number, 10)+fileExt)
}
