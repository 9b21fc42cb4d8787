// Package edit turns the flags of "service create" and "service update" into
// edits of a service spec. A flag is one line in a table: its name, its kind
// of value, and what it does to the spec. Nothing here calls the cluster.
package edit
