// Package docker gives objects the shape that Docker's users and tools know:
// the JSON of the Engine API, made of Docker's own types. What muster has
// beyond Docker stands beside Docker's fields, in types that embed Docker's:
// clients of Docker skip it, and templates name it like any other field. Types
// that only hold such types are written out again, in Docker's order.
package docker
