package constraint

import "testing"

// TestUname: what a node tells of itself is what a constraint finds it by.
func TestUname(t *testing.T) {
	for arch, want := range map[string]string{"amd64": "x86_64", "arm64": "aarch64", "riscv64": "riscv64", "": ""} {
		if got := Uname(arch); got != want || !SameArchitecture(arch, got) {
			t.Errorf("%q: %q, want %q, the same architecture", arch, got, want)
		}
	}
}
