// Package upstream asks other servers what is not the cluster's to answer: those
// of the node, or those that a task names for itself. It keeps what they say
// as long as they allow, goes on to the next one where one does not answer, and
// bounds what all tasks, and each of them, may have it do at a time.
package upstream
