package credential_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/proto/credential"
)

func TestParse(t *testing.T) {
	// ?>> and ~~~ give the characters in which the two alphabets differ.
	const written = `{"username":"ann?>>","password":"p:w~~~","serveraddress":"r.example.com"}`
	ann := credential.Login{Username: "ann?>>", Password: "p:w~~~", ServerAddress: "r.example.com"}
	tests := map[string]struct {
		header string
		want   credential.Login
	}{
		"none":              {"", credential.Login{}},
		"URL alphabet":      {base64.URLEncoding.EncodeToString([]byte(written)), ann},
		"standard alphabet": {base64.StdEncoding.EncodeToString([]byte(written)), ann},
		"no padding":        {strings.TrimRight(base64.URLEncoding.EncodeToString([]byte(written)), "="), ann},
		"Docker's keys":     {base64.URLEncoding.EncodeToString([]byte(`{"Username":"ann","auth":"","email":"a@b"}`)), credential.Login{Username: "ann"}},
		"a token":           {base64.URLEncoding.EncodeToString([]byte(`{"identitytoken":"t"}`)), credential.Login{IdentityToken: "t"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := credential.Parse(tt.header); err != nil || got != tt.want {
				t.Errorf("%+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestParseRefusesWithoutTellingWhat(t *testing.T) {
	for _, text := range []string{"?", "s3cret", base64.URLEncoding.EncodeToString([]byte("user:s3cret")), base64.URLEncoding.EncodeToString([]byte(`{"password":["s3cret"]}`))} {
		l, err := credential.Parse(text)
		if !errdefs.IsInvalidArgument(err) || l != (credential.Login{}) {
			t.Errorf("%q: %+v, %v, want it refused", text, l, err)
		}
		if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), text) && text != "?") {
			t.Errorf("the error gives the secret away: %v", err)
		}
	}
}

// TestFor: a login goes to the registry that it is of, and to nobody else.
func TestFor(t *testing.T) {
	tests := map[string]struct {
		registry, host, server string
		want                   bool
	}{
		"the registry":            {"r.example.com:5000", "r.example.com:5000", "", true},
		"another port":            {"r.example.com:5000", "r.example.com", "", false},
		"a mirror":                {"docker.io", "mirror.example.com", "docker.io", false},
		"Docker Hub":              {"docker.io", "registry-1.docker.io", "docker.io", true},
		"not Docker Hub":          {"r.example.com", "registry-1.docker.io", "r.example.com", false},
		"what the login says":     {"docker.io", "mirror.example.com", "mirror.example.com", true},
		"a login of another":      {"r.example.com", "evil.example.com", "r.example.com", false},
		"nothing is said of whom": {"r.example.com", "", "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := credential.Login{Username: "ann", Password: "secret", ServerAddress: tt.server}
			if user, secret := l.For(tt.registry, tt.host); (user == "ann" && secret == "secret") != tt.want {
				t.Errorf("%q, %q, want it given: %v", user, secret, tt.want)
			}
		})
	}
}

func TestUserAndSecret(t *testing.T) {
	tests := map[string]struct {
		login        credential.Login
		user, secret string
	}{
		"none":              {credential.Login{}, "", ""},
		"a password":        {credential.Login{Username: "ann", Password: "pw"}, "ann", "pw"},
		"an identity token": {credential.Login{Username: "ann", IdentityToken: "id"}, "", "id"},
		"a registry token":  {credential.Login{RegistryToken: "rt"}, "", "rt"},
		"both tokens":       {credential.Login{IdentityToken: "id", RegistryToken: "rt"}, "", "id"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if user, secret := tt.login.UserAndSecret(); user != tt.user || secret != tt.secret {
				t.Errorf("%q and %q, want %q and %q", user, secret, tt.user, tt.secret)
			}
		})
	}
}

// FuzzLogin: what is written is read as it was.
func FuzzLogin(f *testing.F) {
	f.Add("ann", "p:w", "", "", "r.example.com")
	f.Add("", "", "id", "", "docker.io")
	f.Add("", "", "", "", "")
	f.Add("\x00\xff", `"}`, "ü", "😀", "\u2028")
	f.Fuzz(func(t *testing.T, user, password, identity, registry, server string) {
		utf8 := func(s string) string { return strings.ToValidUTF8(s, "?") } // JSON has no other text
		want := credential.Login{
			Username: utf8(user), Password: utf8(password),
			IdentityToken: utf8(identity), RegistryToken: utf8(registry), ServerAddress: utf8(server),
		}
		if got, err := credential.Parse(want.Header()); err != nil || got != want {
			t.Errorf("%+v was read as %+v, %v", want, got, err)
		}
	})
}

// FuzzParse: whatever comes in, it is read or refused.
func FuzzParse(f *testing.F) {
	f.Add("eyJ1c2VybmFtZSI6ImFubiJ9")
	f.Add("?")
	f.Fuzz(func(t *testing.T, header string) {
		l, err := credential.Parse(header)
		if err != nil && !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: an error of another kind: %v", header, err)
		}
		if again, err := credential.Parse(l.Header()); err != nil || again != l {
			t.Errorf("%q is %+v, and written again %+v, %v", header, l, again, err)
		}
	})
}
