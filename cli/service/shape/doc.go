// Package shape gives services the shape that Docker users know: the objects
// that "inspect" prints as JSON and that templates walk, the pretty layout,
// and the difference between two specs field by field.
package shape
