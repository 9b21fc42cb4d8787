// Package flags holds the kinds of values that flags take. A kind knows how
// to read a value and says, in its error, what is allowed; the command line
// parser adds the flag's name and the value. All of it happens before any
// call to the cluster.
package flags
