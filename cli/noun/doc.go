// Package noun holds what the commands of every kind of object do alike: list
// the objects, show some in detail, remove some, and change one that others may
// change at the same time. A kind of object adds what is its own: how it is
// read, named and laid out.
package noun
