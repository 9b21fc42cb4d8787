package login

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/muster/muster/proto/credential"
	"github.com/muster/muster/proto/image"
)

// helperTimeout bounds a credential helper, which may ask a keychain.
const helperTimeout = 30 * time.Second

// hubKey is under what Docker keeps the login of Docker Hub.
const hubKey = "https://index.docker.io/v1/"

// config is what we read of Docker's config.json.
type config struct {
	Auths       map[string]auth   `json:"auths"`
	CredHelpers map[string]string `json:"credHelpers"`
	CredsStore  string            `json:"credsStore"`
}

// auth is a login in config.json. Auth is base64 of USERNAME:PASSWORD.
type auth struct {
	Auth string `json:"auth"`
	credential.Login
}

// For returns the login for the registry of the image of that name, in the form of Docker's
// X-Registry-Auth header; "" when there is none. Getenv reads DOCKER_CONFIG,
// the directory of config.json, and HOME.
func For(ctx context.Context, getenv func(string) string, name string) (string, error) {
	ref, err := image.Parse(name)
	if err != nil {
		return "", err
	}
	dir := cmp.Or(getenv("DOCKER_CONFIG"), filepath.Join(getenv("HOME"), ".docker"))
	path := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read registry logins: %w", err)
	}
	var c config
	if err := json.Unmarshal(data, &c); err != nil {
		return "", fmt.Errorf("read registry logins: %s: %w", path, err)
	}
	host := ref.Registry()
	a, err := c.find(ctx, host)
	if err != nil || a == nil {
		return "", err
	}
	return a.header(host)
}

// find returns the login for a registry, or nil. Docker asks in this order:
// the registry's own helper, the common store, the file.
func (c config) find(ctx context.Context, host string) (*auth, error) {
	key := host
	if host == "docker.io" {
		key = hubKey
	}
	if helper := cmp.Or(c.CredHelpers[host], c.CredsStore); helper != "" {
		return ask(ctx, helper, key)
	}
	for name, a := range c.Auths {
		if name == key || hostOf(name) == host {
			return &a, nil
		}
	}
	return nil, nil //nolint:nilnil // no login, as documented
}

// hostOf is the registry of a key such as https://registry.example.com/v2/.
func hostOf(key string) string {
	key = strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	host, _, _ := strings.Cut(key, "/")
	return host
}

// ask runs docker-credential-HELPER get, which reads the key and answers with
// JSON.
func ask(ctx context.Context, helper, key string) (*auth, error) {
	ctx, cancel := context.WithTimeout(ctx, helperTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker-credential-"+helper, "get")
	cmd.Stdin = strings.NewReader(key)
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		if strings.Contains(out.String(), "credentials not found") { // the helpers' protocol
			return nil, nil //nolint:nilnil // no login, as documented
		}
		return nil, fmt.Errorf("ask docker-credential-%s for the login of %s: %s: %w", helper, key, strings.TrimSpace(out.String()), err)
	}
	var answer struct{ Username, Secret string }
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return nil, fmt.Errorf("read the answer of docker-credential-%s: %w", helper, err)
	}
	if answer.Username == "<token>" {
		return &auth{Login: credential.Login{IdentityToken: answer.Secret}}, nil
	}
	return &auth{Login: credential.Login{Username: answer.Username, Password: answer.Secret}}, nil
}

// header returns the form that managers and nodes pass on.
func (a auth) header(host string) (string, error) {
	l := a.Login
	l.ServerAddress = host
	if a.Auth != "" {
		plain, err := base64.StdEncoding.DecodeString(a.Auth)
		if err != nil {
			return "", fmt.Errorf("the login of %s is not base64: %w", host, err)
		}
		l.Username, l.Password, _ = strings.Cut(strings.TrimRight(string(plain), "\x00"), ":")
	}
	return l.Header(), nil
}
