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
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/muster/muster/internal/text"
	"github.com/muster/muster/proto/credential"
	"github.com/muster/muster/proto/image"
)

const (
	// helperTimeout bounds a credential helper, which may ask a keychain.
	helperTimeout = 30 * time.Second
	// maxAnswer bounds what of its answer is read, maxReason what of it is shown.
	maxAnswer = 1 << 20
	maxReason = 200
)

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
// the directory of config.json, and HOME. A credential helper that fails is
// told to warn and gives no login: the image may be public, or on a node. A
// config.json that cannot be read is an error.
func For(ctx context.Context, getenv func(string) string, name string, warn func(string)) (string, error) {
	ref, err := image.Parse(name)
	if err != nil {
		return "", err
	}
	dir := directory(getenv)
	if dir == "" {
		return "", nil
	}
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
	if _, helper := errors.AsType[*helperError](err); helper && ctx.Err() == nil {
		warn(fmt.Sprintf("%s; going on without a login", err))
		return "", nil
	}
	if err != nil || a == nil {
		return "", err
	}
	return a.header(host)
}

// directory is where config.json is; "" for a user without a home.
func directory(getenv func(string) string) string {
	if dir := getenv("DOCKER_CONFIG"); dir != "" {
		return dir
	}
	home := getenv("HOME")
	if home == "" { // as in some units of systemd
		u, err := user.Current()
		if err != nil || u.HomeDir == "" {
			return ""
		}
		home = u.HomeDir
	}
	return filepath.Join(home, ".docker")
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

// helperError is why a credential helper gave no answer.
type helperError struct {
	helper, key, reason string
}

func (e *helperError) Error() string {
	return fmt.Sprintf("docker-credential-%s, asked for the login of %s: %s", e.helper, e.key, e.reason)
}

// ask runs docker-credential-HELPER get, which reads the key and answers with
// JSON.
func ask(ctx context.Context, helper, key string) (*auth, error) {
	out, err := run(ctx, helper, key)
	if err != nil && strings.Contains(out, "credentials not found") { // the helpers' protocol
		return nil, nil //nolint:nilnil // no login, as documented
	}
	if err != nil {
		reason := err.Error()
		if line, _, _ := strings.Cut(strings.TrimSpace(out), "\n"); line != "" {
			reason = text.Clean(line, maxReason) + " (" + reason + ")"
		}
		return nil, &helperError{helper, key, reason}
	}
	var answer struct{ Username, Secret string }
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		return nil, &helperError{helper, key, "its answer is no JSON"} // which may hold a secret
	}
	if answer.Username == "<token>" {
		return &auth{Login: credential.Login{IdentityToken: answer.Secret}}, nil
	}
	return &auth{Login: credential.Login{Username: answer.Username, Password: answer.Secret}}, nil
}

// run returns what a helper printed. A helper, or a child of it that keeps its
// output open, is waited for no longer than helperTimeout.
func run(ctx context.Context, helper, key string) (string, error) {
	if strings.ContainsAny(helper, `/\`) {
		return "", errors.New("it is named by its suffix, not by a path")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, helperTimeout, fmt.Errorf("no answer in %s", helperTimeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker-credential-"+helper, "get")
	cmd.Stdin = strings.NewReader(key)
	cmd.WaitDelay = time.Second
	out := &bounded{left: maxAnswer}
	cmd.Stdout = out
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) { // it ended well, and a child of it stays
		err = nil
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return out.String(), err
}

// bounded keeps the beginning of what is written.
type bounded struct {
	bytes.Buffer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	n, _ := b.Buffer.Write(p[:min(len(p), b.left)]) // never fails
	b.left -= n
	return len(p), nil
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
