package pack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Program packs the main package goPackage, say
// "github.com/muster/muster/integration/bench/load", as an image that holds
// nothing but it: static, at /NAME, run as the image's entry point. The go
// command is asked each time, so the archive is never older than the source.
func Program(ctx context.Context, cacheDir, ref, goPackage string) (string, error) {
	if err := os.MkdirAll(cacheDir, 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(cacheDir, ".building-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	binary := filepath.Join(work, path.Base(goPackage))
	if err := build(ctx, binary, goPackage); err != nil {
		return "", fmt.Errorf("pack %s: %w", ref, err)
	}
	sum, err := digest(binary)
	if err != nil {
		return "", err
	}
	image := Image{Name: ref, Files: accounts(), Config: v1.Config{
		Entrypoint: []string{"/" + filepath.Base(binary)},
		Env:        []string{binPath},
	}}
	return cached(cacheDir, image, []any{image, sum}, func(work string) ([]v1.Layer, error) {
		members, err := tree(filepath.Dir(binary))
		if err != nil {
			return nil, err
		}
		program, err := layer(work, "program", append(members, entries(image.Files)...))
		return []v1.Layer{program}, err
	})
}

func build(ctx context.Context, binary, goPackage string) error {
	cmd := command(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", binary, goPackage)
	cmd.Dir = filepath.Dir(filepath.Dir(DefaultCache())) // within the module
	cmd.Env = append(cmd.Env, "CGO_ENABLED=0")
	_, err := output(cmd)
	return err
}

func digest(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}
