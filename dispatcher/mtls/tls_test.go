package mtls_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/dispatcher/mtls/mtlstest"
	"github.com/muster/muster/proto/call"
)

// shake connects the two and returns what each side says about it. A client
// learns the server's verdict when it reads.
func shake(t *testing.T, server, client *tls.Config) (state tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	// Over TCP: with net.Pipe both sides could block writing an alert.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	done := make(chan error, 1)
	go func() {
		raw, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		defer func() { _ = raw.Close() }()
		conn := tls.Server(raw, server)
		err = conn.Handshake()
		state = conn.ConnectionState()
		if err == nil {
			_, err = conn.Write([]byte("x"))
		}
		done <- err
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	if err := raw.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, clientErr = io.ReadFull(tls.Client(raw, client), make([]byte, 1))
	_ = raw.Close()
	return state, <-done, clientErr
}

func TestWhoMayConnect(t *testing.T) {
	ca, foreign := mtlstest.New(t, "c1"), mtlstest.New(t, "c2")
	impostor := mtlstest.New(t, "c1") // same name, other key
	expired := time.Now().Add(-time.Minute)
	protocols := map[string]call.Callers{"h2": call.Anyone, "raft": call.Manager}

	tests := map[string]struct {
		server, client         *mtls.Credentials // no client: anonymous
		want                   mtls.Peer
		protocol               string
		serverSays, clientSays string // "" when all is well
	}{
		"manager to manager": {ca.Issue("m1", mtlstest.Manager), ca.Issue("m2", mtlstest.Manager), mtls.AnyManager(), "raft", "", ""},
		"worker to manager":  {ca.Issue("m1", mtlstest.Manager), ca.Issue("w1", mtlstest.Worker), mtls.AnyManager(), "h2", "", ""},
		"named node":         {ca.Issue("w2", mtlstest.Worker), ca.Issue("w1", mtlstest.Worker), mtls.Peer{NodeID: "w2"}, "h2", "", ""},
		"any node":           {ca.Issue("w2", mtlstest.Worker), ca.Issue("w1", mtlstest.Worker), mtls.Peer{}, "h2", "", ""},
		"wrong node":         {ca.Issue("w3", mtlstest.Worker), ca.Issue("w1", mtlstest.Worker), mtls.Peer{NodeID: "w2"}, "h2", "remote error", "not w2"},
		"worker as manager":  {ca.Issue("w2", mtlstest.Worker), ca.Issue("w1", mtlstest.Worker), mtls.AnyManager(), "h2", "remote error", "node w2 is a worker, a manager is needed"},
		"worker on raft":     {ca.Issue("m1", mtlstest.Manager), ca.Issue("w1", mtlstest.Worker), mtls.AnyManager(), "raft", "protocol raft is for managers, not for worker w1", "bad certificate"},
		"anonymous on h2":    {ca.Issue("m1", mtlstest.Manager), nil, mtls.Peer{}, "h2", "", ""},
		"anonymous on raft":  {ca.Issue("m1", mtlstest.Manager), nil, mtls.Peer{}, "raft", "not for a node without a certificate", "bad certificate"},
		"no protocol":        {ca.Issue("m1", mtlstest.Manager), nil, mtls.Peer{}, "", "asked for no protocol", "bad certificate"},
		"demoted":            {ca.Issue("m1", mtlstest.Manager), ca.Issue("demoted", mtlstest.Manager), mtls.AnyManager(), "raft", "is for managers, not for worker demoted", "bad certificate"},
		"removed":            {ca.Issue("m1", mtlstest.Manager), ca.Issue("gone", mtlstest.Worker), mtls.AnyManager(), "h2", "node gone was removed", "bad certificate"},
		"foreign server":     {foreign.Issue("m1", mtlstest.Manager), ca.Issue("w1", mtlstest.Worker), mtls.AnyManager(), "h2", "remote error", "m1 belongs to another cluster (c2, this is c1)"},
		"impostor":           {impostor.Issue("m1", mtlstest.Manager), ca.Issue("w1", mtlstest.Worker), mtls.AnyManager(), "h2", "remote error", "certificate of node m1 is not one of cluster c1"},
		"expired server":     {ca.IssueUntil("m1", mtlstest.Manager, expired), ca.Issue("w1", mtlstest.Worker), mtls.AnyManager(), "h2", "remote error", "certificate of node m1 expired on"},
		"expired client":     {ca.Issue("m1", mtlstest.Manager), ca.IssueUntil("w1", mtlstest.Worker, expired), mtls.AnyManager(), "h2", "EOF", "certificate of node w1 expired on"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			server := mtls.Server{
				Credentials: mtlstest.Holding(tt.server).Current,
				Protocols:   protocols,
				Standing:    func(string) mtls.Standing { return standing },
			}
			_, serverErr, clientErr := shake(t, server.TLS(), clientTLS(tt.client, tt.want, tt.protocol))
			says(t, "server", serverErr, tt.serverSays)
			says(t, "client", clientErr, tt.clientSays)
		})
	}
}

// standing is what a cluster knows of the nodes of a test.
func standing(id string, kind call.Callers) (call.Callers, error) {
	switch id {
	case "gone":
		return 0, call.ErrRemoved(id)
	case "demoted":
		return call.Worker, nil
	}
	return kind, nil
}

// TestServerTrustsNoForeignClient has clients that do not verify the server.
func TestServerTrustsNoForeignClient(t *testing.T) {
	ca, foreign, impostor := mtlstest.New(t, "c1"), mtlstest.New(t, "c2"), mtlstest.New(t, "c1")
	server := mtls.Server{
		Credentials: mtlstest.Holding(ca.Issue("m1", mtlstest.Manager)).Current,
		Protocols:   map[string]call.Callers{"h2": call.Anyone},
	}
	tests := map[string]struct {
		client *mtls.Credentials
		want   string
	}{
		"foreign":  {foreign.Issue("m2", mtlstest.Manager), "m2 belongs to another cluster"},
		"impostor": {impostor.Issue("m2", mtlstest.Manager), "m2 is not one of cluster c1"},
		"expired":  {ca.IssueUntil("m2", mtlstest.Manager, time.Now().Add(-time.Minute)), "m2 expired on"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err, _ := shake(t, server.TLS(), &tls.Config{
				NextProtos:         []string{"h2"},
				Certificates:       []tls.Certificate{tt.client.Certificate},
				InsecureSkipVerify: true,
			})
			says(t, "server", err, tt.want)
		})
	}
}

func TestNoOldTLS(t *testing.T) {
	server := mtls.Server{
		Credentials: mtlstest.Holding(mtlstest.New(t, "c1").Issue("m1", mtlstest.Manager)).Current,
		Protocols:   map[string]call.Callers{"h2": call.Anyone},
	}
	old := clientTLS(nil, mtls.Peer{}, "h2")
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	_, err, _ := shake(t, server.TLS(), old)
	says(t, "server", err, "unsupported versions")
}

// TestRenewalNeedsNoRestart changes the credentials under settings in use.
func TestRenewalNeedsNoRestart(t *testing.T) {
	ca := mtlstest.New(t, "c1")
	m, w := mtlstest.Holding(ca.Issue("m1", mtlstest.Manager)), mtlstest.Holding(ca.Issue("n1", mtlstest.Worker))
	server := mtls.Server{Credentials: m.Current, Protocols: map[string]call.Callers{"raft": call.AnyNode}}.TLS()
	client := mtls.ClientTLS(w.Current, mtls.AnyManager(), "raft")

	for _, next := range []*mtls.Credentials{ca.Issue("n1", mtlstest.Worker), ca.Issue("n1", mtlstest.Manager)} {
		w.Set(next)
		state, serverErr, clientErr := shake(t, server, client)
		if err := errors.Join(serverErr, clientErr); err != nil {
			t.Fatal(err)
		}
		if !state.PeerCertificates[0].Equal(next.Certificate.Leaf) {
			t.Errorf("server saw an old certificate, %v", state.PeerCertificates[0].Subject)
		}
	}
	// A new root on both sides is taken up too.
	other := mtlstest.New(t, "c1")
	m.Set(other.Issue("m1", mtlstest.Manager))
	if _, _, err := shake(t, server, client); err == nil {
		t.Error("client accepts a root it does not know yet")
	}
	w.Set(other.Issue("n1", mtlstest.Worker))
	_, serverErr, clientErr := shake(t, server, client)
	if err := errors.Join(serverErr, clientErr); err != nil {
		t.Error(err)
	}
}

func TestWithoutCredentials(t *testing.T) {
	none := new(mtls.Holder)
	server := mtls.Server{Credentials: none.Current, Protocols: map[string]call.Callers{"h2": call.Anyone}}
	_, err, _ := shake(t, server.TLS(), clientTLS(nil, mtls.Peer{}, "h2"))
	says(t, "server", err, "it is in no cluster")
}

// clientTLS is anonymous and trusting when there are no credentials.
func clientTLS(c *mtls.Credentials, want mtls.Peer, protocol string) *tls.Config {
	if c != nil {
		return mtls.ClientTLS(mtlstest.Holding(c).Current, want, protocol)
	}
	config := &tls.Config{InsecureSkipVerify: true}
	if protocol != "" {
		config.NextProtos = []string{protocol}
	}
	return config
}

func says(t *testing.T, who string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", who, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s says %v, want %q", who, err, want)
	}
}
