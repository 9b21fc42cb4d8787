package listen_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/muster/muster/dispatcher/listen"
	"github.com/muster/muster/dispatcher/mtls"
	"github.com/muster/muster/dispatcher/mtls/mtlstest"
	"github.com/muster/muster/dispatcher/rpcerror"
	capb "github.com/muster/muster/proto/ca/v1"
	"github.com/muster/muster/proto/call"
	memberpb "github.com/muster/muster/proto/member/v1"
)

// whoami answers with who it thinks is calling.
type whoami struct {
	capb.UnimplementedCAServiceServer
}

func (whoami) GetRootCA(ctx context.Context, _ *capb.GetRootCARequest) (*capb.GetRootCAResponse, error) {
	return &capb.GetRootCAResponse{RootPem: []byte(call.From(ctx).String())}, nil
}

// port is a control port whose raft side greets, then closes.
type port struct {
	addr, socket string
	manager      *mtls.Holder
}

func serve(t *testing.T, ca *mtlstest.CA) port {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := port{
		addr:    inner.Addr().String(),
		socket:  filepath.Join(t.TempDir(), "muster.sock"),
		manager: mtlstest.Holding(ca.Issue("m1", mtlstest.Manager)),
	}
	unix, err := net.Listen("unix", p.socket)
	if err != nil {
		t.Fatal(err)
	}
	config := mtls.Server{Credentials: p.manager.Current, Protocols: map[string]call.Callers{
		listen.ProtocolGRPC: call.Anyone, listen.ProtocolRaft: call.Manager, "unserved": call.Anyone,
	}}.TLS()
	l := listen.New(inner, config, slog.New(slog.DiscardHandler))
	forGRPC, forRaft := l.For(listen.ProtocolGRPC), l.For(listen.ProtocolRaft)

	opts := append(rpcerror.ServerOptions(), grpc.Creds(listen.ServerCredentials()))
	opts = append(opts, mtls.Gate{}.ServerOptions()...)
	srv := grpc.NewServer(opts...)
	capb.RegisterCAServiceServer(srv, whoami{})
	memberpb.RegisterMemberServiceServer(srv, memberpb.UnimplementedMemberServiceServer{})

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 4)
	go func() { ended <- l.Run(ctx) }()
	go func() { ended <- srv.Serve(forGRPC) }()
	go func() { ended <- srv.Serve(listen.Local(unix)) }()
	go func() { ended <- greet(forRaft) }()
	t.Cleanup(func() {
		cancel()
		srv.Stop()
		for range cap(ended) {
			if err := <-ended; err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, grpc.ErrServerStopped) {
				t.Errorf("ended: %v", err)
			}
		}
	})
	return p
}

func greet(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(conn, "raft")
		if err := errors.Join(err, conn.Close()); err != nil {
			return err
		}
	}
}

func TestGRPCKnowsItsCallers(t *testing.T) {
	ca := mtlstest.New(t, "c1")
	p := serve(t, ca)
	node := func(c *mtls.Credentials) credentials.TransportCredentials {
		return mtls.ClientCredentials(mtlstest.Holding(c).Current, mtls.AnyManager())
	}
	anonymous := credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})
	const denied = "/member.v1.MemberService/AddManager is for managers, not for "
	tests := map[string]struct {
		target string
		creds  credentials.TransportCredentials
		want   string
		denied string
	}{
		"worker":    {p.addr, node(ca.Issue("w1", mtlstest.Worker)), "worker w1", denied + "worker w1"},
		"manager":   {p.addr, node(ca.Issue("m2", mtlstest.Manager)), "manager m2", ""},
		"anonymous": {p.addr, anonymous, "a caller without a certificate", denied + "a caller without a certificate"},
		"local":     {"unix:" + p.socket, insecure.NewCredentials(), "a caller on the local socket", denied + "a caller on the local socket"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cc, err := grpc.NewClient(tt.target, append(rpcerror.DialOptions(), grpc.WithTransportCredentials(tt.creds))...)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cc.Close() }()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			resp, err := capb.NewCAServiceClient(cc).GetRootCA(ctx, &capb.GetRootCARequest{})
			if err != nil || string(resp.GetRootPem()) != tt.want {
				t.Errorf("handler saw %q, %v; want %q", resp.GetRootPem(), err, tt.want)
			}
			_, err = memberpb.NewMemberServiceClient(cc).AddManager(ctx, &memberpb.AddManagerRequest{Addr: "192.0.2.1:2377"})
			if tt.denied == "" && !errdefs.IsNotImplemented(err) ||
				tt.denied != "" && (!errdefs.IsPermissionDenied(err) || err.Error() != tt.denied) {
				t.Errorf("other call: %v, want %q", err, tt.denied)
			}
		})
	}
}

func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

func TestRaftIsForManagers(t *testing.T) {
	ca := mtlstest.New(t, "c1")
	p := serve(t, ca)
	tests := map[string]struct {
		client *mtls.Credentials
		want   string // error; "" when greeted
	}{
		"manager": {ca.Issue("m2", mtlstest.Manager), ""},
		"worker":  {ca.Issue("w1", mtlstest.Worker), "bad certificate"},
		"foreign": {mtlstest.New(t, "c2").Issue("m2", mtlstest.Manager), "m1 belongs to another cluster"},
		"expired": {ca.IssueUntil("m2", mtlstest.Manager, time.Now().Add(-time.Hour)), "m2 expired on"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			said, err := readAll(listen.DialRaft(ctx, "", p.addr, dialTCP, mtlstest.Holding(tt.client).Current))
			switch {
			case tt.want == "" && (err != nil || said != "raft"):
				t.Errorf("raft said %q, %v", said, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("raft said %q, %v; want error %q", said, err, tt.want)
			}
		})
	}
}

// TestRaftFindsWhomItLooksFor: another manager at the address is refused.
func TestRaftFindsWhomItLooksFor(t *testing.T) {
	ca := mtlstest.New(t, "c1")
	p := serve(t, ca)
	for id, found := range map[string]bool{"m1": true, "m7": false} {
		said, err := readAll(listen.DialRaft(t.Context(), id, p.addr, dialTCP, mtlstest.Holding(ca.Issue("m2", mtlstest.Manager)).Current))
		if (err == nil && said == "raft") != found {
			t.Errorf("who looks for %s at m1 hears %q, %v", id, said, err)
		}
		if !found && !strings.Contains(err.Error(), "m1") {
			t.Errorf("the error does not say who is there: %v", err)
		}
	}
}

// TestRenewalIsPickedUp renews while the port is open.
func TestRenewalIsPickedUp(t *testing.T) {
	ca := mtlstest.New(t, "c1")
	p := serve(t, ca)
	client := mtlstest.Holding(ca.Issue("m2", mtlstest.Manager))
	for range 2 {
		conn, err := listen.DialRaft(t.Context(), "", p.addr, dialTCP, client.Current)
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]; !got.Equal(p.manager.Current().Certificate.Leaf) {
			t.Error("the port shows an old certificate")
		}
		if _, err := readAll(conn, nil); err != nil {
			t.Error(err)
		}
		p.manager.Set(ca.Issue("m1", mtlstest.Manager))
	}
}

func TestProtocolsNotServed(t *testing.T) {
	p := serve(t, mtlstest.New(t, "c1"))
	for _, protocol := range []string{"unserved", "http/1.1"} {
		conn, err := tls.Dial("tcp", p.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}})
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
		if err == nil {
			t.Errorf("protocol %q is served", protocol)
		}
	}
}

// TestStalledClientsHoldNobodyUp keeps silent connections open on a fake
// clock, while others are served.
func TestStalledClientsHoldNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := mtlstest.New(t, "c1")
		inner := bufconn.Listen(1 << 16)
		config := mtls.Server{
			Credentials: mtlstest.Holding(ca.Issue("m1", mtlstest.Manager)).Current,
			Protocols:   map[string]call.Callers{listen.ProtocolRaft: call.Manager},
		}.TLS()
		l := listen.New(inner, config, slog.New(slog.DiscardHandler))
		forRaft := l.For(listen.ProtocolRaft)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		go func() { ended <- l.Run(ctx) }()
		go func() { ended <- greet(forRaft) }()

		start := time.Now()
		var stalled []net.Conn
		for range 20 {
			conn, err := inner.DialContext(ctx)
			if err != nil {
				t.Fatal(err)
			}
			stalled = append(stalled, conn)
		}
		client := mtlstest.Holding(ca.Issue("m2", mtlstest.Manager))
		for range 3 {
			raw, err := inner.DialContext(ctx)
			if err != nil {
				t.Fatal(err)
			}
			said, err := readAll(tls.Client(raw, mtls.ClientTLS(client.Current, mtls.AnyManager(), listen.ProtocolRaft)), nil)
			if err != nil || said != "raft" {
				t.Errorf("beside stalled clients: %q, %v", said, err)
			}
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("others waited %v", waited)
		}
		for _, conn := range stalled {
			// The server ends it; a client that waits for ever would hang here.
			if _, err := io.Copy(io.Discard, conn); err != nil {
				t.Logf("stalled connection: %v", err)
			}
		}
		if waited := time.Since(start); waited != 5*time.Second {
			t.Errorf("stalled clients were cut after %v, want 5s", waited)
		}
		cancel()
		for range cap(ended) {
			if err := <-ended; err != nil && !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		}
	})
}

// TestStopsWithHandshakesOpen: no goroutine may be left, nor a wait of 5 s.
func TestStopsWithHandshakesOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := bufconn.Listen(1 << 16)
		l := listen.New(inner, mtls.Server{Credentials: new(mtls.Holder).Current}.TLS(), slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		conn, err := inner.DialContext(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		synctest.Wait()
		start := time.Now()
		cancel()
		if err := <-ended; err != nil || time.Since(start) != 0 {
			t.Errorf("Run = %v after %v", err, time.Since(start))
		}
	})
}

func readAll(conn net.Conn, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	data, err := io.ReadAll(conn)
	return string(data), err
}
