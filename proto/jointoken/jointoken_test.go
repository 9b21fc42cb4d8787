package jointoken_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/proto/jointoken"
)

// root returns a self-signed certificate.
func root(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestMakeThenParse(t *testing.T) {
	ours, others, secret := root(t), root(t), jointoken.NewSecret()
	made, err := jointoken.Make(ours, secret)
	if err != nil {
		t.Fatal(err)
	}
	if want := len("MSTR-1-") + 50 + 1 + 25; len(made) != want {
		t.Errorf("token %q has %d characters, want %d", made, len(made), want)
	}
	got, err := jointoken.Parse(" " + made + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != made || got.Secret != secret {
		t.Errorf("Parse(%q) = %+v", made, got)
	}
	if !got.Pins(ours) || got.Pins(others) || got.Pins(nil) {
		t.Errorf("Pins: own root %v, other root %v, no root %v", got.Pins(ours), got.Pins(others), got.Pins(nil))
	}
	if crlf := bytes.ReplaceAll(ours, []byte("\n"), []byte("\r\n")); !got.Pins(crlf) {
		t.Error("the line ends of the PEM text change the digest")
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	digest, secret := strings.Repeat("d", 50), strings.Repeat("s", 25)
	tests := map[string]struct{ token, want string }{
		"empty":             {" \n", "empty"},
		"Docker's":          {"SWMTKN-1-" + digest + "-" + secret, "Docker Swarm"},
		"other prefix":      {"MSTR-2-" + digest + "-" + secret, `starts with "MSTR-2-"`},
		"no token":          {"node-1:2377", `must start with "MSTR-1-"`},
		"digest cut":        {"MSTR-1-" + digest[:9], "its digest has 9 of 50"},
		"digest too long":   {"MSTR-1-" + digest + "d-" + secret, "its digest has 51"},
		"secret missing":    {"MSTR-1-" + digest, "its secret has 0 of 25"},
		"secret cut":        {"MSTR-1-" + digest + "-" + secret[:24], "truncated: its secret has 24 of 25"},
		"secret too long":   {"MSTR-1-" + digest + "-" + secret + "s", "its secret has 26"},
		"upper case":        {"MSTR-1-" + digest + "-S" + secret[1:], "position 1 of its secret"},
		"one part more":     {"MSTR-1-" + digest + "-" + secret + "-x", "position 26 of its secret"},
		"inside is a space": {"MSTR-1-" + digest[:10] + " " + digest[11:] + "-" + secret, "position 11 of its digest"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := jointoken.Parse(tt.token)
			if !errdefs.IsInvalidArgument(err) {
				t.Fatalf("Parse(%q) = %v, want an invalid argument", tt.token, err)
			}
			if msg := err.Error(); !strings.Contains(msg, tt.want) || strings.Contains(msg, secret[:24]) || strings.Contains(msg, "\n") {
				t.Errorf("Parse(%q) says %q, want one line with %q and no secret", tt.token, msg, tt.want)
			}
		})
	}
}

func TestEqual(t *testing.T) {
	tests := map[string]struct {
		a, b string
		want bool
	}{
		"same":           {"abc", "abc", true},
		"differ":         {"abc", "abd", false},
		"prefix":         {"abc", "ab", false},
		"nothing is set": {"", "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := jointoken.Equal(tt.a, tt.b); got != tt.want {
				t.Errorf("Equal(%q, %q) = %v", tt.a, tt.b, got)
			}
		})
	}
}

func TestMakeRefuses(t *testing.T) {
	if _, err := jointoken.Make([]byte("not a certificate"), jointoken.NewSecret()); err == nil {
		t.Error("made a token without a root certificate")
	}
	if _, err := jointoken.Make(root(t), "short"); err == nil {
		t.Error("made a token with a short secret")
	}
}

// FuzzParse: what is accepted means exactly what it says, and nothing panics.
func FuzzParse(f *testing.F) {
	f.Add("MSTR-1-" + strings.Repeat("0", 50) + "-" + strings.Repeat("z", 25))
	f.Add("SWMTKN-1-x-y")
	f.Add("MSTR-1--")
	f.Add("MSTR-1-é-\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := jointoken.Parse(s)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("Parse(%q): %v is no invalid argument", s, err)
			}
			return
		}
		if got.String() != strings.TrimSpace(s) {
			t.Errorf("Parse(%q) means %q", s, got)
		}
	})
}
