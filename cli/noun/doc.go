// Package noun holds what the commands of every kind of object do alike: list
// them, show all about some, remove some, and change one that others change
// too. A kind of object says what is its own: how it is read, called and laid
// out.
package noun
