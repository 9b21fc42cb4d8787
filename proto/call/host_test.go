package call

import "testing"

func TestHost(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1:33206":          "192.0.2.1",
		"[::ffff:192.0.2.1]:33206": "192.0.2.1",
		"[2001:db8::1]:5":          "2001:db8::1",
		"n1:2377":                  "n1",
		"192.0.2.1":                "192.0.2.1",
		"":                         "",
	} {
		if got := Host(addr); got != want {
			t.Errorf("Host(%q) = %q, want %q", addr, got, want)
		}
	}
}
