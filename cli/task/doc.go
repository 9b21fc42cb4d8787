// Package task lists tasks, for "service ps" and "node ps".
package task
