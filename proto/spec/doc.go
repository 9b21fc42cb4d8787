// Package spec holds the rules about what users write: what is valid and
// what an unset field means. The client checks with it before it calls, the
// managers check again before they store.
package spec
