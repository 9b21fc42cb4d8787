// Package controlapi answers the commands of users: it checks what they ask,
// turns it into changes, and tells what became of it.
//
// It runs on the leader; package forward brings every call there. A write
// that carries a request id is applied once however often it is sent.
package controlapi
