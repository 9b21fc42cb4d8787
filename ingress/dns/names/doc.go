// Package names knows what the names of services mean to the tasks of a node,
// and answers questions about them. It is pure: a [Table] never changes, an
// [Update] makes another one of it, and what a table answers follows from the
// table, the asking client and the question alone.
package names
