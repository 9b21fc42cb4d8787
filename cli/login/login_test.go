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
garbled.example.com) echo secret ;;
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
		"credHelpers": {"helped.example.com": "test", "token.example.com": "test", "broken.example.com": "test", "empty.example.com": "test",
			"garbled.example.com": "test", "none.example.com": "none", "path.example.com": "../test"}
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
		warning string
	}{
		"hub":            {"nginx", ann("docker.io"), "", ""},
		"registry":       {"registry.example.com/a:1", ann("registry.example.com"), "", ""},
		"no login":       {"other.example.com/a", nil, "", ""},
		"helper":         {"helped.example.com/a", map[string]string{"username": "hank", "password": "s3", "identitytoken": "", "serveraddress": "helped.example.com"}, "", ""},
		"token":          {"token.example.com/a", map[string]string{"username": "", "password": "", "identitytoken": "t0ken", "serveraddress": "token.example.com"}, "", ""},
		"helper without": {"empty.example.com/a", nil, "", ""},
		"helper fails":   {"broken.example.com/a", nil, "", "no keychain (exit status 2); going on"},
		"no such helper": {"none.example.com/a", nil, "", "docker-credential-none, asked for the login of none.example.com: exec"},
		"no JSON":        {"garbled.example.com/a", nil, "", "is no JSON"},
		"a path":         {"path.example.com/a", nil, "", "named by its suffix"},
		"not base64":     {"bad.example.com/a", nil, "is not base64", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var warned string
			got, err := For(t.Context(), func(string) string { return dir }, tt.image, func(text string) { warned = text })
			if tt.warning != "" {
				if err != nil || got != "" || !strings.Contains(warned, tt.warning) || strings.Contains(warned, "\n") {
					t.Errorf("%q, %v, warned %q, want no login and %q", got, err, warned, tt.warning)
				}
				return
			}
			if warned != "" {
				t.Errorf("warned %q", warned)
			}
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
	if got, err := For(t.Context(), getenv, "nginx", func(string) {}); got != "" || err != nil {
		t.Errorf("For = %q, %v, want none", got, err)
	}
	if err := os.Mkdir(filepath.Join(home, ".docker"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(home, ".docker", "config.json"), "{", 0o600)
	if _, err := For(t.Context(), getenv, "nginx", func(string) {}); err == nil {
		t.Error("a broken config was read")
	}
}

// TestHelperThatHangs: a child of the helper that keeps its output open is not
// waited for, and the answer counts.
func TestHelperThatHangs(t *testing.T) {
	dir, bin := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "config.json"), `{"credsStore": "slow"}`, 0o600)
	write(t, filepath.Join(bin, "docker-credential-slow"), "#!/bin/sh\n(sleep 10; touch "+filepath.Join(bin, "done")+") &\necho '{\"Username\":\"ann\",\"Secret\":\"s\"}'\n", 0o700)
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	got, err := For(t.Context(), func(string) string { return dir }, "nginx", func(text string) { t.Error(text) })
	if err != nil || got == "" {
		t.Errorf("For = %q, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(bin, "done")); err == nil {
		t.Error("the helper's child was waited for")
	}
}

// TestNoHome: without HOME the user's own is looked up, and nothing is read
// from the current directory.
func TestNoHome(t *testing.T) {
	here := t.TempDir()
	if err := os.Mkdir(filepath.Join(here, ".docker"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(here, ".docker", "config.json"), "{", 0o600)
	t.Chdir(here)
	if dir := directory(func(string) string { return "" }); dir != "" && !filepath.IsAbs(dir) {
		t.Errorf("logins are read from %s", dir)
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}
