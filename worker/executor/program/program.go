// Package program says why the kernel does not execute a file of an image. It
// says "exec format error" or "no such file or directory" of all that is told
// apart here.
package program

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"strings"
	"syscall"

	continuity "github.com/containerd/continuity/fs"
	"github.com/opencontainers/runtime-spec/specs-go"
)

const (
	// headSize is how much of a file is read: the kernel reads 256 bytes of
	// scripts, and linkers put the name of the loader into the first page.
	headSize = 4096
	// maxInterpreters is how many scripts may be each other's interpreter
	// (BINPRM in Linux' fs/exec.c).
	maxInterpreters = 5
)

// Unexecutable says why the program of a process cannot be executed whose root
// file system, without what is mounted there, is at root; "" when nothing is
// wrong with it, or the image does not tell what it is.
func Unexecutable(root string, spec *specs.Spec) string {
	if spec.Process == nil || len(spec.Process.Args) == 0 {
		return ""
	}
	for _, name := range places(spec.Process) {
		if covered(name, spec.Mounts) {
			return ""
		}
		if head, ok := read(root, name); ok {
			return unexecutable(root, name, head, maxInterpreters)
		}
	}
	return ""
}

// places are where the process's program may be, in order (execvp(3)).
func places(p *specs.Process) (names []string) {
	program := p.Args[0]
	if strings.Contains(program, "/") {
		if !path.IsAbs(program) {
			program = path.Join("/", p.Cwd, program)
		}
		return []string{program}
	}
	for _, v := range p.Env {
		if dirs, ok := strings.CutPrefix(v, "PATH="); ok {
			names = nil // the last one counts
			for dir := range strings.SplitSeq(dirs, ":") {
				names = append(names, path.Join("/", p.Cwd, dir, program))
				if path.IsAbs(dir) {
					names[len(names)-1] = path.Join(dir, program)
				}
			}
		}
	}
	return names
}

// covered reports whether something is mounted where the file is, so that the
// image does not tell what it was.
func covered(name string, mounts []specs.Mount) bool {
	for _, m := range mounts {
		if at := path.Clean(m.Destination); name == at || strings.HasPrefix(name, at+"/") {
			return true
		}
	}
	return false
}

// read reads the beginning of an executable file of the image, which may
// be anything.
func read(root, name string) (head []byte, ok bool) {
	resolved, err := continuity.RootPath(root, name)
	if err != nil {
		return nil, false
	}
	f, err := os.OpenFile(resolved, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return nil, false
	}
	head, err = io.ReadAll(io.LimitReader(f, headSize))
	return head, err == nil
}

// unexecutable says why a file of the image cannot be executed.
func unexecutable(root, name string, head []byte, interpreters int) string {
	interpreter, kind := "", "loader"
	switch {
	case bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		program, err := readELF(head)
		if err != nil {
			return fmt.Sprintf("exec %q: exec format error", name)
		}
		if !runsHere(program.machine) {
			return fmt.Sprintf("exec %q: exec format error: it is for %s, this node is %s", name, architecture(program.machine), runtime.GOARCH)
		}
		interpreter = program.loader
	case bytes.HasPrefix(head, []byte("#!")):
		line, _, _ := bytes.Cut(head[2:], []byte("\n"))
		words := strings.Fields(string(line))
		if len(words) == 0 {
			return fmt.Sprintf("exec %q: exec format error: its first line names no interpreter", name)
		}
		interpreter, kind = words[0], "interpreter"
	default:
		return fmt.Sprintf("exec %q: exec format error: it is neither a program nor a script that begins with #!", name)
	}
	if interpreter == "" || interpreters == 0 {
		return ""
	}
	next, ok := read(root, path.Join("/", interpreter))
	if !ok {
		return fmt.Sprintf("exec %q: its %s %q is not in the image, or not executable", name, kind, interpreter)
	}
	return unexecutable(root, interpreter, next, interpreters-1)
}

// beginning is what the beginning of an ELF file tells.
type beginning struct {
	machine elf.Machine
	loader  string // of a dynamic one, as far as it is in the beginning
}

// readELF reads no more than it is given: debug/elf is not made for files of
// strangers.
func readELF(head []byte) (beginning, error) {
	var order binary.ByteOrder = binary.LittleEndian
	if len(head) > elf.EI_DATA && elf.Data(head[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	var h elf.Header64 // e_machine is at the same place in those of 32 bits
	if err := binary.Read(bytes.NewReader(head), order, &h); err != nil {
		return beginning{}, err
	}
	p := beginning{machine: elf.Machine(h.Machine)}
	if elf.Class(head[elf.EI_CLASS]) != elf.ELFCLASS64 {
		return p, nil
	}
	for i := range uint64(h.Phnum) {
		var segment elf.Prog64
		at := min(h.Phoff+i*uint64(h.Phentsize), uint64(len(head)))
		if n, _ := binary.Decode(head[at:], order, &segment); n == 0 {
			break // it is not in the beginning
		}
		if elf.ProgType(segment.Type) != elf.PT_INTERP {
			continue
		}
		if end := segment.Off + segment.Filesz; segment.Off < end && end <= uint64(len(head)) {
			p.loader = strings.TrimRight(string(head[segment.Off:end]), "\x00")
		}
	}
	return p, nil
}

// architecture is Go's name of a machine, or the file format's.
func architecture(m elf.Machine) string {
	switch m {
	case elf.EM_X86_64:
		return "amd64"
	case elf.EM_386:
		return "386"
	case elf.EM_AARCH64:
		return "arm64"
	case elf.EM_ARM:
		return "arm"
	case elf.EM_RISCV:
		return "riscv64"
	case elf.EM_PPC64:
		return "ppc64le"
	case elf.EM_S390:
		return "s390x"
	default:
		return m.String()
	}
}

// runsHere reports whether the node's machines may run such programs. Those of
// 32 bits are up to the kernel.
func runsHere(m elf.Machine) bool {
	switch name := architecture(m); runtime.GOARCH {
	case "amd64":
		return name == "amd64" || name == "386"
	case "arm64":
		return name == "arm64" || name == "arm"
	default:
		return name == runtime.GOARCH
	}
}
