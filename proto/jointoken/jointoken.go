// Package jointoken makes and reads join tokens, MSTR-1-<digest>-<secret>.
//
// The digest pins the cluster's root certificate, so that a new node trusts
// nobody it should not; the secret tells the cluster that the node was
// invited, and as what. The form is Docker Swarm's with another prefix.
package jointoken

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/containerd/errdefs"
)

const (
	prefix       = "MSTR-1-"
	dockerPrefix = "SWMTKN-"
	digits       = "0123456789abcdefghijklmnopqrstuvwxyz"

	// digestLength holds 256 bits in base 36, secretLength 128 bits.
	digestLength = 50
	secretLength = 25
)

// Token is a join token taken apart.
type Token struct {
	// Digest of the root certificate, see [Digest].
	Digest string
	// Secret that the cluster knows a role by.
	Secret string
}

// String returns the token as users see it.
func (t Token) String() string { return prefix + t.Digest + "-" + t.Secret }

// Pins reports whether the token was made for the cluster with this root.
func (t Token) Pins(rootPEM []byte) bool {
	d, err := Digest(rootPEM)
	return err == nil && Equal(d, t.Digest)
}

// Make returns the token that pins the root certificate and carries secret.
func Make(rootPEM []byte, secret string) (string, error) {
	d, err := Digest(rootPEM)
	if err != nil {
		return "", fmt.Errorf("make join token: %w", err)
	}
	if err := checkPart("secret", secret, secretLength); err != nil {
		return "", fmt.Errorf("make join token: %w", err)
	}
	return Token{Digest: d, Secret: secret}.String(), nil
}

// NewSecret returns a random secret of 128 bits.
func NewSecret() string {
	var b [16]byte
	// crypto/rand.Read never fails since Go 1.24.
	_, _ = rand.Read(b[:])
	return base36(b[:], secretLength)
}

// Digest returns the SHA-256 of the first certificate in rootPEM, in base 36.
// It is over the certificate, not its PEM text, so line ends do not matter.
func Digest(rootPEM []byte) (string, error) {
	block, _ := pem.Decode(rootPEM)
	if block == nil || block.Type != "CERTIFICATE" {
		return "", errors.New("root certificate is not PEM")
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		return "", fmt.Errorf("read root certificate: %w", err)
	}
	sum := sha256.Sum256(block.Bytes)
	return base36(sum[:], digestLength), nil
}

// Equal compares secrets in a time that does not tell where they differ. An
// empty secret equals nothing, so a cluster without one lets nobody in.
func Equal(a, b string) bool {
	return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// Parse reads a token. Its errors are of kind InvalidArgument and say what is
// wrong without repeating the secret.
func Parse(s string) (Token, error) {
	s = strings.TrimSpace(s)
	const where = `"muster swarm join-token" on a manager prints one`
	switch {
	case s == "":
		return Token{}, errdefs.ErrInvalidArgument.WithMessage("join token is empty; " + where)
	case strings.HasPrefix(s, dockerPrefix):
		return Token{}, errdefs.ErrInvalidArgument.WithMessage(
			"join token is one of Docker Swarm's (" + dockerPrefix + "…), not of a muster cluster; " + where)
	case !strings.HasPrefix(s, prefix):
		return Token{}, errdefs.ErrInvalidArgument.WithMessage(
			fmt.Sprintf("join token starts with %.7q, it must start with %q; %s", s, prefix, where))
	}
	digest, secret, _ := strings.Cut(strings.TrimPrefix(s, prefix), "-")
	if err := checkPart("digest", digest, digestLength); err != nil {
		return Token{}, err
	}
	if err := checkPart("secret", secret, secretLength); err != nil {
		return Token{}, err
	}
	return Token{Digest: digest, Secret: secret}, nil
}

// checkPart names the part and what is wrong with it, but shows no secret.
func checkPart(name, s string, length int) error {
	if i := strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune(digits, r) }); i >= 0 {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"join token has a wrong character at position %d of its %s; only 0-9 and a-z are allowed", i+1, name))
	}
	if len(s) < length {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"join token is truncated: its %s has %d of %d characters; copy it whole", name, len(s), length))
	}
	if len(s) > length {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"join token is too long: its %s has %d characters instead of %d", name, len(s), length))
	}
	return nil
}

// base36 writes b as a number in base 36, padded with zeros on the left.
func base36(b []byte, length int) string {
	s := new(big.Int).SetBytes(b).Text(36)
	return strings.Repeat("0", length-len(s)) + s
}
