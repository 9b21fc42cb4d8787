package state

// Kind names a kind of object. The constants stand in the files of the kinds.
type Kind string

// Ref names one object that changed. It carries no value: look it up in the
// State you hold, where it may have changed again or be gone.
type Ref struct {
	Kind Kind
	// ID is empty for the cluster and its secrets, of which there is one.
	ID string
	// Owner is the service a task belongs to, Node the node it is assigned
	// to. Both are empty for other kinds, and Node before the assignment.
	Owner, Node string
}
