// Package login finds the login that "docker login" and its like left on
// the client for an image's registry, in Docker's own config file, so that
// nobody has to log in twice.
package login
