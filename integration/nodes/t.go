package nodes

import (
	"fmt"
	"time"
)

// T is what the harness needs of a test. A *testing.T is one; a program that
// starts a rack outside of a test brings its own.
type T interface {
	Helper()
	Name() string
	Logf(format string, args ...any)
	// Fatalf does not return.
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Failed() bool
	// Cleanup calls f when the test ended, last registered first.
	Cleanup(f func())
}

// skipper is the optional ability of a T to end without a verdict.
type skipper interface {
	Skipf(format string, args ...any)
}

// pollEvery is how often Eventually looks.
const pollEvery = 20 * time.Millisecond

// Eventually calls f until it returns nil and fails the test when that took
// longer than timeout, with what was waited for and f's last error.
func Eventually(t T, what string, timeout time.Duration, f func() error) {
	t.Helper()
	start := time.Now()
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Since(start) > timeout {
			t.Fatalf("waited %s for %s: %v", timeout, what, err)
		}
		time.Sleep(pollEvery)
	}
}

// poll is Eventually for code that is not a test's.
func poll(what string, timeout time.Duration, f func() error) error {
	deadline := time.Now().Add(timeout)
	for {
		err := f()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %s for %s: %w", timeout, what, err)
		}
		time.Sleep(pollEvery)
	}
}
