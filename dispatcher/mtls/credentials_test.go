package mtls_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/dispatcher/mtls/mtlstest"
)

func TestSaveThenLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made by save")
	ca := mtlstest.New(t, "c1")
	for _, saved := range []*mtls.Credentials{ca.Issue("n1", mtlstest.Worker), ca.Issue("n1", mtlstest.Manager)} {
		if err := saved.Save(dir); err != nil {
			t.Fatal(err)
		}
		got, err := mtls.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got.Identity != saved.Identity || !bytes.Equal(got.RootPEM, saved.RootPEM) ||
			!got.Certificate.Leaf.Equal(saved.Certificate.Leaf) {
			t.Errorf("loaded %+v, saved %+v", got.Identity, saved.Identity)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("files left: %v, %v", files, err)
	}
	if info, err := files[0].Info(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of %s: %v, %v", files[0].Name(), info.Mode(), err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode of the directory: %v, %v", info.Mode(), err)
	}
	if err := mtls.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := mtls.Load(dir); !errdefs.IsNotFound(err) {
		t.Errorf("after remove: %v", err)
	}
}

func TestLoadExplainsDamage(t *testing.T) {
	ca, other := mtlstest.New(t, "c1"), mtlstest.New(t, "c1")
	whole := saved(t, ca.Issue("n1", mtlstest.Worker))
	second := saved(t, ca.Issue("n1", mtlstest.Worker))
	foreign := saved(t, other.Issue("n1", mtlstest.Worker))
	endOfKey := bytes.Index(whole, []byte("-----BEGIN CERT"))
	root := bytes.LastIndex(whole, []byte("-----BEGIN CERT"))

	tests := map[string]struct {
		content []byte
		want    string
	}{
		"empty":              {nil, "begin with a private key"},
		"cut in the key":     {whole[:endOfKey/2], "begin with a private key"},
		"key only":           {whole[:endOfKey], "not PEM, or cut short"},
		"root missing":       {whole[:root], "root certificate are needed"},
		"cut in the root":    {whole[:len(whole)-30], "not PEM, or cut short"},
		"zeros at the end":   {append(bytes.Clone(whole), make([]byte, 512)...), "not PEM, or cut short"},
		"key of another":     {append(bytes.Clone(second[:bytes.Index(second, []byte("-----BEGIN CERT"))]), whole[endOfKey:]...), "not for the private key"},
		"root of another":    {append(bytes.Clone(whole[:root]), foreign[bytes.LastIndex(foreign, []byte("-----BEGIN CERT")):]...), "not signed by the root"},
		"certificates first": {whole[endOfKey:], "begin with a private key"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "node.pem"), tt.content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := mtls.Load(dir)
			if !errdefs.IsDataLoss(err) {
				t.Fatalf("Load = %v, want data loss", err)
			}
			for _, want := range []string{tt.want, dir, "join again"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not mention %q", err, want)
				}
			}
		})
	}
}

// TestCrashWhileSaving leaves what a crash before the rename leaves.
func TestCrashWhileSaving(t *testing.T) {
	dir := t.TempDir()
	old := mtlstest.New(t, "c1").Issue("n1", mtlstest.Worker)
	if err := old.Save(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "node.pem.new-123"), []byte("half a k"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := mtls.Load(dir)
	if err != nil || !got.Certificate.Leaf.Equal(old.Certificate.Leaf) {
		t.Errorf("Load = %v, want the old credentials", err)
	}
}

func TestCheck(t *testing.T) {
	now := time.Now()
	c := mtlstest.New(t, "c1").IssueUntil("n1", mtlstest.Worker, now.Add(time.Hour))
	tests := map[string]struct {
		at   time.Time
		want string
	}{
		"now":        {now, ""},
		"expired":    {now.Add(2 * time.Hour), "certificate of node n1 expired on 20"},
		"clock back": {now.Add(-24 * time.Hour), "correct the clock"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := c.Check(tt.at)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Check = %v, want %q", err, tt.want)
			}
		})
	}
}

func saved(t *testing.T, c *mtls.Credentials) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := c.Save(dir); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "node.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
