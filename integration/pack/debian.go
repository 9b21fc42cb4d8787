package pack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const binPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// accounts are what the packages' installation scripts, or the machine's
// start, would have made: accounts, and directories to work in.
func accounts(extra ...string) []File {
	passwd := []string{"root:x:0:0:root:/root:/bin/sh", "www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin"}
	group := []string{"root:x:0:", "adm:x:4:", "www-data:x:33:"}
	for i, name := range extra {
		passwd = append(passwd, fmt.Sprintf("%s:x:%d:%d:%[1]s:/:/usr/sbin/nologin", name, 900+i, 900+i))
		group = append(group, fmt.Sprintf("%s:x:%d:", name, 900+i))
	}
	return []File{
		{Path: "/etc/passwd", Content: strings.Join(append(passwd, "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"), "\n")},
		{Path: "/etc/group", Content: strings.Join(append(group, "nogroup:x:65534:\n"), "\n")},
		{Path: "/run", Mode: fs.ModeDir | 0o755},
		{Path: "/tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
		{Path: "/root", Mode: fs.ModeDir | 0o700},
	}
}

// Nginx defines an nginx image of any tag, say "nginx:latest". It serves on
// port 80, logs to its standard streams and stops with SIGQUIT, gracefully,
// as the official image does. Beside a page it answers
//
//	/whoami   HOSTNAME CLIENT-ADDRESS
//	/quiet    the same, without a line in the log
//	/version  the name of the image
func Nginx(ref string) Image {
	config := `
worker_processes 2;
pid /run/nginx.pid;
error_log /dev/stderr notice;
events { worker_connections 4096; }
http {
  include /etc/nginx/mime.types;
  access_log /dev/stdout;
  keepalive_timeout 65;
  keepalive_requests 1000000;
  sendfile on;
  server {
    listen 80 default_server;
    listen [::]:80 default_server;
    root /usr/share/nginx/html;
    location = /whoami { default_type text/plain; return 200 "$hostname $remote_addr\n"; }
    location = /quiet { access_log off; default_type text/plain; return 200 "$hostname $remote_addr\n"; }
    location = /version { default_type text/plain; return 200 "` + ref + `\n"; }
  }
}
`
	return Image{
		Name:     ref,
		Packages: []string{"nginx", "dash", "coreutils", "busybox-static"},
		Files: append(accounts(),
			File{Path: "/etc/nginx/nginx.conf", Content: strings.TrimPrefix(config, "\n")},
			File{Path: "/var/lib/nginx", Mode: fs.ModeDir | 0o755},
			File{Path: "/var/log/nginx", Mode: fs.ModeDir | 0o755},
		),
		Config: v1.Config{
			Cmd:          []string{"nginx", "-g", "daemon off;"},
			Env:          []string{binPath},
			ExposedPorts: map[string]struct{}{"80/tcp": {}},
			StopSignal:   "SIGQUIT",
		},
	}
}

// Redis defines a redis image of any tag. It serves on port 6379, as a user of
// its own, from the directory /data.
func Redis(ref string) Image {
	return Image{
		Name:     ref,
		Packages: []string{"redis-server", "redis-tools", "dash", "coreutils"},
		Files: append(accounts("redis"),
			File{Path: "/data", Mode: fs.ModeDir | 0o755, UID: 900, GID: 900},
		),
		Config: v1.Config{
			Cmd:          []string{"redis-server", "--protected-mode", "no", "--bind", "*", "-::*"},
			Env:          []string{binPath},
			ExposedPorts: map[string]struct{}{"6379/tcp": {}},
			User:         "redis",
			WorkingDir:   "/data",
			Volumes:      map[string]struct{}{"/data": {}},
		},
	}
}

// Busybox defines a busybox image of any tag: one static program under the
// name of each of its commands.
func Busybox(ref string) Image {
	return Image{
		Name:     ref,
		Packages: []string{"busybox-static"},
		Files:    accounts(),
		Config:   v1.Config{Cmd: []string{"sh"}, Env: []string{binPath}},
	}
}

// applets are links for the commands of the busybox that is in root, for those
// that root has no program for.
func applets(ctx context.Context, root string) ([]File, error) {
	program := filepath.Join(root, "bin", "busybox")
	if _, err := os.Stat(program); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	list, err := run(ctx, program, "--list-full")
	if err != nil {
		return nil, err
	}
	var links []File
	for applet := range strings.FieldsSeq(list) {
		name := path.Base(applet)
		taken := false
		for _, dir := range []string{"bin", "sbin"} {
			_, err := os.Lstat(filepath.Join(root, "usr", dir, name))
			taken = taken || err == nil
		}
		if !taken {
			links = append(links, File{Path: "/usr/bin/" + name, Mode: fs.ModeSymlink, Content: "busybox"})
		}
	}
	return links, nil
}
