// Package health finds out whether tasks can serve.
//
// [Tracker] is the pure part: Docker's rules of start period and retries,
// given one result at a time. [Checker] performs the checks on time.
package health
