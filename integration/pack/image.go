package pack

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// format is part of the key of what is cached: raise it when the same
// definition is to give other bytes.
const format = 1

// Image defines an image.
type Image struct {
	// Name is its reference, say "nginx:latest".
	Name string
	// Packages are installed with what they depend on, without their
	// documentation and without running their installation scripts. With
	// busybox-static among them, its commands fill in for what else is missing.
	Packages []string
	// Files are added to what the packages hold, or replace it.
	Files []File
	// Config is what a container of the image starts with.
	Config v1.Config
}

// File is one file, directory or link of an image.
type File struct {
	// Path is absolute. Directories above it are made when missing.
	Path string
	// Mode holds the type and permissions; a mode of 0 means a file of 0644.
	Mode fs.FileMode
	// Content is what a file holds, or where a symbolic link leads.
	Content string
	// UID and GID own it.
	UID, GID int
}

// DefaultCache is a directory of the repository that git ignores and `make clean` removes.
func DefaultCache() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", ".cache", "images")
}

// Debian packs an image from distribution packages and returns the path of its
// archive, which is in cacheDir and must not be changed.
func Debian(ctx context.Context, cacheDir string, image Image) (string, error) {
	return cached(cacheDir, image, image, func(work string) ([]v1.Layer, error) {
		root := filepath.Join(work, "root")
		if err := unpack(ctx, filepath.Join(cacheDir, "debs"), root, image.Packages); err != nil {
			return nil, err
		}
		links, err := applets(ctx, root)
		if err != nil {
			return nil, err
		}
		unpacked, err := tree(root)
		if err != nil {
			return nil, err
		}
		packages, err := layer(work, "packages", append(unpacked, entries(links)...))
		if err != nil {
			return nil, err
		}
		files, err := layer(work, "files", entries(image.Files))
		if err != nil {
			return nil, err
		}
		return []v1.Layer{packages, files}, nil
	})
}

// cached returns the archive that the cache holds for key, or has its layers
// made in a temporary directory and writes it.
func cached(cacheDir string, image Image, key any, layers func(work string) ([]v1.Layer, error)) (string, error) {
	path, err := archivePath(cacheDir, image.Name, key)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	if err := os.MkdirAll(cacheDir, 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(cacheDir, ".packing-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	made, err := layers(work)
	if err != nil {
		return "", fmt.Errorf("pack %s: %w", image.Name, err)
	}
	whole := filepath.Join(work, "image.tar")
	if err := write(whole, image, made); err != nil {
		return "", fmt.Errorf("pack %s: %w", image.Name, err)
	}
	// Only a whole archive gets its name, so that whoever packs the same at the
	// same time finds either none or this.
	return path, os.Rename(whole, path)
}

// archivePath names the archive of an image by everything that went into it.
func archivePath(cacheDir, ref string, key any) (string, error) {
	b, err := json.Marshal([]any{format, runtime.GOARCH, key})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	safe := strings.NewReplacer("/", "_", ":", "_").Replace(ref)
	return filepath.Join(cacheDir, safe+"-"+hex.EncodeToString(sum[:8])+".tar"), nil
}

// write writes the layers as an image of the platform that this program runs on.
func write(path string, image Image, layers []v1.Layer) error {
	tag, err := name.NewTag(image.Name)
	if err != nil {
		return err
	}
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		return err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Created = v1.Time{Time: epoch()}
	file.Config = image.Config
	if img, err = mutate.ConfigFile(img, file); err != nil {
		return err
	}
	return tarball.WriteToFile(path, tag, img)
}

// epoch is when everything in an image was made.
func epoch() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// layer writes members as a layer's tar in the directory work.
func layer(work, what string, members []entry) (v1.Layer, error) {
	path := filepath.Join(work, what+".tar")
	if err := writeTar(path, members); err != nil {
		return nil, fmt.Errorf("layer of %s: %w", what, err)
	}
	return tarball.LayerFromFile(path, tarball.WithCompressionLevel(gzip.BestSpeed))
}
