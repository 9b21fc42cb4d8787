package login

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// helper answers for one registry as docker-credential helpers do.
const helper = `#!/bin/sh
read -r key
case "$key" in
helped.example.com) echo '{"ServerURL":"helped.example.com","Username":"hank","Secret":"s3"}' ;;
token.example.com) echo '{"Username":"<token>","Secret":"t0ken"}' ;;
broken.example.com) echo 'no keychain'; exit 2 ;;
*) echo 'credentials not found in native keychain'; exit 1 ;;
esac
`

func TestFor(t *testing.T) {
	dir := t.TempDir()
	login := base64.StdEncoding.EncodeToString([]byte("ann:p:w"))
	config := `{
		"auths": {
			"https://index.docker.io/v1/": {"auth": "` + login + `"},
			"https://registry.example.com/v2/": {"auth": "` + login + `"},
			"bad.example.com": {"auth": "???"}
		},
		"credHelpers": {"helped.example.com": "test", "token.example.com": "test", "broken.example.com": "test", "empty.example.com": "test"}
	}`
	write(t, filepath.Join(dir, "config.json"), config, 0o600)
	bin := t.TempDir()
	write(t, filepath.Join(bin, "docker-credential-test"), helper, 0o700)
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))

	ann := func(host string) map[string]string {
		return map[string]string{"username": "ann", "password": "p:w", "identitytoken": "", "serveraddress": host}
	}
	tests := map[string]struct {
		image   string
		want    map[string]string
		wantErr string
	}{
		"hub":            {"nginx", ann("docker.io"), ""},
		"registry":       {"registry.example.com/a:1", ann("registry.example.com"), ""},
		"no login":       {"other.example.com/a", nil, ""},
		"helper":         {"helped.example.com/a", map[string]string{"username": "hank", "password": "s3", "identitytoken": "", "serveraddress": "helped.example.com"}, ""},
		"token":          {"token.example.com/a", map[string]string{"username": "", "password": "", "identitytoken": "t0ken", "serveraddress": "token.example.com"}, ""},
		"helper without": {"empty.example.com/a", nil, ""},
		"helper fails":   {"broken.example.com/a", nil, "no keychain"},
		"not base64":     {"bad.example.com/a", nil, "is not base64"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := For(t.Context(), func(string) string { return dir }, tt.image)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("error = %v, want %q", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var login map[string]string
			if got != "" {
				b, err := base64.URLEncoding.DecodeString(got)
				if err != nil {
					t.Fatal(err)
				}
				if err := json.Unmarshal(b, &login); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(tt.want, login); diff != "" {
				t.Errorf("login (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoConfigIsNoLogin(t *testing.T) {
	home := t.TempDir()
	getenv := func(name string) string { return map[string]string{"HOME": home}[name] }
	if got, err := For(t.Context(), getenv, "nginx"); got != "" || err != nil {
		t.Errorf("For = %q, %v, want none", got, err)
	}
	if err := os.Mkdir(filepath.Join(home, ".docker"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(home, ".docker", "config.json"), "{", 0o600)
	if _, err := For(t.Context(), getenv, "nginx"); err == nil {
		t.Error("a broken config was read")
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}
