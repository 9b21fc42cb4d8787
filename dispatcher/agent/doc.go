// Package agent is the worker's half of the wire between managers and
// workers. It keeps one session open with the manager that leads, for as long
// as there is one to be found: it tries the managers it knows of, follows
// redirects, registers, sends heartbeats, and leaves a manager that no longer
// answers them. What is to be said and what was heard is the business of a
// [Handler].
package agent
