// Package id makes and recognises the identifiers of objects.
package id

import (
	"crypto/rand"
	"math/big"
	"strings"
)

// Length of an identifier in characters.
const Length = 25

const digits = "0123456789abcdefghijklmnopqrstuvwxyz"

// New returns a random identifier: 128 bits in base 36, 25 characters, in the
// form people know from Docker.
func New() string {
	var b [16]byte
	// crypto/rand.Read never fails since Go 1.24.
	_, _ = rand.Read(b[:])
	s := new(big.Int).SetBytes(b[:]).Text(36)
	return strings.Repeat("0", Length-len(s)) + s
}

// Valid reports whether s has the form of an identifier.
func Valid(s string) bool { return len(s) == Length && strings.Trim(s, digits) == "" }

// Short returns the first 12 characters, as lists show them.
func Short(s string) string { return s[:min(len(s), 12)] }
