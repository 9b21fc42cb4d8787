package containerd_test

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/muster/muster/worker/images"
)

// TestUnexecutable: a program that the kernel does not execute is told from one
// that exits with 255, and what is wrong with it is said.
func TestUnexecutable(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the programs are made for amd64")
	}
	n := startNode(t)
	native, foreign := header(elf.EM_X86_64, "/lib/ld-nosuch.so"), header(elf.EM_AARCH64, "")
	tests := map[string]struct {
		script string // makes /x of what is in the box
		want   string // "" runs and exits with 255
	}{
		"for another machine":          {"", `exec "/x": exec format error: it is for arm64, this node is amd64`},
		"its loader is missing":        {"", `exec "/x": its loader "/lib/ld-nosuch.so" is not in the image, or not executable`},
		"its interpreter is missing":   {"#!/no/such\n", `exec "/x": its interpreter "/no/such" is not in the image, or not executable`},
		"its interpreter is for other": {"#!/y -e\n", `exec "/y": exec format error: it is for arm64`},
		"empty":                        {"", `exec "/x": exec format error: it is neither a program nor a script`},
		"text":                         {"echo hello\n", `exec "/x": exec format error: it is neither a program nor a script`},
		"names no interpreter":         {"#!\n", `exec "/x": exec format error: its first line names no interpreter`},
		"exits with 255":               {"#!/bin/sh\nexit 255\n", ""},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			files := map[string]string{"x": tt.script, "y": string(foreign)}
			switch what {
			case "for another machine":
				files["x"] = string(foreign)
			case "its loader is missing":
				files["x"] = string(native)
			}
			n.boxWith(t, files, func(c *v1.Config) { c.Entrypoint = []string{"/x"} })
			one := task(box, "")
			one.GetSpec().GetContainers()[0].Command, one.GetSpec().GetContainers()[0].Args = nil, nil
			n.run(t, one)
			exit, err := n.Wait(t.Context(), one.GetId())
			if err != nil || exit.Code != 255 || !strings.HasPrefix(exit.Reason, tt.want) || (tt.want == "") != (exit.Reason == "") {
				t.Errorf("Wait = %+v, %v, want %q", exit, err, tt.want)
			}
			if err := n.Remove(t.Context(), one.GetId()); err != nil {
				t.Error(err)
			}
		})
	}
}

// boxWith loads busybox with executable files at the top.
func (n *node) boxWith(t *testing.T, files map[string]string, change func(*v1.Config)) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for file, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: file, Mode: 0o755, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(busyboxImage(t, change), layer)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	tag, err := name.NewTag(box)
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.Write(tag, img, &packed); err != nil {
		t.Fatal(err)
	}
	if _, err := n.images.Load(t.Context(), &packed, func(images.Progress) {}); err != nil {
		t.Fatal(err)
	}
}

// header is the beginning of a program, which is all that the kernel looks at
// before it refuses one.
func header(machine elf.Machine, loader string) []byte {
	h := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1,
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
	}
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, h)
	_ = binary.Write(&b, binary.LittleEndian, elf.Prog64{
		Type: uint32(elf.PT_INTERP), Off: 120, Filesz: uint64(len(loader) + 1), Memsz: uint64(len(loader) + 1), Align: 1,
	})
	b.WriteString(loader + "\x00")
	return append(b.Bytes(), make([]byte, os.Getpagesize())...)
}
