// Package credential holds the rules about what only some may see: the form in
// which a registry's login travels, and what is left out of a message before
// it is shown.
package credential

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/containerd/errdefs"
)

// Login is a login to a registry, as Docker's X-Registry-Auth header holds it.
// The zero Login is none.
type Login struct {
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken,omitempty"`
	ServerAddress string `json:"serveraddress"`
}

// Parse reads base64 JSON, in either of the alphabets that clients use and with
// or without padding. An empty string is no login. The error, of the kind
// errdefs.ErrInvalidArgument, tells nothing of what was read.
func Parse(header string) (Login, error) {
	var l Login
	if header == "" {
		return l, nil
	}
	raw, ok := decode(header)
	if !ok || json.Unmarshal(raw, &l) != nil {
		return Login{}, fmt.Errorf("registry credential: want base64 JSON as in X-Registry-Auth: %w", errdefs.ErrInvalidArgument)
	}
	return l, nil
}

func decode(s string) ([]byte, bool) {
	for _, alphabet := range []*base64.Encoding{base64.URLEncoding, base64.StdEncoding, base64.RawURLEncoding, base64.RawStdEncoding} {
		if raw, err := alphabet.DecodeString(s); err == nil {
			return raw, true
		}
	}
	return nil, false
}

// Header returns what Parse reads; "" for none.
func (l Login) Header() string {
	if l == (Login{}) {
		return ""
	}
	raw, err := json.Marshal(l)
	if err != nil {
		panic(err) // strings always have a JSON form
	}
	return base64.URLEncoding.EncodeToString(raw)
}

// hubHost is where Docker Hub, docker.io, answers.
const hubHost = "registry-1.docker.io"

// For returns the login as UserAndSecret does, if host, with its port, is where
// the registry answers or what the login says that it is for. Others, such as
// mirrors, get none.
func (l Login) For(registry, host string) (user, secret string) {
	if host == "" || host != registry && host != l.ServerAddress && (registry != "docker.io" || host != hubHost) {
		return "", ""
	}
	return l.UserAndSecret()
}

// UserAndSecret returns the login in the form that containerd's authorizer
// takes: a secret without a user is a token.
func (l Login) UserAndSecret() (user, secret string) {
	switch {
	case l.IdentityToken != "":
		return "", l.IdentityToken
	case l.RegistryToken != "":
		return "", l.RegistryToken
	default:
		return l.Username, l.Password
	}
}
