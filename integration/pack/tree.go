package pack

import (
	"archive/tar"
	"bufio"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// entry is one member of a layer.
type entry struct {
	header tar.Header
	// open gives what a file holds; nil for anything else.
	open func() (io.ReadCloser, error)
}

// entries are the members that files make. Directories above them are no members:
// a layer that names one replaces what an earlier layer has there, be it a link.
func entries(files []File) []entry {
	var out []entry
	for _, f := range files {
		e := entry{header: tar.Header{Name: strings.TrimPrefix(f.Path, "/"), Uid: f.UID, Gid: f.GID}}
		mode := cmp.Or(f.Mode, 0o644)
		e.header.Mode = permissions(mode)
		switch {
		case mode.IsDir():
			e.header.Typeflag, e.header.Name = tar.TypeDir, e.header.Name+"/"
		case mode&fs.ModeSymlink != 0:
			e.header.Typeflag, e.header.Linkname, e.header.Mode = tar.TypeSymlink, f.Content, 0o777
		default:
			e.header.Typeflag, e.header.Size = tar.TypeReg, int64(len(f.Content))
			e.open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(f.Content)), nil }
		}
		out = append(out, e)
	}
	return out
}

// tree is the members that make the directory root: files, directories and links.
func tree(root string) ([]entry, error) {
	var out []entry
	first := map[uint64]string{} // of the names of one file, by inode
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		e, err := member(path, name, info, first)
		out = append(out, e)
		return err
	})
	return out, err
}

func member(path, name string, info fs.FileInfo, first map[uint64]string) (entry, error) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return entry{}, errors.New("no owner known: not Linux")
	}
	e := entry{header: tar.Header{Name: name, Uid: int(st.Uid), Gid: int(st.Gid), Mode: permissions(info.Mode())}}
	switch mode := info.Mode(); {
	case mode.IsDir():
		e.header.Typeflag, e.header.Name = tar.TypeDir, name+"/"
	case mode&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		e.header.Typeflag, e.header.Linkname, e.header.Mode = tar.TypeSymlink, target, 0o777
		return e, err
	case !mode.IsRegular():
		return entry{}, &fs.PathError{Op: "pack", Path: path, Err: errors.New("neither file, directory nor link")}
	case st.Nlink > 1 && first[st.Ino] != "":
		e.header.Typeflag, e.header.Linkname = tar.TypeLink, first[st.Ino]
	default:
		first[st.Ino] = name
		e.header.Typeflag, e.header.Size = tar.TypeReg, info.Size()
		e.open = func() (io.ReadCloser, error) { return os.Open(path) }
	}
	return e, nil
}

// permissions are mode's as tar writes them, set-user-id and the like included.
func permissions(mode fs.FileMode) int64 {
	bits := int64(mode.Perm())
	for flag, bit := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if mode&flag != 0 {
			bits |= bit
		}
	}
	return bits
}

// writeTar writes members sorted by name and made at the epoch, so that the
// same members give the same bytes. A hard link sorts after the name it leads
// to, which was found first in the same order.
func writeTar(path string, members []entry) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	buffered := bufio.NewWriterSize(f, 1<<20)
	w := tar.NewWriter(buffered)
	slices.SortStableFunc(members, func(a, b entry) int {
		// A directory sorts as its path and not as its name in the tar, to come before what it holds.
		return strings.Compare(strings.ReplaceAll(strings.TrimSuffix(a.header.Name, "/"), "/", "\x00"),
			strings.ReplaceAll(strings.TrimSuffix(b.header.Name, "/"), "/", "\x00"))
	})
	for _, e := range members {
		if err := writeMember(w, e); err != nil {
			return err
		}
	}
	return errors.Join(w.Close(), buffered.Flush(), f.Close())
}

func writeMember(w *tar.Writer, e entry) error {
	header := e.header
	header.ModTime = epoch()
	if err := w.WriteHeader(&header); err != nil {
		return err
	}
	if e.open == nil {
		return nil
	}
	content, err := e.open()
	if err != nil {
		return err
	}
	defer content.Close()
	_, err = io.Copy(w, content)
	return err
}
