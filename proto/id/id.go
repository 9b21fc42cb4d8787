// Package id makes and recognises the identifiers of objects.
package id

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"strings"

	"github.com/containerd/errdefs"
)

const (
	// Length of an identifier in characters.
	Length = 25
	// Most is how many objects a request may name by id.
	Most = 1000
)

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

// Few refuses a request that names more than Most objects; what says of which
// kind. Errors are InvalidArgument.
func Few(what string, ids []string) error {
	if len(ids) > Most {
		return fmt.Errorf("%d %s in a request: name %d at most: %w", len(ids), what, Most, errdefs.ErrInvalidArgument)
	}
	return nil
}

// Short returns the first 12 characters, as lists show them.
func Short(s string) string { return s[:min(len(s), 12)] }
