package boltfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"go.etcd.io/bbolt"
)

// file returns the path of a file with one key in it.
func file(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("b"))
		if err != nil {
			return err
		}
		return b.Put([]byte("key"), []byte("value"))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenTellsDamage(t *testing.T) {
	page := os.Getpagesize()
	garble := func(from, to int) func([]byte) []byte {
		return func(b []byte) []byte {
			for i := from; i < min(to, len(b)); i++ {
				b[i] = 0xA5
			}
			return b
		}
	}
	cut := func(size int) func([]byte) []byte { return func(b []byte) []byte { return b[:size] } }
	tests := map[string]struct {
		change  func([]byte) []byte
		damaged bool
	}{
		"whole":                       {slices.Clone[[]byte], false},
		"empty, as after a full disk": {cut(0), false},
		"cut off in the first page":   {cut(100), true},
		"cut off later":               {cut(2 * page), true},
		"garbled head":                {garble(0, 2*page), true},
		"garbled pages":               {garble(2*page, 1<<30), true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := file(t)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, tt.change(content), 0o600); err != nil {
				t.Fatal(err)
			}
			db, err := Open(path)
			if err == nil {
				_ = db.Close()
			}
			if errdefs.IsDataLoss(err) != tt.damaged || (err != nil) != tt.damaged {
				t.Errorf("Open = %v, want damage told: %v", err, tt.damaged)
			}
			if err != nil && !strings.HasPrefix(err.Error(), path+" is damaged") {
				t.Errorf("Open = %v, want the file named", err)
			}
		})
	}
}

func TestOpenTellsOtherTrouble(t *testing.T) {
	path := file(t)
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "another daemon uses it") {
		t.Errorf("a file in use: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(path, "below a file")); err == nil || errdefs.IsDataLoss(err) {
		t.Errorf("a path that cannot be: %v", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none", "x.db")); !errors.Is(err, fs.ErrNotExist) || errdefs.IsDataLoss(err) {
		t.Errorf("a directory that is not there: %v", err)
	}
}
