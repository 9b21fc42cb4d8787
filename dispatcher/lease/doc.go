// Package lease says which nodes are alive and what all of them are known to
// hold. It is pure: every method is given the time, and none touches anything
// but the leases. Callers synchronise.
package lease
